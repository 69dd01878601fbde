"""Zeros as the reason: factors, inputs and the parameter itself."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from zeroinit.symmetry.batch_causes import small
from zeroinit.symmetry.calls import Call, tensors_in
from zeroinit.symmetry.flat_causes import leaky_line, of_flat
from zeroinit.symmetry.naming import operation, sentence, starred, where
from zeroinit.symmetry.removed_causes import may_remove, without
from zeroinit.symmetry.trials import Change
from zeroinit.symmetry.views import (
    COMPARISONS,
    DIFFERENCES,
    DROPOUTS,
    RECTIFIERS,
    Candidate,
    Reason,
    View,
    drawing,
    lost_at,
    plain_zero,
)

__all__ = [
    "constant_factor",
    "is_times_zero",
    "of_own_zeros",
    "text_of_times_zero",
    "times_zero",
    "zero_gate",
    "zero_input",
    "zero_sources",
]

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
CHOOSING = (
    "argmax", "topk", "one_hot", "eq", "gt", "lt", "ge", "le", "ne", "bernoulli", "rand", "rand_like", "dropout",
    "where", "scatter", "multinomial", "isin", "max", "argsort", "sort",
)  # fmt: skip
"""Calls that choose by data, or at random."""
MOST_CHOICES = 200


def is_times_zero(call: Call) -> bool:
    """Tell whether a call multiplies by the number 0."""
    numbers = [each for each in call.args if isinstance(each, int | float)]
    return call.name in ("mul", "multiply", "rmul") and 0 in numbers


def text_of_times_zero(call: Call, view: View) -> str:
    """Say that what a parameter makes is multiplied by 0."""
    return f"{sentence(operation(call, view.model))} multiplies the output of {{it}} by 0."


def times_zero(name: str, view: View) -> Reason | None:
    """Return the reason of a parameter that is only there to be multiplied by 0, as a dummy is."""
    for node, _ in view.graph.uses(name):
        cutter = lost_at(node)
        call = view.call(cutter[0]) if cutter is not None else None
        if call is not None and is_times_zero(call):
            return Reason("idle", text_of_times_zero(call, view), cause=f"times 0 {starred(call.path)}")
    return None


def constant_factor(call: Call, view: View) -> Candidate:
    """A factor that is zero: a buffer, a constant, or a choice that fell on another part."""
    factors = [each for each in call.given if plain_zero(each)]
    buffers = [path for path, each in view.model.named_buffers() if any(each is factor for factor in factors)]
    change, place = view.act(call, "noise"), operation(call, view.model)
    if not buffers and _is_chosen(call, view):
        text = f"{sentence(place)} multiplies the output of {{it}} by zero for every example of this batch."
        reason = Reason("idle", text, cause=f"not chosen {starred(call.path)}")
        return Candidate(reason, change, ((change, "Nothing to do if other examples choose it."),))
    what = f"the buffer `{buffers[0]}`" if buffers else "a constant"
    text = f"{sentence(place)} multiplies the output of {{it}} by {what}, which is zero."
    repair = f"Let {what} start at another value than zero."
    return Candidate(Reason("constant", text, cause=f"constant {starred(call.path)}"), change, ((change, repair),))


def zero_gate(call: Call, view: View) -> Iterator[Candidate]:
    """A factor that the model computes and a rectifier keeps at zero: a gate that is closed for every input."""
    origin = _origin(call, view)
    if origin is None or origin.name not in RECTIFIERS or not any(each.requires_grad for each in origin.given):
        return
    node = next((view.graph.nodes[each] for each in origin.nodes if each in view.graph.nodes), None)
    for each in of_flat(node, origin, view) if node is not None else ():
        text = f"{sentence(operation(call, view.model))} multiplies the output of {{it}} by zero: "
        text += each.reason.text[:1].lower() + each.reason.text[1:]
        reason = replace(each.reason, kind="zero_input", text=text, cause=f"gate {starred(origin.path)}")
        yield replace(each, reason=reason)


def _is_chosen(call: Call, view: View) -> bool:
    """Tell whether what goes into a call was chosen by data or at random."""
    waiting, seen = [call], {id(call)}
    while waiting and len(seen) < MOST_CHOICES:
        for each in tensors_in([waiting.pop(0).args]):
            made = view.calls.producer(each)
            if made is not None and id(made) not in seen:
                if made.name in CHOOSING:
                    return True
                seen.add(id(made))
                waiting.append(made)
    return False


def zero_input(name: str, call: Call, view: View) -> Iterator[Candidate]:
    """What a weight is multiplied with is zero: told by what made it so."""
    origin = _origin(call, view)
    if origin is not None and origin.name in ("sub", "rsub", "__sub__", "batch_norm", "instance_norm", "group_norm"):
        yield from small(view)
    if origin is not None and origin.name in (*DROPOUTS, *DIFFERENCES) and may_remove(origin):
        yield without(origin, view)
    if (
        origin is not None
        and origin.name in (*RECTIFIERS, *COMPARISONS)
        and not any(each.requires_grad for each in origin.given)
    ):
        change = Change(inputs="scaled")
        text = (
            f"Every input of this batch is outside the range of {operation(origin, view.model)}, so {{it}} sees zeros."
        )
        repair = "Scale the inputs to values between -1 and 1, or let that range cover them."
        yield Candidate(Reason("zero_input", text), change, ((change, repair),))
    if origin is not None and origin.name in RECTIFIERS:
        change = view.act(origin, "leaky")
        text = f"The input of {{it}} is zero: {operation(origin, view.model)} is off for every input of the batch."
        yield Candidate(Reason("zero_input", text), change, ((change, f"{leaky_line(origin, view)}"),))
    change = view.act(call, "noise")
    if call.name in RECURRENT and "hh" in name.rpartition(".")[2]:
        text = (
            f"Only the first step of each sequence reaches the loss through `{name}`, and the state in front of it is "
            "zero."
        )
        repair = "Use sequences of two or more steps, or read the output where the state has been through them."
        yield Candidate(Reason("zero_input", text, cause=f"state {call.path}"), change, ((change, repair),))
        return
    text = "The input of {it} is zero for the whole batch."
    compared = view.calls.producer(origin.args[0]) if origin is not None and _is_of_truth(origin) else None
    if compared is not None:
        text += f" {sentence(operation(compared, view.model))} is false everywhere."
        repair = f"Bring what is compared in {where(compared.path, view.model)} nearer to its threshold."
        yield Candidate(Reason("zero_input", text), change, ((change, repair),))
    if origin is not None and origin is not call:
        text += f" {sentence(operation(origin, view.model))} makes these zeros."
    yield Candidate(Reason("zero_input", text), change, ((change, "Feed it values that are not all zero."),))


def _is_of_truth(call: Call) -> bool:
    """Tell whether a call turns truth values into numbers."""
    return bool(call.args) and isinstance(call.args[0], Tensor) and call.args[0].dtype == torch.bool


def _origin(call: Call, view: View) -> Call | None:
    """Follow zeros back to the call that made them of something else."""
    for _ in range(50):
        zero = next((each for each in call.given if plain_zero(each)), None)
        made = view.calls.producer(zero) if zero is not None else None
        if made is None or made is call:
            return None if zero is not None else call
        call = made
        if not any(plain_zero(each) for each in call.given):
            return call
    return None


def zero_sources(call: Call, view: View, name: str) -> list[str]:
    """Follow zeros back to parameters that are zero, frozen ones among them."""
    waiting, found, left = [call], [], 50
    while waiting and left:
        taken, left = waiting.pop(0), left - 1
        for each in taken.given:
            zero = view.names.get(id(each), "")
            if zero in view.zeros and zero != name:
                found.append(zero)
            elif plain_zero(each) and (made := view.calls.producer(each)) is not None and made is not taken:
                waiting.append(made)
        if found:
            return [each for each in found if not each.endswith("bias")][:1] or found[:1]
    return []


def of_own_zeros(name: str, view: View) -> Iterator[Candidate]:
    """The parameter's own zeros: it is multiplied with itself, or used twice."""
    if name in view.zeros:
        yield drawing((name,), view, "self")
