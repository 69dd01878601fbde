"""Values that hooks keep still: part of a gradient is set to zero, and the values there are not zero."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.verdict.evidence import Evidence, Symptom
from zeroinit.symmetry.verdict.passes.naming import few

__all__ = ["held_back"]

LEAST = 0.01
"""A smaller share of the values is not told."""


def held_back(evidence: Evidence) -> Iterator[Symptom]:
    """Yield the parameters of which hooks keep a part still, as a pruning mask that freezes weights it should remove.

    A value of zero whose gradient is set to zero is a pruned one, and meant.
    """
    hooked = [name for name, each in evidence.model.named_parameters() if getattr(each, "_backward_hooks", None)]
    hooked = [name for name in hooked if evidence.single.first_step(name) is not None]
    if not hooked:
        return
    with_hooks, without = (_first_gradients(evidence, hooked, keep) for keep in (True, False))
    shares = {}
    for name in set(with_hooks) & set(without):
        value = evidence.model.get_parameter(name).detach()
        still = (with_hooks[name] == 0) & (without[name] != 0) & (value != 0).to(without[name].device)
        shares[name] = float(still.double().mean()) if still.numel() else 0.0
    names = tuple(name for name in hooked if shares.get(name, 0.0) >= LEAST)
    if not names:
        return
    ends = sorted({f"{100 * shares[name]:.0f}" for name in names}, key=float)
    share = f"{ends[0]} %" if len(ends) == 1 else f"{ends[0]} to {ends[-1]} %"
    text = f"A hook sets the gradient of {share} of the values of {few(names)} to zero. These values are not zero, "
    text += "and they never move."
    path = names[0].rpartition(".")[0] if len(names) == 1 else ""
    yield Symptom("ZI112", path, names, text, "Nothing to do if they are meant to stay; else remove the hook.")


def _first_gradients(evidence: Evidence, names: list[str], hooks: bool) -> dict[str, Tensor]:
    """Return the gradients of a first pass, with the hooks of these parameters or without them."""
    replica, found = copy_of(evidence.model, torch.float32), {}
    for name in () if hooks else names:
        replica.get_parameter(name)._backward_hooks = None

    def keep(step: int, gradients: dict[str, Tensor]) -> bool:
        found.update({name: gradients[name].detach().clone() for name in names if name in gradients})
        return False

    try:
        run_shadow(replica, evidence.objective, torch.float32, replace(evidence.settings, steps=1), watch=keep)
    except InputError:
        return {}
    return found
