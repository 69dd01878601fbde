"""Second derivatives in the loss that train nothing, because activations in front of them have none."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from zeroinit.symmetry.verdict.causes.flat import second_derivative
from zeroinit.symmetry.verdict.evidence import Symptom
from zeroinit.symmetry.verdict.passes.calls import Call, Calls
from zeroinit.symmetry.verdict.passes.graph import nodes_behind
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
    flat = [each for each in _second(calls) if nodes_behind([loss]) & {*each.nodes} and not _trains(each, search)]
    for candidate in second_derivative(calls, search.replica) if flat else ():
        smooth = Calls(search.replica, {key: ACTIONS[name] for key, name in candidate.change.calls})
        search.trials.loss(candidate.change, search.step, smooth)
        then = {each.key for each in _second(smooth) if _trains(each, search)}
        if any(each.key in then for each in flat):
            text = f"{candidate.reason.text} So this part of the loss trains nothing."
            yield Symptom("ZI025", "", (), text, candidate.repairs[0][1])


def _second(calls: Calls) -> list[Call]:
    """Return the calls that take a derivative of what a derivative, other than zero, goes into."""
    taken = [each for each in calls.calls if each.func is torch.autograd.grad and _by_points(each)]
    found: list[Call] = []
    first: set[Any] = set()
    for call in taken[:MOST_DERIVATIVES]:
        if first & nodes_behind(call.given):
            found.append(call)
        first |= {node for each, node in zip(call.out, call.nodes, strict=True) if node is not None and each.any()}
    return found


def _by_points(call: Call) -> bool:
    """Tell whether a derivative is one by inputs, and not by parameters."""
    by = call.args[1] if len(call.args) > 1 else call.kwargs.get("inputs")
    return not any(isinstance(each, nn.Parameter) for each in (by if isinstance(by, list | tuple) else [by]))


def _trains(call: Call, search: Search) -> bool:
    """Tell whether a derivative has a gradient to any parameter."""
    out = [each for each in call.out if each.requires_grad]
    if not out:
        return False
    trained = [each for each in search.replica.parameters() if each.requires_grad]
    found = torch.autograd.grad(out, trained, [noise(each) for each in out], retain_graph=True, allow_unused=True)
    return any(each is not None and bool(each.any()) for each in found)
