"""A shadow run does what its fields say, to a copy."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.trace import Settings
from zeroinit.symmetry.units.layers import Layer
from zeroinit.symmetry.units.runs import ShadowRun, Subject, carry_out

from ..zoo import VECTORS, classes, mlp


def subject_of(model: nn.Module) -> Subject:
    names = [name for name, _ in model.named_parameters()]
    return Subject(model, Objective(VECTORS, classes(5, len(VECTORS))), Settings(steps=3), names)


def with_equal_weights() -> nn.Sequential:
    model = mlp(nn.Tanh)
    for layer in (model[0], model[2], model[4]):
        nn.init.constant_(layer.weight, 0.1)
    return model


def layers_of(subject: Subject) -> list[Layer]:
    return [each.layer for each in carry_out(ShadowRun(torch.float64, full=False), subject).watch.layers]


@pytest.mark.parametrize("equal_biases", [False, True])
def test_biases_are_made_equal_on_the_copy_alone(equal_biases):
    model = with_equal_weights()
    subject, before = subject_of(model), model[0].bias.detach().clone()
    run = ShadowRun(torch.float64, full=False, equal_biases=equal_biases)
    outcome = carry_out(run, subject, layers=layers_of(subject))
    assert outcome.widths()["0.weight"] == (1 if equal_biases else 16)
    assert torch.equal(model[0].bias, before)


@pytest.mark.parametrize("dropout", [False, True])
def test_dropout_acts_unless_the_run_switches_it_off(dropout):
    layers = nn.Linear(12, 8), nn.Linear(8, 5)
    plain, dropped = (
        carry_out(ShadowRun(torch.float32, dropout=dropout), subject_of(nn.Sequential(layers[0], each, layers[1])))
        for each in (nn.Identity(), nn.Dropout(0.5))
    )
    assert (plain.trace.losses == dropped.trace.losses) != dropout


class Asked(nn.Linear):
    """Notes at each pass whether deterministic kernels are asked for."""

    seen: ClassVar[list[bool]] = []

    def forward(self, x):
        self.seen.append(torch.are_deterministic_algorithms_enabled())
        return super().forward(x)


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_kernels_are_asked_for_in_that_run_alone(deterministic):
    Asked.seen.clear()
    carry_out(ShadowRun(torch.float32, deterministic=deterministic), subject_of(Asked(12, 5)), steps=2)
    assert Asked.seen == [deterministic] * 2
    assert not torch.are_deterministic_algorithms_enabled()
