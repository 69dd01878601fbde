"""Tensors that hang on a model without being registered are found."""

from torch import nn

from zeroinit._modules.attached import attached


def test_what_hangs_on_a_model():
    model = nn.Sequential(nn.Linear(2, 2))
    assert list(attached(model)) == []
    model.kept, model.own = {"a": [nn.Linear(2, 2, bias=False)]}, model[0].weight
    assert [place for place, _ in attached(model)] == ["kept['a'][0].weight"]
