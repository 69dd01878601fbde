"""One answer to what a layer is: weights that are found are those that are set; a row is what one unit puts out."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from zeroinit import initialize_
from zeroinit._modules.layers import rows_of_units, weights_of

LAYERS = {
    "dense": lambda: nn.Linear(4, 6),
    "conv": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "transposed": lambda: nn.ConvTranspose1d(4, 6, 3),
    "transposed_grouped": lambda: nn.ConvTranspose1d(4, 6, 3, groups=2),
    "conv1d": lambda: Conv1D(6, 4),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "attention_of_three_sizes": lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_weights_that_are_found_are_those_that_are_set(name, generator):
    model = nn.ModuleDict({"layer": LAYERS[name](), "table": nn.Embedding(3, 2), "norm": nn.LayerNorm(2)})
    record = initialize_(model, "normal_bias", generator=generator(0))
    assert [each.name for each in weights_of(model).values()] == [
        each.name for each in record.parameters if each.rule == "0"
    ]


def test_a_tied_weight_is_found_once_and_a_computed_one_is_not():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    model[1].weight = model[0].weight
    assert [each.name for each in weights_of(model).values()] == ["0.weight"]


@pytest.mark.parametrize(
    ("name", "axis", "groups"),
    [("dense", 0, 1), ("conv", 0, 1), ("conv1d", 1, 1), ("transposed", 1, 1), ("transposed_grouped", 1, 2)],
)
def test_a_row_is_what_one_unit_puts_out(name, axis, groups, generator):
    """With one row at zero, exactly this unit puts out zeros."""
    layer = LAYERS[name]()
    nn.init.zeros_(layer.bias)
    inputs = torch.rand(2, 4, *[5] * (layer.weight.dim() - 2), generator=generator(1))
    with torch.no_grad():
        for unit in range(6):
            nn.init.normal_(layer.weight, generator=generator(2))
            rows = rows_of_units(layer.weight, axis, groups)
            mask = torch.ones_like(rows)
            mask[unit] = 0
            places = rows_of_units(torch.arange(layer.weight.numel()).reshape(layer.weight.shape), axis, groups)
            layer.weight.flatten()[places.flatten()] *= mask.flatten()
            silent = layer(inputs).transpose(0, 1).flatten(1).abs().sum(1) == 0
            assert silent.nonzero().flatten().tolist() == [unit]


def test_rows_along_the_wrong_axis_are_no_units(generator):
    layer = LAYERS["transposed_grouped"]()
    assert rows_of_units(layer.weight, 1, 2).shape == (6, 6)
    assert rows_of_units(layer.weight).shape == (4, 9)
