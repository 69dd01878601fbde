"""Trainable values that the loss alone holds are found by name."""

import pytest
import torch
from torch import nn

from zeroinit.symmetry.verdict.symptoms.loss_parameters import parameters_of_loss

pytestmark = pytest.mark.usefixtures("without_type_checks")


class Scored(nn.Module):
    def __init__(self):
        super().__init__()
        self.align = nn.Linear(3, 2)

    def forward(self, output):
        return self.align(output).mean()


def test_parameters_of_a_loss_are_found_by_name():
    model, scored, scale = nn.Linear(2, 3), Scored(), nn.Parameter(torch.ones(1))
    assert list(parameters_of_loss(scored, model)) == ["align.weight", "align.bias"]
    assert list(parameters_of_loss(lambda output: scale * scored(output), model)) == [
        "scale", "scored.align.weight", "scored.align.bias",
    ]  # fmt: skip
    assert parameters_of_loss(lambda output: model.weight.sum() + output.sum(), model) == {}
    assert list(parameters_of_loss(scored.forward, model)) == ["align.weight", "align.bias"]
