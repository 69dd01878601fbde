"""Second derivatives in the loss that train nothing, because activations in front of them have none."""

from collections.abc import Iterator
from typing import Any

import torch

from zeroinit._common import InputError
from zeroinit._modules.attached import nodes_behind
from zeroinit.symmetry.verdict.causes.flat import second_derivative
from zeroinit.symmetry.verdict.evidence import Symptom
from zeroinit.symmetry.verdict.passes.calls import Call, Calls
from zeroinit.symmetry.verdict.passes.noise import noise
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.actions import ACTIONS
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["flat_derivatives"]

MOST_DERIVATIVES = 32


def flat_derivatives(search: Search) -> Iterator[Symptom]:
    """Tell of a second derivative in the loss that has no gradient, and gets one from smooth activations."""
    calls = Calls(search.replica)
    loss = search.trials.loss(Change(), search.step, calls)
    behind = nodes_behind([loss.grad_fn])
    flat = [each.key for each in _second(calls) if behind & {*each.nodes} and not _trains(each, search)]
    for each in second_derivative(calls, search.replica) if flat else ():
        smooth = Calls(search.replica, {key: ACTIONS[name] for key, name in each.change.calls})
        try:
            search.trials.loss(each.change, search.step, smooth)
            mended = any(one.key in flat and _trains(one, search) for one in _second(smooth))
        except (InputError, RuntimeError, ValueError):
            return  # it cannot be run with other activations
        if mended:
            text = f"{each.reason.text} So this part of the loss trains nothing."
            yield Symptom("ZI025", "", (), text, each.repairs[0][1])


def _second(calls: Calls) -> list[Call]:
    """Return the calls that take a derivative of what a derivative goes into."""
    found: list[Call] = []
    first: set[Any] = set()
    for call in [each for each in calls.calls if each.func is torch.autograd.grad][:MOST_DERIVATIVES]:
        if first & nodes_behind(each.grad_fn for each in call.given):
            found.append(call)
        first |= {each for each in call.nodes if each is not None}
    return found


def _trains(call: Call, search: Search) -> bool:
    """Tell whether a derivative has a gradient, which is finite, to any parameter."""
    out = [each for each in call.out if each.requires_grad]
    if not out:
        return False
    trained = [each for each in search.replica.parameters() if each.requires_grad]
    found = torch.autograd.grad(out, trained, [noise(each) for each in out], retain_graph=True, allow_unused=True)
    return any(each is not None and bool(each.any()) and bool(torch.isfinite(each).all()) for each in found)
