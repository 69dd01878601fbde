"""The batch as the reason: all values the same, inputs so small that one place is left, no example that gets there."""

from collections.abc import Iterator

import torch

from zeroinit.symmetry.call_sizes import num_keys, softmax_size
from zeroinit.symmetry.calls import Call, is_constant, tensors_in
from zeroinit.symmetry.trials import Change
from zeroinit.symmetry.views import ATTENTION, NORMS, Candidate, Reason, View

__all__ = ["nothing_in", "of_batch", "small", "what_is_flat"]


def of_batch(view: View) -> Iterator[Candidate]:
    """What is the same in a batch: other inputs are tried."""
    what = what_is_flat(view)
    if what:
        change = Change(inputs="other")
        text = f"The batch is the reason: {what}."
        yield Candidate(
            Reason("batch", text, cause="batch"), change, ((change, "Hand over a batch of real or random values."),)
        )


def what_is_flat(view: View) -> str:
    """Say what is the same in a batch: all values, all examples, or all positions; empty where nothing is."""
    given = [each for each in tensors_in(view.inputs) if each.numel() > 1 and each.dtype != torch.bool]
    floats = [each for each in given if each.is_floating_point()]
    who = "all values in it are" if len(given) == 1 else "all values of an input are"
    if any(not each.any() for each in floats):
        return f"{who} zero"
    first = given[0] if given else None
    if first is None:
        return ""
    if is_constant(first) or any(map(is_constant, floats)):
        return f"{who} the same"
    if first.dim() > 1 and len(first) > 1 and bool((first == first[:1]).all()):
        return "all examples in it are the same"
    if first.dim() > 1 and first.shape[1] > 1 and bool((first == first[:, :1]).all()):
        return "all positions of each example are the same"
    return ""


def small(view: View) -> Iterator[Candidate]:
    """The inputs are so small that one place is left of them."""
    if any(each.dim() > 2 for each in tensors_in(view.inputs)) and any(map(_is_over_one, view.calls.calls)):
        change = Change(inputs="larger")
        text = "The batch is the reason: its inputs are so small that one place is left for a softmax, norm or pooling."
        repair = "Hand over larger images or longer sequences; four times the size was tried."
        yield Candidate(Reason("batch", text, cause="small"), change, ((change, repair),))


def _is_over_one(call: Call) -> bool:
    """Tell whether a softmax, an attention, a norm or a pooling has one value to work on."""
    if not call.given:
        return False
    shape = call.given[0].shape
    if call.name in ("softmax", "log_softmax"):
        return softmax_size(call) == 1
    if call.name in ATTENTION:
        return num_keys(call) == 1
    return (call.name in NORMS or "pool" in call.name) and len(shape) > 2 and (shape[2:].numel() == 1 or shape[1] == 1)


def nothing_in(name: str, view: View) -> bool:
    """Tell whether a parameter is only used on tensors without a value, as an expert that gets no token."""
    calls = [view.call(node) for node, _ in view.graph.uses(name)]
    return bool(calls) and all(
        call is not None and any(not each.numel() for each in tensors_in([call.args, call.kwargs])) for call in calls
    )
