"""Updates in half precision that are not finite: an optimizer's epsilon is zero there, and it divides zero by zero.

Source: the least number of float16 is 6e-8 (IEEE 754), and Adam's epsilon is 1e-8 (Kingma and Ba 2015).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.shadow.updates import LEARNING_RATES
from zeroinit.symmetry.verdict.evidence import Evidence

__all__ = ["broken_by_an_update"]

ENOUGH = 1e-4
"""An epsilon that float16 knows."""


def broken_by_an_update(evidence: Evidence) -> tuple[tuple[str, ...], float, bool] | None:
    """Update values in their own type once, with gradients of a float32 copy.

    Returns:
        Names of the parameters in float16 that are not finite afterwards, the optimizer's epsilon, and whether they
        are finite with an epsilon of 1e-4. ``None`` where all is finite.
    """
    trained = {name: each for name, each in evidence.model.named_parameters() if each.requires_grad}
    build = _builder(evidence)
    if build is None or not any(each.dtype == torch.float16 for each in trained.values()):
        return None
    gradients: dict[str, Tensor] = {}

    def keep(step: int, found: dict[str, Tensor]) -> bool:
        gradients.update({name: each.detach().clone() for name, each in found.items()})
        return False

    try:
        settings = replace(evidence.settings, steps=1)
        run_shadow(copy_of(evidence.model, torch.float32), evidence.objective, torch.float32, settings, watch=keep)
        broken, epsilon = _update(trained, gradients, build)
        if not broken:
            return None
        return broken, epsilon, not _update(trained, gradients, build, ENOUGH)[0]
    except (InputError, RuntimeError, ValueError, KeyError, TypeError):  # made for the parameters of this model alone
        return None


def _builder(evidence: Evidence) -> Callable[[list[nn.Parameter]], Any] | None:
    rule, rate = evidence.settings.optimizer, evidence.settings.learning_rate
    if rule == "adam":
        return lambda parameters: torch.optim.Adam(parameters, LEARNING_RATES["adam"] if rate is None else rate)
    return None if isinstance(rule, str) else rule


def _update(
    trained: dict[str, nn.Parameter],
    gradients: dict[str, Tensor],
    build: Callable[[list[nn.Parameter]], Any],
    epsilon: float | None = None,
) -> tuple[tuple[str, ...], float]:
    """Take one step from copies of values; return those in float16 that are not finite, and the epsilon."""
    values = {name: nn.Parameter(each.detach().clone()) for name, each in trained.items()}
    for name, each in values.items():
        each.grad = gradients[name].to(each.dtype) if name in gradients else None
    optimizer = build(list(values.values()))
    for group in optimizer.param_groups:
        if epsilon is not None and "eps" in group:
            group["eps"] = epsilon
    optimizer.step()
    narrow = [name for name, each in values.items() if each.dtype == torch.float16]
    broken = tuple(name for name in narrow if not bool(torch.isfinite(values[name].detach()).all()))
    return broken, min((float(group.get("eps", 1.0)) for group in optimizer.param_groups), default=1.0)
