"""Doubts that a float32 run leaves to float64: gradients that may be rounding, units that may be equal."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from zeroinit.symmetry.measures.rounding import SMALL, row_sizes, told_from_course, told_from_rounding
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.memory.frugal import release
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import one_pass
from zeroinit.symmetry.shadow.trace import Trace
from zeroinit.symmetry.units.runs import ShadowRun, Subject, carry_out
from zeroinit.symmetry.units.watching import Watch

__all__ = ["Doubts", "all_signal", "find_doubts", "is_signal_at_first", "kinds_of", "owe_to_dropout", "told_by_steps"]

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
    """Look for everything that exact arithmetic might show otherwise.

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
    """Tell faint gradients of vectors from rounding, by their change from step to step. Empty text where that is open.

    A signal changes little in an update on the same batch. Rounding is drawn anew.

    Args:
        trace: The float32 run.
        faint: Names of parameters.
    """
    return {name: told_from_course([of.get(name) for of in trace.vectors]) for name in faint}


def kinds_of(exact: nn.Module, faint: set[str], single: dict[str, np.ndarray]) -> dict[str, str]:
    """Compare faint gradients of float32 with those of a copy in float64: signal, rounding, or open, by name.

    Args:
        exact: A copy in float64 that has gone backward at the same step.
        faint: Names of parameters.
        single: Sizes in float32, by name (rows,).
    """
    named = {name: each.grad for name, each in exact.named_parameters() if each.grad is not None}
    sizes = {name: row_sizes(each).double().cpu().numpy() for name, each in named.items()}
    largest = max((float(each.max(initial=0.0)) for each in sizes.values()), default=0.0)
    none = np.zeros(1)
    return {  # what takes no part in this pass, as a layer that is left out at random, shows nothing
        name: told_from_rounding(sizes[name], single.get(name, none), largest) if name in sizes else ""
        for name in faint
    }


def all_signal(exact: nn.Module, kinds: dict[str, str]) -> bool:
    """Tell whether every faint gradient is a signal, or rounding of a vector, which moves no matrix."""
    dims = {name: each.dim() for name, each in exact.named_parameters()}
    return all(kind == "signal" or (kind == "rounding" and dims[name] < 2) for name, kind in kinds.items())


def is_signal_at_first(subject: Subject, single: Trace, faint: set[str]) -> bool:
    """Tell whether rounding moved no matrix in the first step; such a move would change all that comes later.

    Args:
        subject: What is inspected.
        single: The float32 run.
        faint: Names of parameters with a faint gradient.
    """
    exact = copy_of(subject.model, torch.float64)
    mode = ShadowMode(torch.float64, subject.settings.dropout)
    one_pass(exact, subject.objective, torch.float64, subject.settings, mode, 1)
    settled = all_signal(exact, kinds_of(exact, faint, single.rows[0]))
    release(exact)
    return settled


def owe_to_dropout(subject: Subject, single: Trace, watch: Watch, run: ShadowRun) -> bool:
    """Tell whether units that are equal at the start may differ only because dropout acts.

    Args:
        subject: What is inspected.
        single: The float32 run.
        watch: What was kept of it.
        run: The same without dropout; done where equal units have parted.
    """
    parted = [each for each in watch.of_matrices() if each.initial < each.num_units]
    parted = [each for each in parted if single.first_step(each.layer.weight) is not None]  # frozen ones never part
    if not (single.drops and parted):
        return False
    steps = max(single.first_step(each.layer.weight) or 1 for each in parted)
    without = carry_out(run, subject, steps=steps)
    widths = without.widths()
    release(without.replica)
    return any(widths.get(each.layer.weight, 0) < each.width for each in parted)
