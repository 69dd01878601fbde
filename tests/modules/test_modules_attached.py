"""Tensors that hang on a model without being registered are found."""

import torch
from torch import nn

from zeroinit._modules.attached import attached, leaves_of, unregistered


def test_what_hangs_on_a_model():
    model = nn.Sequential(nn.Linear(2, 2))
    assert list(attached(model)) == []
    model.kept, model.own = {"a": [nn.Linear(2, 2, bias=False)]}, model[0].weight
    assert [place for place, _ in attached(model)] == ["kept['a'][0].weight"]


def test_leaves_are_found_through_all_that_was_computed():
    one, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    assert leaves_of(one) == {id(one)}
    assert leaves_of((one * other + one).exp()) == {id(one), id(other)}
    assert leaves_of((one.detach() * other).sum()) == {id(other)}


def test_what_a_loss_reaches_and_the_model_does_not_register():
    model, outside = nn.Linear(2, 2), torch.ones(2, requires_grad=True)
    model.kept, model.own, model.fixed = [2 * outside], 2 * model.weight, torch.ones(2)
    assert unregistered(model, leaves_of(model(outside).sum())) == ["kept[0]"]
    assert unregistered(model, leaves_of(model.weight.sum())) == []
