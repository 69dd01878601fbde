"""Parameters that one update throws so far away that every later one is smaller than the rounding of their values.

Source: the slope of ``F.normalize`` at zero is 1 / eps, that is 1e12 with PyTorch's eps.
"""

from collections.abc import Iterator

import torch
from torch import nn

from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.trace import Trace
from zeroinit.symmetry.verdict.evidence import Evidence, Symptom
from zeroinit.symmetry.verdict.passes.naming import draw_line, few
from zeroinit.symmetry.verdict.symptoms.updates.faint_updates import LOST, step_length
from zeroinit.symmetry.verdict.trials.trials import Change, Trials

__all__ = ["find_thrown", "of_thrown"]

FAR = 1e4
"""A value counts as far if it is so many times larger than one, and than all values at the start."""
FEWEST_LOST = 2
SMALLER = 1e-3


def find_thrown(model: nn.Module, replica: nn.Module, trace: Trace) -> dict[str, float]:
    """Return the largest value at the end of parameters that the first update has thrown, by name.

    Args:
        model: As it was handed over.
        replica: Its copy after a run in float32.
        trace: That run.
    """
    found: dict[str, float] = {}
    if len(trace.sizes) <= FEWEST_LOST or trace.broken is not None:
        return found
    starts = dict(model.named_parameters())
    for name, parameter in replica.named_parameters():
        start = starts.get(name)
        if start is None or not parameter.requires_grad or not parameter.numel() or not parameter.is_floating_point():
            continue
        end = float(parameter.detach().abs().max())
        if end > FAR * max(1.0, float(start.detach().abs().max())):
            options = trace.options.get(name, {})
            later = [step_length(of[name], options) for of in trace.sizes[1:] if of.get(name) == of.get(name, 0.0)]
            if len(later) >= FEWEST_LOST and max(later) <= LOST * end:
                found[name] = end
    return found


def of_thrown(evidence: Evidence) -> Iterator[Symptom]:
    """Tell of parameters that the first update has thrown, with the start that keeps them near."""
    names = tuple(evidence.thrown)
    if not names:
        return
    first = max(evidence.single.sizes[0][name] for name in names)
    text = f"The first update takes {few(names)} to {max(evidence.thrown.values()):.1g}, and every later one is lost: "
    text += f"it is smaller than the rounding of such values. The first gradient is {first:.1g}."
    zero = tuple(name for name in names if not evidence.model.get_parameter(name).detach().any())
    repair = "Lower the learning rate, or clip the gradient."
    if zero:
        replica, settings = copy_of(evidence.model, torch.float64), evidence.settings
        trials = Trials(replica, evidence.objective, torch.float64, settings.dropout, settings.seed, set(zero))
        rows = trials.rows(Change(draw=zero), 1, 1)
        if rows and max(float(each.max(initial=0.0)) for each in rows.values()) < SMALLER * first:
            known = [name for name, _ in evidence.model.named_parameters()]
            repair = f"Start with {draw_line(list(zero), len(zero), known=known)}."
            text += " The slope at zero is that steep."
    yield Symptom("ZI020", names[0].rpartition(".")[0], names, text, repair)
