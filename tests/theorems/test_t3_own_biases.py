"""T3: the units of a layer separate only if that layer's own biases differ."""

import pytest

from zeroinit.init import initialize_

STEPS = 30


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("random_layers", "expected"),
    [
        ([1, 2, 3], [16, 16, 16]),
        ([3], [1, 1, 16]),
        ([1], [16, 1, 1]),
        ([2], [1, 16, 1]),
        ([], [1, 1, 1]),
    ],
    ids=["all", "last", "first", "middle", "none"],
)
def test_layers_separate_by_their_own_biases(
    make_network, train, layers, num_distinct, generator, random_layers, expected, optimizer
):
    model = make_network("constant_bias")
    if random_layers:
        include = [f"dense_{number}" for number in random_layers]
        initialize_(model, "normal_bias", include=include, generator=generator(1))
    train(model, STEPS, optimizer)
    assert all(layer.weight.any() for layer in layers(model))
    assert [num_distinct(layer) for layer in layers(model)[:3]] == expected


def test_random_weights_separate_units_whatever_their_biases(make_network, train, layers, num_distinct):
    """The negative case: with random weights the biases may be the same."""
    model = make_network("pytorch")
    for layer in layers(model):
        layer.bias.data.fill_(1.0)
    train(model, STEPS)
    assert [num_distinct(layer) for layer in layers(model)[:3]] == [16, 16, 16]


def test_random_output_biases_separate_no_hidden_unit(make_network, train, layers, num_distinct, generator):
    model = make_network("constant_bias")
    initialize_(model, "normal_bias", include="dense_4", generator=generator(1))
    train(model, STEPS)
    assert [num_distinct(layer) for layer in layers(model)[:3]] == [1, 1, 1]
