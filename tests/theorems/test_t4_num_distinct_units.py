"""T4: a layer is as wide as it has distinct biases, and stays so; low precision makes biases collide."""

import pytest
import torch
from torch import nn

from zeroinit.init import initialize_

STEPS = 200


def use_each_bias_twice(layers: list[nn.Module]) -> None:
    for layer in layers:
        half = len(layer.bias) // 2
        layer.bias.data[half:] = layer.bias.data[:half]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ["elu", "tanh"])
def test_units_with_the_same_bias_stay_twins(make_network, train, layers, num_distinct, activation, optimizer):
    model = make_network("normal_bias", activation=activation, widths=(16, 16))
    hidden = layers(model)[:2]
    use_each_bias_twice(hidden)
    assert [num_distinct(layer) for layer in hidden] == [8, 8]
    train(model, STEPS, optimizer)
    assert all(layer.weight.any() for layer in hidden)
    assert [num_distinct(layer) for layer in hidden] == [8, 8]


def test_distinct_biases_give_the_full_width(make_network, train, layers, num_distinct):
    """A negative case."""
    model = make_network("normal_bias", widths=(16, 16))
    train(model, STEPS)
    assert [num_distinct(layer) for layer in layers(model)[:2]] == [16, 16]


def test_random_weights_part_twins(make_network, train, layers, num_distinct):
    """A negative case."""
    model = make_network("pytorch", widths=(16, 16))
    use_each_bias_twice(layers(model)[:2])
    train(model, STEPS)
    assert [num_distinct(layer) for layer in layers(model)[:2]] == [16, 16]


@pytest.mark.parametrize(
    ("dtype", "uniform", "normal"),
    [(torch.bfloat16, 301, 416), (torch.float16, 471, 497), (torch.float32, 512, 512)],
    ids=str,
)
def test_biases_collide_in_low_precision(dtype, uniform, normal, generator):
    """T4b: distinct values among 512 draws, mean over ten seeds; the reference is good to about four."""
    for name, expected in (("uniform_bias", uniform), ("normal_bias", normal)):
        counts = []
        for seed in range(10):
            layer = nn.Linear(1, 512, dtype=dtype)
            initialize_(layer, name, generator=generator(seed))
            counts.append(len(layer.bias.unique()))
        assert sum(counts) / len(counts) == pytest.approx(expected, abs=0.1 if expected == 512 else 8)
