"""The batch as the reason: all values the same, inputs so small that one place is left, no example that gets there."""

from collections.abc import Iterator

import torch
from torch import Tensor

from zeroinit.symmetry.verdict.causes.views import ATTENTION, NORMS, Candidate, View, lost_at
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call, is_constant, tensors_in
from zeroinit.symmetry.verdict.passes.naming import operation
from zeroinit.symmetry.verdict.passes.sizes import num_keys, softmax_size
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = [
    "emptied",
    "nothing_in",
    "of_batch",
    "of_kept_targets",
    "one_example",
    "padding_alone",
    "small",
    "what_is_flat",
]

PAIRED = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sub", "subtract")
"""Calls that compare an output with targets, value by value."""


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
    if any(_same(one, other) for at, one in enumerate(floats) for other in floats[:at]):
        return "two inputs in it are the same"
    if first.dim() > 1 and len(first) > 1 and bool((first == first[:1]).all()):
        return "all examples in it are the same"
    if first.dim() > 1 and first.shape[1] > 1 and bool((first == first[:, :1]).all()):
        return "all positions of each example are the same"
    return ""


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.detach(), other.detach())


def of_kept_targets(view: View) -> Iterator[Candidate]:
    """The output equals the targets, so that the loss is at its minimum before the first update."""
    for call in view.calls.calls:
        if view.nothing_moves and call.path == LOSS and call.name in PAIRED and len(call.given) > 1:
            if not torch.equal(*(each.detach() for each in call.given[:2])):
                continue
            change = Change(targets="targets")
            text = f"The loss is zero from the start: {operation(call, view.model)} compares equal values."
            repair = "Hand over targets that differ from the first output. Others were tried."
            yield Candidate(Reason("batch", text, cause="kept targets"), change, ((change, repair),))


def small(view: View) -> Iterator[Candidate]:
    """The inputs are so small that one place is left of them."""
    if any(each.dim() > 2 for each in tensors_in(view.inputs)) and any(map(_is_over_one, view.calls.calls)):
        change = Change(inputs="larger")
        text = "The batch is the reason: its inputs are so small that one place is left for a softmax, norm or pooling."
        repair = "Hand over larger images or longer sequences; four times the size was tried."
        yield Candidate(Reason("batch", text, cause="small"), change, ((change, repair),))


def one_example(view: View) -> Iterator[Candidate]:
    """The batch holds one example, so that whatever is taken over the batch is that example."""
    given = [each for each in tensors_in(view.inputs) if each.dim() > 1]
    if given and all(len(each) == 1 for each in given):
        change = Change(inputs="twice", targets="twice")
        text = "The batch is the reason: it has one example, and what is taken over the batch is that example alone."
        yield Candidate(Reason("batch", text, cause="one example"), change, ((change, "Use a larger batch."),))


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


def emptied(name: str, view: View) -> Call | None:
    """Return the call above a parameter that works on no value at all, as a sum over examples of which none counts."""
    for node, _ in view.graph.uses(name):
        cutter = lost_at(node)
        call = view.call(cutter[0]) if cutter is not None else None
        if call is not None and call.given and not any(each.numel() for each in call.given):
            return call
    return None


def padding_alone(name: str, view: View) -> int | None:
    """Return the padding index of a table that nothing else is looked up in, since its row never gets a gradient."""
    calls = [view.call(node) for node, _ in view.graph.uses(name)]
    found: int | None = None
    for call in calls:
        if call is None or call.name != "embedding" or len(call.args) < 2:
            return None
        index = call.kwargs.get("padding_idx", call.args[2] if len(call.args) > 2 else None)
        if index is None or not bool((call.args[0] == index).all()):
            return None
        found = int(index)
    return found


def nothing_in(name: str, view: View) -> bool:
    """Tell whether a parameter is only used on tensors without a value, as an expert that gets no token."""
    calls = [view.call(node) for node, _ in view.graph.uses(name)]
    return bool(calls) and all(
        call is not None and any(not each.numel() for each in tensors_in([call.args, call.kwargs])) for call in calls
    )
