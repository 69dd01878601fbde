"""T5: a ReLU unit with a bias of at most 0 keeps exactly zero weights, in and out, for ever."""

import pytest
import torch
from torch import nn

from zeroinit.init import initialize_

STEPS = 100


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_dead_units_never_move(make_network, train, layers, optimizer):
    model = make_network("normal_bias", activation="relu", widths=(16, 16))
    biases = [layer.bias.detach().clone() for layer in layers(model)]
    biases[0][0] = layers(model)[0].bias.data[0] = 0.0
    train(model, STEPS, optimizer)
    for layer, above, bias in zip(layers(model)[:2], layers(model)[1:], biases[:2], strict=True):
        dead = bias <= 0
        assert 0 < dead.sum() < 16
        assert not layer.weight[dead].any()
        assert not above.weight[:, dead].any()
        assert torch.equal(layer.bias[dead], bias[dead])
        living = layer.weight[~dead].abs().amax(dim=1)
        assert (living > 0).all()


@pytest.mark.parametrize("activation", ["elu", "tanh", "leaky_relu"])
def test_other_activations_keep_no_unit_dead(make_network, train, layers, activation):
    """The negative case: below zero these still have a slope."""
    model = make_network("normal_bias", activation=activation, widths=(16, 16))
    train(model, STEPS)
    for layer in layers(model)[:2]:
        assert (layer.weight.abs().amax(dim=1) > 0).all()


def test_positive_biases_keep_every_unit_alive(make_network, train, layers):
    """The negative case: U[0, 1)."""
    model = make_network("uniform_bias", activation="relu", widths=(16, 16))
    train(model, steps=3)
    for layer in layers(model)[:2]:
        assert (layer.weight.abs().amax(dim=1) > 0).all()


def test_share_of_dead_units(generator):
    """Half of the units for N(0, 1), within five standard errors; none for U[0, 1)."""
    layer = nn.Linear(1, 10_000)
    initialize_(layer, "normal_bias", generator=generator(0))
    assert (layer.bias <= 0).float().mean().item() == pytest.approx(0.5, abs=0.025)
    initialize_(layer, "uniform_bias", generator=generator(0))
    assert (layer.bias <= 0).sum() == 0
