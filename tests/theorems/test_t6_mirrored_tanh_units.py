"""T6: under tanh, units with biases b and -b stay mirrored."""

import pytest

STEPS, TOLERANCE = 200, 1e-10


def mirror_biases(layers) -> None:
    for layer in layers:
        half = len(layer.bias) // 2
        layer.bias.data[half:] = -layer.bias.data[:half]


def asymmetry(layer) -> float:
    """How far the second half of the units is from the first with all signs turned, relative to their size."""
    half = len(layer.bias) // 2
    weight, bias = layer.weight.detach(), layer.bias.detach()
    assert weight.any()
    return max(
        float((weight[:half] + weight[half:]).abs().max() / weight.abs().max()),
        float((bias[:half] + bias[half:]).abs().max() / bias.abs().max()),
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("widths", [(16,), (16, 16)])
def test_mirrored_units_stay_mirrored(make_network, train, layers, widths, optimizer):
    model = make_network("normal_bias", activation="tanh", widths=widths)
    hidden = layers(model)[: len(widths)]
    mirror_biases(hidden)
    train(model, STEPS, optimizer)
    assert max(asymmetry(layer) for layer in hidden) < TOLERANCE
    top = layers(model)[-1].weight.detach()
    assert (top[:, :8] + top[:, 8:]).abs().max() < TOLERANCE * top.abs().max()


@pytest.mark.parametrize("activation", ["elu", "sigmoid"])
def test_other_activations_do_not_mirror(make_network, train, layers, activation):
    """A negative case: these are not odd functions."""
    model = make_network("normal_bias", activation=activation, widths=(16,))
    mirror_biases(layers(model)[:1])
    train(model, STEPS)
    assert asymmetry(layers(model)[0]) > 0.01


def test_other_biases_do_not_mirror(make_network, train, layers):
    """A negative case."""
    model = make_network("normal_bias", activation="tanh", widths=(16,))
    train(model, STEPS)
    assert asymmetry(layers(model)[0]) > 0.01


def test_random_weights_do_not_mirror(make_network, train, layers):
    """A negative case."""
    model = make_network("pytorch", activation="tanh", widths=(16,))
    mirror_biases(layers(model)[:1])
    train(model, STEPS)
    assert asymmetry(layers(model)[0]) > 0.01
