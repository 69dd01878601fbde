"""T1: layer l of L has gradients from step L - l + 1 on, and exactly none before.

With zero weights no error passes through a layer: its own weights get a gradient, the layers below do not. Each
update makes one more layer able to pass the error down.
"""

import pytest
import torch

ACTIVATIONS = ["elu", "gelu", "relu", "tanh"]


def first_gradient_steps(gradients: list[dict[str, torch.Tensor]], part: str) -> list[int]:
    """The first step (from 1) with a gradient that is not exactly zero, by layer from input to output."""
    names = [name for name in gradients[0] if name.endswith(part)]
    return [next((step for step, of in enumerate(gradients, 1) if of[name].any()), 0) for name in names]


@pytest.mark.parametrize("initializer", ["normal_bias", "uniform_bias", "constant_bias"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_layers_start_from_the_output_down(make_network, train, activation, optimizer, initializer):
    gradients = train(make_network(initializer, activation=activation), steps=5, optimizer=optimizer)
    assert first_gradient_steps(gradients, "weight") == [4, 3, 2, 1]
    assert first_gradient_steps(gradients, "bias") == [4, 3, 2, 1]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_convolutions_start_likewise(make_network, train, activation, optimizer):
    model = make_network("normal_bias", model="mnist_cnn", activation=activation)
    gradients = train(model, steps=4, optimizer=optimizer)
    assert first_gradient_steps(gradients, "weight") == [3, 2, 1]
    assert first_gradient_steps(gradients, "bias") == [3, 2, 1]


@pytest.mark.parametrize("num_layers", [1, 2, 6])
def test_the_first_gradient_step_is_the_distance_from_the_output(make_network, train, num_layers):
    gradients = train(make_network("normal_bias", widths=(8,) * (num_layers - 1)), steps=num_layers + 1)
    assert first_gradient_steps(gradients, "weight") == list(range(num_layers, 0, -1))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_locked_layers_do_not_move_at_all(make_network, train, layers, optimizer):
    model = make_network("normal_bias")
    first = layers(model)[0]
    bias = first.bias.detach().clone()
    train(model, steps=3, optimizer=optimizer)
    assert not first.weight.any()
    assert torch.equal(first.bias, bias)
    train(model, steps=1, optimizer=optimizer)
    assert first.weight.any()


@pytest.mark.parametrize("model", [None, "mnist_cnn"])
def test_pytorch_default_has_gradients_everywhere_from_the_start(make_network, train, model):
    """The negative case."""
    gradients = train(make_network("pytorch", model=model), steps=1)
    assert set(first_gradient_steps(gradients, "weight")) == set(first_gradient_steps(gradients, "bias")) == {1}
