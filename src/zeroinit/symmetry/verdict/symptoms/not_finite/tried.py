"""Tries a repair of numbers that are not finite: are loss and gradients finite with it?"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit._modules.batch import map_tensors
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import forward_loss
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.shadow.undisturbed import reseed
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.passes.applied import checkpoints_off
from zeroinit.symmetry.verdict.passes.calls import Calls
from zeroinit.symmetry.verdict.trials.drawn_inputs import random_inputs

__all__ = ["IGNORED", "LARGE_INPUT", "helps", "watched_loss"]

IGNORED = -100
LARGE_INPUT = 10.0
"""Inputs that go further are not normalized."""


def watched_loss(
    evidence: Evidence, replica: nn.Module, step: int, dtype: torch.dtype, calls: Calls, objective: Objective
) -> Tensor:
    """Return the loss of one forward pass whose calls are watched, or changed."""
    reseed(evidence.settings.seed, step)
    with checkpoints_off(), calls:
        return forward_loss(replica, objective, dtype, ShadowMode(dtype, evidence.settings.dropout))


def helps(evidence: Evidence, change: Any, step: int, dtype: torch.dtype) -> bool:
    """Try a repair: are loss and gradients finite then?"""
    if change == "masks":
        return any(helps(evidence, fill, step, dtype) for fill in (True, False))
    replica, objective = copy_of(evidence.model, dtype), evidence.objective
    changes: dict = {}
    if isinstance(change, bool):
        objective = replace(objective, inputs=_unmasked(objective.inputs, change))
    elif change == "scaled inputs":
        objective = replace(objective, inputs=_scaled(objective.inputs))
    elif isinstance(change, Mapping):
        changes = dict(change)
    elif change == "inputs":
        objective = replace(objective, inputs=random_inputs(objective.inputs))
    elif change == "labels":
        objective = replace(objective, inputs=_labeled(objective.inputs), targets=_labeled(objective.targets))
    elif change[0] == "draw":
        with torch.no_grad():
            for name in change[1]:
                replica.get_parameter(name).normal_(0, 0.02)
    try:
        if step > 1:
            run_shadow(replica, objective, dtype, replace(evidence.settings, steps=step - 1))
        loss = watched_loss(evidence, replica, step, dtype, Calls(replica, changes), objective)
        own = [each for each in replica.parameters() if each.requires_grad]
        found = torch.autograd.grad(loss, own, allow_unused=True) if loss.requires_grad else ()
    except (InputError, RuntimeError):
        return False
    return math.isfinite(float(loss.detach())) and all(
        each is None or bool(torch.isfinite(each).all()) for each in found
    )


def _scaled(value: Any) -> Any:
    """Bring inputs that are large to a standard deviation of one."""

    def scale(each: Tensor) -> Tensor:
        large = each.is_floating_point() and each.numel() > 1 and float(each.abs().max()) > LARGE_INPUT
        return (each - each.mean()) / each.std().clamp_min(1e-6) if large else each

    return map_tensors(value, scale)


def _labeled(value: Any) -> Any:
    def label(each: Tensor) -> Tensor:
        return torch.zeros_like(each) if each.dtype == torch.long and bool((each == IGNORED).all()) else each

    return map_tensors(value, label)


def _unmasked(value: Any, fill: bool) -> Any:
    """Fill every mask with one truth value, or with no bias."""

    def unmask(each: Tensor) -> Tensor:
        if each.dtype == torch.bool:
            return torch.full_like(each, fill)
        return torch.zeros_like(each) if each.layout == torch.strided and bool(torch.isinf(each).any()) else each

    return map_tensors(value, unmask)
