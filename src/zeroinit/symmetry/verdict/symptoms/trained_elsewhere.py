"""Parameters that an optimizer leaves to others: no gradient reaches them, or another optimizer holds them."""

import gc
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.symptoms.symptoms import of_optimizer

__all__ = ["leave_to_others", "rates_elsewhere"]

ON_PURPOSE = ("detached", "unused", "idle")
"""Reasons of parameters that a step leaves out."""


def rates_elsewhere(optimizer: OwnOptimizer, tensors: Iterable[Tensor]) -> dict[int, float]:
    """Return the rates of what any other optimizer of this process holds, by identity, as that of a discriminator.

    Args:
        optimizer: The one that was handed over.
        tensors: What is looked for.
    """
    wanted = {id(each) for each in tensors} - set(optimizer.rates)
    if not wanted:
        return {}
    others: list[Any] = [each for each in gc.get_objects() if issubclass(type(each), torch.optim.Optimizer)]
    groups = [group for each in others for group in each.param_groups]
    return {id(each): float(group.get("lr", 1.0)) for group in groups for each in group["params"] if id(each) in wanted}


def leave_to_others(evidence: Evidence) -> None:
    """Take back warnings about parameters outside the user's own optimizer, where that is no fault.

    This step does not train a parameter that the optimizer does not hold and that no gradient reaches: a critic's step
    does not train the generator. Another optimizer of this process may hold a parameter that gets a gradient.
    """
    held, optimizer = evidence.single.held, evidence.settings.optimizer
    if not held:
        return
    left = {name for name, reason in evidence.reasons.items() if name not in held and reason.kind in ON_PURPOSE}
    text = "The optimizer does not hold {it} either."
    for name in left:
        evidence.reasons[name] = replace(evidence.reasons[name], kind="idle", text=text, cause="left to others")
    if isinstance(optimizer, OwnOptimizer):
        missing = {name: each for name, each in evidence.model.named_parameters() if name not in held}
        elsewhere = rates_elsewhere(optimizer, missing.values())
        left |= {name for name, each in missing.items() if id(each) in elsewhere}
    evidence.left_to_others = left
    names = {name for name, _ in evidence.model.named_parameters()}
    others = [each for each in evidence.symptoms if each.code != "ZI018" or not set(each.parameters) <= names]
    evidence.symptoms = [*others, *of_optimizer(evidence, left)]
