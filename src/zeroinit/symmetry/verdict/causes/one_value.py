"""A softmax, an attention or a cross entropy over one value, which is always the same."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import dropwhile

import torch

from zeroinit.symmetry.verdict.causes.batch import one_example, small
from zeroinit.symmetry.verdict.causes.views import ATTENTION, Candidate, View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.naming import operation, sentence, starred
from zeroinit.symmetry.verdict.passes.sizes import axis_of, num_keys, softmax_size
from zeroinit.symmetry.verdict.trials.actions import other_axis
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["of_one", "of_one_class", "of_reduced", "reduced_over_one"]

SUMMED = ("index_add", "scatter_add", "scatter_reduce", "index_reduce")
"""Calls that sum values up at the places that an index names."""


REDUCTIONS = ("logsumexp", "sum", "mean", "max", "amax", "min", "amin", "median")
CUMULATIVE = ("logcumsumexp", "cumsum", "cummax", "cummin")
MOST_BEHIND = 6


def of_one(call: Call, view: View) -> Iterator[Candidate]:
    """A softmax or an attention over one value."""
    if call.name in ATTENTION:
        yield from _of_one_key(call, view)
    elif call.name in ("softmax", "log_softmax") and softmax_size(call) == 1:
        yield from _of_one_value(call, view)


def of_one_class(call: Call, view: View) -> Iterator[Candidate]:
    """A cross entropy over one class."""
    if call.given[0].dim() < 2 or call.given[0].shape[1] != 1:
        return
    if len(call.given[0]) == 1:  # the classes may be the examples
        change = Change(inputs="twice", targets="twice")
        text = "Cross entropy is over one class, and so always zero, because the batch has one example."
        yield Candidate(
            Reason("batch", text, cause="one example"), change, ((change, "Hand over two or more examples."),)
        )
    change = view.act(call, "squared")
    line = "Give the model two or more outputs, or use `binary_cross_entropy_with_logits` for one."
    reason = Reason("dead", "Cross entropy over one class is always zero.", cause="one class")
    yield Candidate(reason, change, ((change, line),))


def of_reduced(difference: Call, view: View) -> Iterator[Candidate]:
    """A difference of values and what a reduction makes of them, which are the same where it is over one value."""
    reduction = reduced_over_one(difference, view.calls)
    sides = [each.detach().double() for each in difference.given[:2]]
    if reduction is None or len(sides) < 2 or not bool(torch.isclose(sides[0], sides[1]).all()):
        return
    what, shape = operation(reduction, view.model), tuple(reduction.given[0].shape)
    for each in one_example(view):
        text = f"{sentence(what)} is over one value, because the batch has one example."
        repairs = ((each.change, "Hand over two or more examples."),)
        yield Candidate(replace(each.reason, text=text), each.change, repairs)
    text = f"{sentence(what)} is over one value, so {operation(difference, view.model)} is always zero."
    repair = f"Let {what} run over two or more values: what goes in has the shape {shape}."
    change = view.act(difference, "take out")
    yield Candidate(Reason("no_effect", text, cause=f"reduced {starred(reduction.path)}"), change, ((change, repair),))


def reduced_over_one(difference: Call, calls: Calls) -> Call | None:
    """Return the reduction over one value that one side of a difference comes of."""
    for side in difference.given[:2]:
        made = calls.producer(side)
        for _ in range(MOST_BEHIND):
            if made is None or not made.given or not made.out:
                break
            if made.name in (*REDUCTIONS, *CUMULATIVE) and _is_over_one(made):
                return made
            made = calls.producer(made.given[0])
    return None


def _is_over_one(call: Call) -> bool:
    size = call.given[0].numel()
    if call.name in CUMULATIVE:
        return size == 1 or (call.given[0].dim() > 0 and call.given[0].shape[axis_of(call)] == 1)
    return size == call.out[0].numel() > 0


def _of_one_key(call: Call, view: View) -> Iterator[Candidate]:
    if num_keys(call) != 1:
        return
    yield from small(view)
    change = view.act(call, "more keys")
    text = f"{sentence(operation(call, view.model))} has a single key, and a softmax over one value is always 1."
    repair = "Hand over two or more keys: longer sequences, larger images, a longer context."
    yield Candidate(Reason("one_key", text, cause="one key"), change, ((change, repair),))


def _of_one_value(call: Call, view: View) -> Iterator[Candidate]:
    yield from small(view)
    what, shape = operation(call, view.model), tuple(call.given[0].shape)
    reason = Reason(
        "dead",
        f"{sentence(what)} is over one value, so it is always 1.",
        cause=f"softmax of one {starred(call.path)}",
    )
    other = other_axis(call.given[0].shape)
    per_value = other is not None and _is_compared_value_by_value(call, other, view)
    if other is not None and len(shape) < 4 and not per_value:  # four axes are those of attention, with one key
        change = view.act(call, "other axis")
        line = f"Use `dim={other}` in {what}: it has {shape[other]} of the values, whose shape is {shape}."
        yield Candidate(reason, change, ((change, line),))
    change = view.act(call, "sigmoid")
    if _is_of_edges(call, view):
        repair = "Let it run over the edges of each node: `torch_geometric.utils.softmax(scores, node_of_edge)`."
        yield Candidate(reason, change, ((change, f"{repair} A sigmoid in its place was tried."),))
        return
    repair = f"Use a sigmoid in place of {what}, or let it work along another dimension than {axis_of(call)}: "
    repair += f"what goes in has the shape {shape}."
    if per_value:
        repair = f"Use a sigmoid in place of {what}, or give the model two or more outputs for each value."
    elif len(shape) > 2 and axis_of(call) == len(shape) - 1:
        repair = f"Give {what} two or more values: larger images, longer sequences. A sigmoid in its place was tried."
    yield Candidate(reason, change, ((change, repair),))


def _is_compared_value_by_value(call: Call, other: int, view: View) -> bool:
    """Tell whether the loss compares what a softmax gives with as many values that are no shares of ``other``."""
    size = call.given[0].shape
    later = dropwhile(lambda each: each is not call, view.calls.calls)
    for each in (given for one in later if one.path == LOSS for given in one.given):
        if each.is_floating_point() and not each.requires_grad and each.numel() == size.numel():
            sums = each.detach().reshape(size).sum(other)
            return not bool(torch.isclose(sums, torch.ones_like(sums)).all())
    return False


def _is_of_edges(call: Call, view: View) -> bool:
    """Tell whether what a softmax gives is summed up by an index for each of its rows, as edges are at their nodes."""
    known, number = {id(each) for each in call.out}, len(call.given[0])
    for each in dropwhile(lambda one: one is not call, view.calls.calls):
        used = known & {id(one) for one in each.given}
        if used and each.name in SUMMED:
            indices = [one for one in tensors_in([each.args, each.kwargs]) if one.dtype == torch.long and one.dim()]
            return any(len(one) == number for one in indices)
        known |= {id(one) for one in each.out} if used else set()
    return False
