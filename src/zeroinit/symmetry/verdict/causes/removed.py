"""Operations that undo what a parameter adds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from zeroinit.symmetry.verdict.causes.batch import one_example
from zeroinit.symmetry.verdict.causes.flat import is_summed, of_flat, of_norm
from zeroinit.symmetry.verdict.causes.one_value import of_reduced
from zeroinit.symmetry.verdict.causes.views import (
    DIFFERENCES,
    DIVISIONS,
    DROPOUTS,
    NORMS,
    RECTIFIERS,
    ROUNDING,
    Candidate,
    View,
    line_for,
    plain_zero,
)
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call, is_constant
from zeroinit.symmetry.verdict.passes.graph import Node
from zeroinit.symmetry.verdict.passes.naming import few, operation, sentence, starred, where
from zeroinit.symmetry.verdict.passes.sizes import axis_of, is_one_hot, normalized_by_itself, same_along, softmax_size
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["equal_terms", "may_remove", "of_copies", "removals", "taken_out_above", "without"]

TAKEN_OUT = (
    *NORMS, *DIVISIONS, *DROPOUTS, "sub", "subtract", "normalize", "softmax", "log_softmax", *RECTIFIERS, *ROUNDING,
    "sigmoid", "tanh",
)  # fmt: skip
MOST_ABOVE = 8
FAR_SMALLER = 1e6
"""Weights are divided by this to bring values together."""


def of_copies(view: View) -> Iterator[Candidate]:
    """Copies of one module in a row: what is chosen among them makes no difference."""
    redrawn = tuple(name for group in view.copied for name in group[1:])
    first = [group[0] for group in view.copied]
    what = few([starred(each) for each in first][:1])
    text = f"{{it}} can choose nothing among copies of one module ({what}), which are all equal."
    change = Change(draw=redrawn)
    repair = f"Draw each copy anew: {line_for(redrawn, redrawn, view)}."
    yield Candidate(Reason("copies", text, tuple(redrawn), cause="copies"), change, ((change, repair),))


def may_remove(call: Call) -> bool:
    """Tell whether a call can undo what comes in; a difference only where what it subtracts is computed as well."""
    if call.name in DIFFERENCES:
        return len(call.given) > 1 and all(each.requires_grad for each in call.given[:2])
    return call.name in TAKEN_OUT


def equal_terms(view: View) -> Iterator[Candidate]:
    """Yield differences of equal values that both depend on parameters, as of a network and its reference."""
    for call in view.calls.calls:
        if call.name not in DIFFERENCES or not may_remove(call):
            continue
        one, other = (each.detach() for each in call.given[:2])
        if one.shape != other.shape or not one.numel() or not torch.equal(one, other):
            continue
        yield from of_reduced(call, view)
        if call.path == LOSS:
            yield without(call, view)
            continue
        change, what = view.act(call, "take out"), operation(call, view.model)
        text = f"{sentence(what)} subtracts equal values, so that nothing is left."
        repair = "Compare values that differ: other inputs, or another network, on one side."
        yield Candidate(Reason("no_effect", text, cause=f"equal {starred(call.path)}"), change, ((change, repair),))


def _of_density(call: Call, view: View) -> Candidate:
    """Return the candidate that detaches a drawn value, whose density is asked for."""
    change, place = view.act(call, "detach first"), where(call.path, view.model, call.method)
    text = f"`{call.within}` in {place} compares what comes from {{it}} with a value that `rsample()` drew from it. "
    text += "Both move together, so nothing changes."
    repair = "Detach the value: `distribution.log_prob(value.detach())`, or draw it by `sample()`."
    return Candidate(Reason("dead", text, cause=f"density {starred(call.path)}"), change, ((change, repair),))


def without(call: Call, view: View) -> Candidate:
    """Return the candidate that takes a call out."""
    change, what = view.act(call, "take out"), operation(call, view.model)
    if call.name in DROPOUTS:  # all that drop everything, since each of them may be in the way
        closed = [each for each in view.calls.calls if each.name in DROPOUTS and each.out and plain_zero(each.out[0])]
        change = Change(calls=tuple((each.key, "take out") for each in closed or [call]))
    text = f"{sentence(what)} lets nothing through."
    if call.name in DIVISIONS:
        text = f"{sentence(what)} divides the output of {{it}} by itself. The result is always 1."
        if call.name in DIVISIONS and len(call.given) > 1 and call.given[0].shape != call.given[1].shape:
            maker = view.calls.producer(call.given[1])
            text = f"{sentence(what)} divides the output of {{it}} by its own sum. The result is always 1."
            if maker is not None and "norm" in maker.name:
                text = f"{sentence(what)} divides what {{it}} makes by its own length, and a change of {{it}} cancels."
    elif call.name in DROPOUTS:
        reason = Reason("no_effect", "A dropout drops every value: its p is 1.", cause="p of 1")
        if len(closed) < 2:
            reason = replace(reason, text=f"{sentence(what)} drops every value: its p is 1.")
        return Candidate(reason, change, ((change, "Use a smaller p, as 0.5. `F.dropout(x, True)` has a p of 1."),))
    elif call.name in ("sub", "subtract") and not (plain_zero(call.out[0]) or is_constant(call.out[0])):
        text = f"{sentence(what)} undoes every change of {{it}}."
    elif call.name in ("sub", "subtract"):
        text = f"{sentence(what)} subtracts the output of {{it}} from itself, so that nothing is left."
    elif call.name == "normalize" and call.out and normalized_by_itself(call):
        text = f"{sentence(what)} is over one value, so only its sign is left."
    elif call.name in ("softmax", "log_softmax") and same_along(call):
        text = f"{sentence(what)} is over {softmax_size(call)} copies of one value, so its weights never differ."
        line = "Compute each of these values by a layer of its own."
        reason = Reason("no_effect", text, cause=f"{call.name} {starred(call.path)}")
        return Candidate(reason, change, ((change, line),))
    elif call.name == "softmax" and (by := summed_along(call, view)) is not None:
        text = f"{sentence(what)} adds up to one along the axis that {operation(by, view.model)} sums over, so nothing "
        text += "of {it} is left."
        reason = Reason("no_effect", text, cause=f"{call.name} {starred(call.path)}")
        return Candidate(reason, change, ((change, "Sum over another axis than that of the softmax."),))
    elif call.name in ("softmax", "log_softmax"):
        text = f"{sentence(what)} undoes every change of {{it}}."
    repair = f"Take {what} out."
    if call.path == LOSS and call.name in DIFFERENCES:
        repair = "Compare with something else than the output itself: an older output, or targets."
        line = "Detach what the output is compared with, as `old.detach()`, or compare with an older output."
        repairs = ((view.act(call, "detach last"), line), (change, repair))
        return Candidate(Reason("no_effect", text, cause=f"{call.name} {starred(call.path)}"), change, repairs)
    return Candidate(Reason("no_effect", text, cause=f"{call.name} {starred(call.path)}"), change, ((change, repair),))


def summed_along(call: Call, view: View) -> Call | None:
    """Return the sum or mean over the axis along which a softmax adds up to one."""
    for each in view.calls.calls:
        if each.name in ("sum", "mean") and each.given and any(each.given[0] is out for out in call.out):
            dims: Any = each.kwargs.get("dim", each.args[1] if len(each.args) > 1 else ())
            axes = dims if isinstance(dims, list | tuple) else [dims]
            if axis_of(call) in {axis % call.out[0].dim() for axis in axes if isinstance(axis, int)}:
                return each
    return None


def removals(node: Node, call: Call, view: View) -> Iterator[Candidate]:
    """Yield what a call that undoes what comes in may mean: values too far apart, or the call itself."""
    if call.within.endswith("log_prob"):
        yield _of_density(call, view)
    if call.name in DIFFERENCES:
        yield from of_reduced(call, view)
        yield from one_example(view)
        yield from _of_targets(call, view)
        yield from _too_large(node, call, view)
    if call.name in ("softmax", "log_softmax") and is_one_hot(call):
        yield from of_flat(node, call, view)
    yield without(call, view)


def _of_targets(call: Call, view: View) -> Iterator[Candidate]:
    """Targets for which the terms of a loss cancel, as of an event after which no other example is at risk."""
    if call.path == LOSS and view.nothing_moves:
        change = Change(targets="targets")
        text = "The loss does not depend on the outputs for this batch: with its targets the terms cancel."
        repair = "Hand over a batch with other targets, which were tried."
        yield Candidate(Reason("batch", text, cause="targets cancel"), change, ((change, repair),))


def _too_large(node: Node, call: Call, view: View) -> Iterator[Candidate]:
    """Weights so large that one value is left of those that a difference compares: smaller ones are tried."""
    for names in map(view.graph.weights_of, view.graph.below(node)):
        name = next((each for each in names if view.model.get_parameter(each).dim() > 1), "")
        if not name or plain_zero(call.out[0]):
            continue
        change = Change(shrink=tuple(names), distance=FAR_SMALLER)
        text = f"The values that {operation(call, view.model)} compares lie so far apart that only the largest is left."
        repair = f"Scale down what comes from `{name}`: a factor behind it, or its start."
        yield Candidate(Reason("dead", text, cause=f"far apart {starred(call.path)}"), change, ((change, repair),))
        return


def taken_out_above(node: Node, view: View) -> Iterator[Candidate]:
    """Operations above that may remove what a parameter adds, nearest first."""
    queue, seen, left = [node], {id(node)}, MOST_ABOVE
    done: set[tuple] = set()
    if view.copied:
        yield from of_copies(view)
    while queue and left:
        taken = queue.pop(0)
        call = view.call(taken)
        mark = (starred(call.path), call.key[1:]) if call is not None else ()
        if call is not None and may_remove(call) and mark not in done:
            done.add(mark)
            left -= 1
            if call.name in NORMS and is_summed(call, view):
                yield from of_norm("", call, view)
            yield from removals(taken, call, view)
        for parent, _ in taken.above:
            if id(parent) not in seen:
                seen.add(id(parent))
                queue.append(parent)
