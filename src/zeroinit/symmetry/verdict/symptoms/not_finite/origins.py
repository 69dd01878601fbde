"""Where numbers that are not finite begin: behind a NaN there may be an infinity, and behind that a value gone to zero.

Source: IEEE 754: log 0 is minus infinity, and 0 · inf, inf - inf and inf / inf are NaN.
"""

import math

import torch
from torch import Tensor

from zeroinit.symmetry.verdict.causes.views import DIVISIONS
from zeroinit.symmetry.verdict.passes.calls import Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.states import state

__all__ = ["first_broken", "maker", "mild_below", "passes_on"]

VIEWS = ("getitem", "view", "reshape", "unsqueeze", "squeeze", "transpose", "permute", "expand", "flatten", "select",
         "to", "float", "double", "contiguous", "gather", "index_select", "t", "unbind", "split", "chunk")  # fmt: skip
"""Calls whose result holds values of their argument."""


def first_broken(calls: Calls) -> Call | None:
    """Return the call on the way to the loss that first makes infinity or NaN, unless infinity is meant there."""
    for call in calls.calls:
        if call.broken == "nan":
            return _origin(call, calls)
    infinite = [call for call in calls.calls if call.broken == "inf"]
    return next((call for call in infinite if not _is_meant(call)), infinite[0] if infinite else None)


def _origin(found: Call, calls: Calls) -> Call:
    """Return the first call that made an infinity which a NaN came of; the NaN's own call where that was meant."""
    order = {id(call): at for at, call in enumerate(calls.calls)}
    makers = {id(out): call for call in calls.calls[: order[id(found)]] for out in call.out}
    seen, waiting, infinite = {id(found)}, [found], []
    while waiting:
        call = waiting.pop()
        for each in call.given:
            below = makers.get(id(each))
            if below is None or id(below) in seen or order[id(below)] >= order[id(call)] or not state(each):
                continue
            seen.add(id(below))
            waiting.append(below)
            if below.broken == "inf" and not _is_meant(below):
                infinite.append(below)
    return min(infinite, key=lambda call: order[id(call)], default=found)


def _is_meant(call: Call) -> bool:
    """Tell whether an operation was given infinity as a number, or makes a mask of minus infinity without weights."""
    if any(isinstance(each, float) and math.isinf(each) for each in [*call.args, *call.kwargs.values()]):
        return True
    tensors = tensors_in([call.args, call.kwargs])
    if call.name in ("masked_fill", "where", "fill", "setitem") and any(each.numel() == 1 for each in tensors):
        return True
    learned = any(each.requires_grad for each in tensors)
    return not learned and all(bool((each.detach()[torch.isinf(each.detach())] < 0).all()) for each in call.out)


def maker(tensor: Tensor, calls: Calls) -> Call | None:
    """Return what computed a tensor's values, views left aside."""
    call = calls.producer(tensor)
    while call is not None and call.name in VIEWS and call.given:
        call = calls.producer(call.given[0])
    return call


def passes_on(call: Call) -> bool:
    """Tell whether an operation is given minus infinity and scales it by something learned."""
    given = call.given
    scaled = call.name in (*DIVISIONS, "mul") and len(given) > 1
    return scaled and bool(torch.isinf(given[0].detach()).any()) and given[1].requires_grad


def mild_below(call: Call, calls: Calls) -> Call | None:
    """Return the operation in front of a call whose result is rounded to zero, or to one.

    Args:
        call: A logarithm, or a division, that meets zero.
        calls: The pass.
    """
    if not call.given:
        return None
    at = 0 if call.name.startswith("log") else -1
    found = maker(call.given[at], calls)
    if found is not None and found.name in ("rsub", "sub") and len(found.given) == 1:  # 1 - sigmoid(x)
        found = maker(found.given[0], calls)
    return found if found is not None and found.name in ("softmax", "sigmoid", "exp", "prod", "softmin") else None
