"""Calls know their modules and what cuts a gradient off."""

import pytest
import torch
from torch import nn

from zeroinit.symmetry.verdict.passes.applied import checkpoints_off
from zeroinit.symmetry.verdict.passes.calls import Calls

from ...zoo import VECTORS


def test_calls_know_their_modules_and_their_cuts():
    model = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 5))
    with Calls(model) as calls:
        loss = model(VECTORS).detach().sum()
    assert [call.key for call in calls.calls] == [
        ("0", "linear", 1), ("1", "relu", 1), ("2", "linear", 1), ("<loss>", "detach", 1), ("<loss>", "sum", 1),
    ]  # fmt: skip
    assert [call.key for call in calls.calls if call.cuts] == [("<loss>", "detach", 1)]
    assert not loss.requires_grad
    with Calls(model, attach=[("<loss>", "detach", 1)]):
        assert model(VECTORS).detach().sum().requires_grad


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_checkpoints_are_as_before_afterwards():
    layer = nn.Linear(12, 5)
    run = torch.utils.checkpoint.checkpoint
    with checkpoints_off() as met:
        assert run(layer, VECTORS, use_reentrant=True).requires_grad
        assert run(layer, VECTORS, use_reentrant=False).requires_grad
    assert met == [True]
    assert not run(layer, VECTORS, use_reentrant=True).requires_grad
    assert run(layer, VECTORS, use_reentrant=False).requires_grad
