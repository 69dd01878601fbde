"""What a float32 run leaves open, so that float64 is asked: gradients that may be rounding, units that may be equal.

Source: rounding in float32 is about 1e-7 of what is added up, and a norm over a constant channel divides by the root of
its epsilon, which makes it 300 times as large.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit.symmetry.shadow.training import SMALL, Trace, is_rounding, row_sizes
from zeroinit.symmetry.units.watching import Watch

__all__ = ["Doubts", "find_doubts", "kinds_of", "told_by_steps", "told_from_rounding"]

RANDOM, STEADY = 0.5, 0.9
"""Cosines between the gradients of two steps: of rounding, which is drawn anew, and of a signal."""
FEWEST_VALUES = 32
"""A vector of so many values has a cosine above ``RANDOM`` by chance in less than one of 200 pairs."""
TINY = 1e-5
"""If no gradient of the model is larger, all of them may be rounding."""
FAINT_ROW = 1e-8
"""A row of a matrix below this share of the model's largest gradient may be rounding."""


@dataclass
class Doubts:
    """What float32 cannot tell.

    Attributes:
        reasons: In words; none if the float32 run is enough.
        faint: Parameters with a faint gradient from the first step on: single passes in float64 tell it from rounding.
        matrices: Whether a matrix is among them, whose updates by rounding would change all that comes later.
    """

    reasons: list[str] = field(default_factory=list)
    faint: set[str] = field(default_factory=set)
    matrices: bool = False

    def __bool__(self) -> bool:
        return bool(self.reasons)


def find_doubts(trace: Trace, watch: Watch, trained: Iterable[str]) -> Doubts:
    """Look for all that could be otherwise in exact arithmetic.

    Args:
        trace: The float32 run.
        watch: What was kept of it.
        trained: Names of the parameters that are inspected and train.
    """
    doubts = Doubts()
    if not all(map(math.isfinite, trace.losses)) or not trace.sizes:
        doubts.reasons.append("the loss is not finite")
        return doubts
    if trace.coarse:
        doubts.reasons.append("the model computes in 16 bits")
    if trace.flat:
        doubts.reasons.append("a norm has a constant channel")
    largest = [max((size for size in sizes.values() if size > 0), default=0.0) for sizes in trace.sizes]
    for name in trained:
        _of_gradients(doubts, name, trace, largest, watch.value(name).dim())
    if largest[0] < TINY:
        doubts.reasons.append("all gradients are tiny")
    doubts.reasons += [f"units of {name} are equal" for name in watch.equal_units()]
    return doubts


def _of_gradients(doubts: Doubts, name: str, trace: Trace, largest: list[float], num_axes: int) -> None:
    sizes = [of.get(name, math.nan) for of in trace.sizes]
    first = trace.first_step(name)
    if first is None or not all(map(math.isfinite, sizes[first - 1 :])):
        doubts.reasons.append(f"{name} has no gradient, or an infinite one")
        return
    shares = [size / most for size, most in zip(sizes, largest, strict=True) if size > 0 and most > 0]
    if min(shares) >= SMALL and not (num_axes > 1 and _has_faint_rows(name, trace, largest)):
        return
    if first > 1:
        doubts.reasons.append(f"{name} has a faint gradient that comes late")
        return
    doubts.faint.add(name)
    doubts.matrices |= num_axes > 1


def _has_faint_rows(name: str, trace: Trace, largest: list[float]) -> bool:
    rows = [(of[name], most) for of, most in zip(trace.rows, largest, strict=True) if name in of]
    return any(bool(((sizes > 0) & (sizes < FAINT_ROW * most)).any()) for sizes, most in rows)


def told_by_steps(trace: Trace, faint: set[str]) -> dict[str, str]:
    """Tell vectors with a faint gradient from rounding by how it changes from step to step; empty where that is open.

    A signal changes little in an update on the same batch. Rounding is drawn anew.

    Args:
        trace: The float32 run.
        faint: Names of parameters.
    """
    return {name: _told_by_steps([of.get(name) for of in trace.vectors]) for name in faint}


def _told_by_steps(gradients: list[Tensor | None]) -> str:
    seen = [each.double() for each in gradients if each is not None]
    if len(seen) < len(gradients) or len(seen) < 3:
        return ""
    cosines = [float(F.cosine_similarity(one, next_, dim=0)) for one, next_ in pairwise(seen)]
    if min(cosines) > STEADY:
        return "signal"
    return "rounding" if len(seen[0]) >= FEWEST_VALUES and max(map(abs, cosines)) < RANDOM else ""


def told_from_rounding(double: np.ndarray, single: np.ndarray, largest: float) -> str:
    """Tell from one gradient in both precisions whether it is ``"rounding"`` or ``"signal"`` in all of its rows.

    Args:
        double: Sizes in float64 (rows,).
        single: Sizes in float32 (rows,).
        largest: The largest gradient of the model in float64.

    Returns:
        Nothing where rows differ.

    Example:
        >>> told_from_rounding(np.array([1e-17, 0.0]), np.array([1e-9, 0.0], dtype=np.float32), 1.0)
        'rounding'
        >>> told_from_rounding(np.array([1e-9, 0.0]), np.array([1e-9, 0.0], dtype=np.float32), 1.0)
        'signal'
    """
    false = is_rounding(double, single, largest)
    if (false | (double == 0)).all():
        return "rounding"
    return "" if false.any() or ((single > 0) & (double == 0)).any() else "signal"


def kinds_of(exact: nn.Module, faint: set[str], single: dict[str, np.ndarray]) -> dict[str, str]:
    """Tell faint gradients of float32, by name, from rounding, by those that a copy in float64 has now.

    Args:
        exact: A copy in float64 that has gone backward at the same step.
        faint: Names of parameters.
        single: Sizes in float32, by name (rows,).
    """
    named = {name: each.grad for name, each in exact.named_parameters() if each.grad is not None}
    sizes = {name: row_sizes(each).double().cpu().numpy() for name, each in named.items()}
    largest = max((float(each.max(initial=0.0)) for each in sizes.values()), default=0.0)
    none = np.zeros(1)
    return {name: told_from_rounding(sizes.get(name, none), single.get(name, none), largest) for name in faint}
