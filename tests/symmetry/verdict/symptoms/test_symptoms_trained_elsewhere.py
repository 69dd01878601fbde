"""Which optimizers of the process are found: of any class, and no other object that holds parameters."""

import pytest
import torch
from torch import nn

from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer
from zeroinit.symmetry.verdict.symptoms.trained_elsewhere import rates_elsewhere


class Mine(torch.optim.Adam):
    """A class of the user's, below one of torch."""


class Lookalike:
    def __init__(self, parameters, lr):
        self.param_groups = [{"params": parameters, "lr": lr}]


@pytest.mark.parametrize(
    ("kind", "is_found"), [(torch.optim.SGD, True), (torch.optim.Adam, True), (Mine, True), (Lookalike, False)]
)
def test_an_optimizer_of_any_class_is_found(kind, is_found):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    ours = OwnOptimizer(torch.optim.SGD(model[0].parameters(), lr=0.1), model)
    other = kind(list(model[1].parameters()), lr=0.25)
    found = rates_elsewhere(ours, model.parameters())
    assert found == ({id(each): 0.25 for each in model[1].parameters()} if is_found else {})
    del other
    assert rates_elsewhere(ours, model[0].parameters()) == {}
