"""Weights that an update moves by less than a millionth of their size, while others move far faster.

Source: the gradient of a factor in a product of many small ones is smaller still (Saxe et al. 2014).
"""

from collections.abc import Iterator

from torch import nn

from zeroinit.symmetry.shadow.trace import Trace
from zeroinit.symmetry.verdict.evidence import Evidence, Symptom
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.symptoms.updates.faint_updates import has_steady_signal

__all__ = ["find_speeds", "of_slow"]

SLOW, USUAL = 1e-6, 1e-4
"""Updates as shares of a weight's size: what is told, and what at least one other weight has."""


def find_speeds(model: nn.Module, replica: nn.Module, trace: Trace) -> dict[str, float]:
    """Return by how much of its largest value the largest change of each trained weight is, per update, by name.

    Args:
        model: As it was handed over.
        replica: Its copy after a run in float32.
        trace: That run, with the user's own optimizer; else there is nothing to tell.
    """
    held = trace.held or {}
    if not trace.sizes or trace.broken is not None:
        return {}
    own, speeds = dict(model.named_parameters()), {}
    for name, parameter in replica.named_parameters():
        start = own[name].detach() if name in own else None
        if start is None or start.dim() < 2 or not held.get(name) or not start.is_floating_point():
            continue
        largest = float(start.abs().max()) if start.numel() else 0.0
        if largest:
            change = float((parameter.detach() - start.to(parameter)).abs().max())
            speeds[name] = change / largest / len(trace.sizes)
    return speeds


def of_slow(evidence: Evidence) -> Iterator[Symptom]:
    """Tell weights that hardly move at the user's own learning rate."""
    fastest = max(evidence.speeds, key=lambda name: evidence.speeds[name], default="")
    slow = {name for name, speed in evidence.speeds.items() if 0 < speed < SLOW and name not in evidence.still}
    names = tuple(name for name in evidence.speeds if name in slow and has_steady_signal(name, evidence.single))
    if not names or evidence.speeds[fastest] < USUAL:
        return
    most = max(evidence.speeds[name] for name in names)
    text = f"An update moves {few(names)} by at most {most:.1g} of the largest value there, and "
    text += f"`{fastest}` by {evidence.speeds[fastest]:.1g}. Larger values at the start, or Adam, even this out."
    yield Symptom("ZI114", names[0].rpartition(".")[0], names, text, "Start with larger values, or use Adam.")
