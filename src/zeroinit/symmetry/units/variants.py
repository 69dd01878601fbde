"""Further runs that tell what units owe their difference to, or whether rounding has moved anything."""

import warnings
from dataclasses import replace

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.memory.frugal import release
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.training import Trace, copy_of, one_pass, run_shadow
from zeroinit.symmetry.units.doubts import kinds_of
from zeroinit.symmetry.units.layers import Layer
from zeroinit.symmetry.units.tracking import NEARLY, Tracker
from zeroinit.symmetry.units.watching import Watch
from zeroinit.symmetry.verdict.evidence import Evidence

__all__ = ["is_signal_at_first", "of_matrices", "owe_to_dropout", "run_single", "switch_off", "without_free_kernels"]


def owe_to_dropout(evidence: Evidence, inspected: list[str]) -> bool:
    """Whether units that are equal at the start may differ only because dropout acts; tried without it."""
    single = evidence.single
    parted = [each for each in of_matrices(evidence.watch) if each.initial < each.num_units]
    parted = [each for each in parted if single.first_step(each.layer.weight) is not None]  # frozen ones never part
    if not (single.drops and parted):
        return False
    steps = max(single.first_step(each.layer.weight) or 1 for each in parted)
    replica = copy_of(evidence.model, torch.float32)
    watch = Watch(replica, inspected, 0.0, full=False, same=NEARLY)
    settings = replace(evidence.settings, steps=steps, dropout=False)
    run_shadow(replica, evidence.objective, torch.float32, settings, watch=watch)
    widths = {each.layer.weight: each.tracker.width for each in watch.layers}
    release(replica)
    return any(widths.get(each.layer.weight, 0) < each.width for each in parted)


def is_signal_at_first(evidence: Evidence, faint: set[str]) -> bool:
    """Whether no matrix has been moved by rounding in the first step, which would change all that comes later."""
    exact = copy_of(evidence.model, torch.float64)
    mode = ShadowMode(torch.float64, evidence.settings.dropout)
    one_pass(exact, evidence.objective, torch.float64, evidence.settings, mode, 1)
    kinds = kinds_of(exact, faint, evidence.single.rows[0])
    dims = {name: each.dim() for name, each in exact.named_parameters()}
    release(exact)
    return all(kind == "signal" or (kind == "rounding" and dims[name] < 2) for name, kind in kinds.items())


def without_free_kernels(evidence: Evidence, inspected: list[str], epsilon: float) -> dict[str, int]:
    """Train in float32 with deterministic kernels alone; count the units that stay the same bit for bit."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings = replace(evidence.settings, steps=len(evidence.single.losses))
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # operations that have no deterministic kernel
            return run_single(evidence.model, evidence.objective, settings, inspected, epsilon)[2]
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def run_single(model, objective, settings, inspected, epsilon) -> tuple[Trace, list[Tracker], dict[str, int]]:
    """Train in float32; also count the units that stay the same bit for bit there."""
    replica = copy_of(model, torch.float32)
    watch = Watch(replica, inspected, epsilon, full=False)
    trace = run_shadow(replica, objective, torch.float32, settings, watch=watch)
    widths = {each.layer.weight: each.tracker.width_bitwise(watch.value) for each in watch.layers}
    trackers = of_matrices(watch)
    release(replica)
    return trace, trackers, widths


def of_matrices(watch: Watch) -> list[Tracker]:
    """Return the trackers of known layers whose weights have two or more axes."""
    trackers = [each.tracker for each in watch.layers]
    return [each for each in trackers if each.layer.known and watch.num_axes(each.layer.weight) > 1]


def switch_off(model, objective, settings, inspected, single, trackers, notes) -> dict[str, dict[str, int]]:
    """Train again without dropout, or with equal biases, where units might owe their difference to it.

    Returns:
        By what was switched off, the number of groups in each layer, by the name of its weight.
    """
    variants: dict[str, dict[str, bool]] = {}
    if single.drops and any(each.initial < each.num_units for each in trackers):
        variants["dropout"] = {"dropout": False}
    if any(each.initial_by_weight < each.initial for each in trackers):
        variants["biases"] = {"equal_biases": True}
    widths = {}
    for name, change in variants.items():
        changed = replace(settings, **{"steps": len(single.losses), **change})
        replica = copy_of(model, torch.float64)
        watch = Watch(replica, inspected, 0.0, full=False)
        try:
            if changed.equal_biases:
                _level_biases(replica, [each.layer for each in trackers])
            run_shadow(replica, objective, torch.float64, changed, reference=single, watch=watch)
            widths[name] = {each.layer.weight: each.tracker.width for each in watch.layers}
        except InputError as error:
            notes.append(f"no shadow without {name} ({error})")
        release(replica)
    return widths


@torch.no_grad()
def _level_biases(replica: nn.Module, layers: list[Layer]) -> None:
    named = dict(replica.named_parameters())
    for layer in layers:
        for part in layer.parts:
            if part.role == "bias":
                named[part.name].fill_(float(named[part.name].mean()))
