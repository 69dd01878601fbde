"""``zero_start_`` sets the layers that its remedies act on, and no others, whatever ``initialize_`` can set."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from zeroinit import InputError, zero_start_


def test_only_what_the_remedies_act_on_is_zero(generator):
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2), "conv": Conv1D(8, 8), "a[0]": nn.Linear(8, 4)})
    start = zero_start_(model, generator=generator(0))
    assert {entry.name for entry in start.record.parameters} == {
        "attention.out_proj.weight",
        "attention.out_proj.bias",
        "a[0].weight",
        "a[0].bias",
    }
    assert model["attention"].in_proj_weight.any()
    assert model["conv"].weight.any()


def test_a_weight_that_is_computed_is_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))
    before = model[0].weight.clone()
    with pytest.raises(InputError, match=r"1.weight: is computed by WeightNorm and cannot be set in place; exclude"):
        zero_start_(model)
    assert torch.equal(model[0].weight, before)
