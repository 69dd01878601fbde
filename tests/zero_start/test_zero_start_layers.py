"""``zero_start_`` sets the layers that its remedies act on: all that ``initialize_`` can set in place."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from zeroinit import InputError, zero_start_
from zeroinit._modules.layers import weights_of


@pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")
def test_what_the_remedies_act_on_is_zero(generator):
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2), "conv": Conv1D(8, 8), "a[0]": nn.Linear(8, 4)})
    start = zero_start_(model, generator=generator(0))
    weights = {entry.name for entry in start.record.parameters if entry.rule == "0"}
    assert weights == {weight.name for weight in weights_of(model).values()}
    assert weights == {"attention.in_proj_weight", "attention.out_proj.weight", "conv.weight", "a[0].weight"}
    assert not any(weight.any() for weight in weights_of(model))


@pytest.mark.filterwarnings("ignore:zero start. weights are zero and nothing:zeroinit.RemedyWarning")
def test_a_weight_that_is_computed_is_let_be_where_it_is_excluded():
    model = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))
    before = model[1].weight.detach().clone()
    assert {entry.name for entry in zero_start_(model, exclude="1*").record.parameters} == {"0.weight", "0.bias"}
    assert torch.equal(model[1].weight, before)


def test_a_weight_that_is_computed_is_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))
    before = model[0].weight.clone()
    with pytest.raises(
        InputError, match=r"1.weight: is computed from .* and a zero start acts on weights themselves; exclude"
    ):
        zero_start_(model)
    assert torch.equal(model[0].weight, before)
