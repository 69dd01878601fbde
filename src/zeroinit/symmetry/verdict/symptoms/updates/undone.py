"""Parameters that each forward pass sets anew, so that their updates are lost."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.verdict.evidence import Evidence, Symptom
from zeroinit.symmetry.verdict.passes.naming import few

__all__ = ["of_resets"]

FASTER = 1000.0
"""Updates so many times larger change what a pass computes from values that are kept elsewhere."""
STEPS = 4
REPAIR = (
    "Leave the parameter as it is and compute with a new tensor: `w = ...; F.linear(x, w)`. "
    "Nothing to do if your own loop copies the trained values back before each update."
)


ROUNDED = (
    "Keep the parameter as it is and compute with a rounded copy: `w = self.weight`, then "
    "`F.linear(x, w + (rounded(w) - w).detach())`."
)


def of_resets(evidence: Evidence) -> Iterator[Symptom]:
    """Yield the parameters that each pass sets to the same values.

    If these values come from the parameter's own first values, it was meant to learn: a warning. A constant that is
    written into a parameter is information.
    """
    names = [name for name, _ in evidence.model.named_parameters() if name in evidence.single.reset]
    names = [name for name in names if evidence.single.first_step(name) is not None]
    always = _reset_at_any_rate(evidence) if names else set()
    rounded = [name for name in names if name not in always]
    for listed in filter(None, [tuple(sorted(_from_present_values(evidence, rounded), key=rounded.index))]):
        text = f"Each forward pass sets {few(listed)} back to the values before the update. They are rounded, as it "
        text += "seems, and an update at this learning rate is smaller than a step."
        yield Symptom("ZI022", listed[0].rpartition(".")[0], listed, text, ROUNDED)
    names = [name for name in names if name in always]
    own = _from_their_own_values(evidence, names)
    for code, chosen in (("ZI022", [each for each in names if each in own]), ("ZI111", [*set(names) - own])):
        if chosen:
            listed = tuple(sorted(chosen, key=names.index))
            text = f"Each forward pass sets {few(listed)} to the same values, so every update of {few(listed)} is lost."
            repair = REPAIR if code == "ZI022" else "Nothing to do if that is meant."
            yield Symptom(code, listed[0].rpartition(".")[0], listed, text, repair)


def _reset_at_any_rate(evidence: Evidence) -> set[str]:
    """Train with far larger updates: what is kept elsewhere, as by an optimizer of its own, then shows."""
    settings = replace(evidence.settings, steps=STEPS, rate_factor=FASTER)
    try:
        return run_shadow(copy_of(evidence.model, torch.float32), evidence.objective, torch.float32, settings).reset
    except InputError:
        return evidence.single.reset


def _from_their_own_values(evidence: Evidence, names: list[str]) -> set[str]:
    """Return which parameters are set to other values if they start at other values."""
    if not names:
        return set()
    first, second = (_set_by_a_pass(evidence, names, negate) for negate in (False, True))
    return {name for name in names if name in first and not torch.equal(first[name], second.get(name, first[name]))}


def _from_present_values(evidence: Evidence, names: list[str]) -> set[str]:
    """Return which parameters a second pass sets to other values, if they were changed after the first one."""
    replica = copy_of(evidence.model, torch.float32)
    first = _values_after_a_pass(evidence, names, replica) if names else {}
    with torch.no_grad():
        for name in first:
            _negate(replica.get_parameter(name))
    second = _values_after_a_pass(evidence, names, replica) if first else {}
    return {name for name in second if not torch.equal(first[name], second[name])}


def _set_by_a_pass(evidence: Evidence, names: list[str], negate: bool) -> dict[str, Tensor]:
    replica = copy_of(evidence.model, torch.float32)
    with torch.no_grad():
        for name in names if negate else ():
            _negate(replica.get_parameter(name))
    return _values_after_a_pass(evidence, names, replica)


def _values_after_a_pass(evidence: Evidence, names: list[str], replica: nn.Module) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(step: int, gradients: dict[str, Tensor]) -> bool:
        found.update({name: replica.get_parameter(name).detach().clone() for name in names})
        return False

    try:
        run_shadow(replica, evidence.objective, torch.float32, replace(evidence.settings, steps=1), watch=keep)
    except InputError:
        return {}
    return found


def _negate(parameter: nn.Parameter) -> None:
    """Give a parameter other values of the same size."""
    parameter.neg_().add_(0.1 * parameter.abs().mean())
