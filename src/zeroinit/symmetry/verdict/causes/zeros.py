"""Zeros as the reason: factors, inputs and the parameter itself."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from zeroinit._findings.lines import Line, readable
from zeroinit.symmetry.verdict.causes.batch import one_example, small
from zeroinit.symmetry.verdict.causes.flat import leaky_line, of_flat, second_derivative
from zeroinit.symmetry.verdict.causes.removed import may_remove, without
from zeroinit.symmetry.verdict.causes.still import all_masked, outside, sampled_outside
from zeroinit.symmetry.verdict.causes.views import (
    COMPARISONS,
    DIFFERENCES,
    DROPOUTS,
    MULTIPLICATIONS,
    RECTIFIERS,
    ROUNDING,
    SAME_VALUES,
    Candidate,
    View,
    drawing,
    factors,
    lost_at,
    plain_zero,
)
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import Call, is_constant, tensors_in
from zeroinit.symmetry.verdict.passes.graph import Node
from zeroinit.symmetry.verdict.passes.naming import joined, operation, sentence, starred, where
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = [
    "constant_factor",
    "is_times_zero",
    "of_own_zeros",
    "rounded_away",
    "text_of_times_zero",
    "times_zero",
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
REDUCING, MOST_STEPS_UP = ("sum", "mean"), 3
WITHOUT_SLOPE_AT_ZERO = ("abs", "square", "pow", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "norm")
FILLED = ("zeros", "zeros_like", "new_zeros", "full", "full_like", "new_full")
OTHER_BATCHES = (Change(inputs="random"), Change(inputs="other"), Change(inputs="other", targets="targets"))
"""What is tried to see whether the batch makes zeros."""


def is_times_zero(call: Call) -> bool:
    """Tell whether a call multiplies by the number 0."""
    numbers = [each for each in call.args if isinstance(each, int | float)]
    return call.name in MULTIPLICATIONS and 0 in numbers


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
    dummies = [_dummy(node, view) for node, _ in view.graph.uses(name)]
    if dummies and all(dummies) and (call := dummies[0]) is not None:
        return Reason("idle", text_of_times_zero(call, view), cause=f"times 0 {starred(call.path)}")
    return None


def _dummy(node: Node, view: View) -> Call | None:
    """Return the product with 0 of a sum over a parameter, which keeps all processes in step and means nothing else."""
    zero, summed = None, False
    for _ in range(MOST_STEPS_UP):
        call = view.call(node)
        if call is None or call.name not in (*REDUCING, *MULTIPLICATIONS):
            return None
        if is_times_zero(call):
            zero, summed = call, summed or call.given[0].numel() == 1
        summed = summed or call.name in REDUCING
        if zero is not None and summed:
            return zero
        if len(node.above) != 1:
            return None
        node = node.above[0][0]
    return None


def rounded_away(view: View) -> Iterator[Candidate]:
    """Yield roundings that make every value zero, as of weights in steps that are too wide."""
    for call in view.calls.calls:
        if call.name in ROUNDING and call.out and plain_zero(call.out[0]) and not plain_zero(call.given[0]):
            keys = tuple((each.key, "take out") for each in view.calls.calls if each.name == call.name and each.out)
            text = f"{sentence(operation(call, view.model))} makes every value zero: all lie within half a step of it."
            repair = "Round in finer steps, or start with larger values."
            change = Change(calls=keys)
            yield Candidate(Reason("dead", text, cause="rounded away"), change, ((change, repair),))
            return


def constant_factor(call: Call, view: View) -> Iterator[Candidate]:
    """A factor that is zero: a buffer, a choice that fell on another part, computed zeros, the batch, or a constant."""
    zero = [each for each in factors(call) if plain_zero(each)]
    buffers = [path for path, each in view.model.named_buffers() if any(each is factor for factor in zero)]
    noise, place = view.act(call, "noise"), operation(call, view.model)
    start = f"{sentence(place)} multiplies the output of {{it}} by"
    if buffers:
        text = f"{start} the buffer `{buffers[0]}`, which is zero."
        repair = f"Let the buffer `{buffers[0]}` start at another value than zero."
        yield Candidate(Reason("constant", text, cause=f"buffer {buffers[0]}"), noise, ((noise, repair),))
        return
    if call.name in WITHOUT_SLOPE_AT_ZERO:
        yield from _of_zero_argument(call, view)
        return
    origin = next((each for factor in zero if (each := _maker(factor, view)) is not None), None)
    made = operation(origin, view.model) if origin is not None else ""
    if origin is not None and origin.name == "grad":
        yield from second_derivative(view.calls, view.model)
    if origin is not None and origin.name in RECTIFIERS and any(each.requires_grad for each in origin.given):
        node = next(each for each in view.graph.nodes.values() if view.call(each) is origin)
        yield from of_flat(node, origin, view)
    if _is_chosen(call, view) and not view.nothing_moves:
        text = f"{start} zero for every example of this batch."
        reason = Reason("idle", text, cause=f"not chosen {starred(call.path)}")
        yield Candidate(reason, noise, ((noise, "Nothing to do if other examples choose it."),))
        return
    text = f"{start} zero for every example of this batch."
    text += f" {sentence(made)} makes these zeros." if made else f" These zeros are in {_input_of(view)}."
    repair = f"Hand over another batch, for which {made or 'that factor'} is not zero everywhere."
    for change in OTHER_BATCHES:
        yield Candidate(Reason("batch", text, cause=f"zero by batch {starred(call.path)}"), change, ((change, repair),))
    what, repair = "a constant, which is zero", "Let that constant have another value than zero."
    if origin is not None and origin.name in FILLED:
        what = f"zeros that `{origin.name}` makes in {where(origin.path, view.model, origin.method)}"
        repair = f"Take that product out, or let `{origin.name}` make way for other values."
    elif not made and "`" in (given := _input_of(view)):
        what, repair = f"{given}, which is zero", f"Hand over another batch: {given} hides everything."
    elif made:
        what, repair = f"zeros that {made} makes", f"Look at what goes into {made}: it should give other values."
    reason = Reason("constant", f"{start} {what}.", cause=f"constant {starred(call.path)}")
    yield Candidate(reason, noise, ((noise, repair),))


def _input_of(view: View) -> str:
    """Name the input that is zero, where inputs have names and one of them is."""
    named = view.inputs.items() if isinstance(view.inputs, Mapping) else ()
    zero = [name for name, each in named if isinstance(each, Tensor) and each.numel() and not each.any()]
    return f"`{zero[0]}` of the batch" if len(zero) == 1 else "the batch"


def _of_zero_argument(call: Call, view: View) -> Iterator[Candidate]:
    """A square, a distance or the like, whose slope is zero where its argument is."""
    what, noise = operation(call, view.model), view.act(call, "noise")
    text = f"What goes into {what} is zero for every example of this batch, and its slope is zero there."
    for change in OTHER_BATCHES:
        repair = f"Hand over another batch, for which {what} is not zero."
        yield Candidate(Reason("batch", text, cause=f"zero by batch {starred(call.path)}"), change, ((change, repair),))
    repair = f"Let what goes into {what} start away from zero."
    yield Candidate(Reason("dead", text, cause=f"no slope {starred(call.path)}"), noise, ((noise, repair),))


def _maker(zero: Tensor, view: View) -> Call | None:
    """Return the call that made zeros, of something else if that is seen; none for the batch's own values."""
    made = view.calls.producer(zero)
    found = None if made is None else _origin(made, view) or made
    while found is not None and found.name in SAME_VALUES:
        given = next(iter(tensors_in([found.args])), None)
        found = view.calls.producer(given) if given is not None else None
    return found


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
    if origin is not None:
        yield from _of_origin(origin, view)
    change = view.act(call, "noise")
    if call.name in RECURRENT and "hh" in name.rpartition(".")[2]:
        text = (
            f"Only the first step of each sequence reaches the loss through `{name}`, and the state in front of it is "
            "zero."
        )
        repair = "Read the output where the state has been through the steps."
        if call.name.endswith("_cell") or (call.given and 1 in call.given[0].shape[:2]):
            repair = "Use sequences of two or more steps."
        yield Candidate(Reason("zero_input", text, cause=f"state {call.path}"), change, ((change, repair),))
        return
    text = f"{_what_is_zero(call, view)} zero for the whole batch."
    compared = view.calls.producer(origin.args[0]) if origin is not None and _is_of_truth(origin) else None
    if compared is not None:
        text += f" {sentence(operation(compared, view.model))} is false everywhere."
        repair = (
            f"Bring what is compared in {where(compared.path, view.model, compared.method)} nearer to its threshold."
        )
        yield Candidate(Reason("zero_input", text), change, ((change, repair),))
    lines: tuple[Line, ...] = ()
    if origin is not None and origin is not call:
        text += f" {sentence(operation(origin, view.model))} makes these zeros."
        lines = readable([origin.line])
    reason = Reason("zero_input", text, cause=f"zero input {starred(call.path)}", lines=lines)
    yield Candidate(reason, change, ((change, "Feed it values that are not all zero."),))


def _what_is_zero(call: Call, view: View) -> str:
    """Name what a weight is multiplied with: of an attention, those of query, key and value that are zero."""
    if call.name == "multi_head_attention_forward":
        zero = [word for word, each in zip(("query", "key", "value"), call.args, strict=False) if plain_zero(each)]
        if 0 < len(zero) < 3:
            return f"The {joined(zero)} of {operation(call, view.model)} {'is' if len(zero) == 1 else 'are'}"
    return "The input of {it} is"


def _of_origin(origin: Call, view: View) -> Iterator[Candidate]:
    """The call that made zeros of something else: it is changed, or given other inputs."""
    if origin.name == "grad":
        yield from second_derivative(view.calls, view.model)
    if origin.name == "exp":
        yield from _of_underflow(origin, view)
    if origin.name in ("sub", "rsub", "__sub__", "batch_norm", "instance_norm", "group_norm"):
        yield from one_example(view)
        yield from small(view)
    if origin.name in (*DROPOUTS, *DIFFERENCES) and may_remove(origin):
        yield without(origin, view)
    if origin.name in (*RECTIFIERS, *COMPARISONS) and not any(each.requires_grad for each in origin.given):
        change = Change(inputs="scaled")
        text = (
            f"Every input of this batch is outside the range of {operation(origin, view.model)}, so {{it}} sees zeros."
        )
        repair = "Scale the inputs to values between -1 and 1, or let that range cover them."
        yield Candidate(Reason("zero_input", text), change, ((change, repair),))
    if origin.name in RECTIFIERS:
        change = view.act(origin, "leaky")
        text = f"The input of {{it}} is zero: {operation(origin, view.model)} is off for every input of the batch."
        yield Candidate(Reason("zero_input", text), change, ((change, f"{leaky_line(origin, view)}"),))
    if origin.name.startswith("grid_sample") and outside(origin):
        yield sampled_outside(origin, view)
    if origin.name == "masked_fill":
        yield all_masked(origin, view)


def _of_underflow(exp: Call, view: View) -> Iterator[Candidate]:
    """An exponential of numbers far below zero: smaller inputs are tried."""
    low, change = float(exp.given[0].detach().max()), Change(inputs="normalized")
    text = f"{sentence(operation(exp, view.model))} is zero for the whole batch: its argument is at most {low:.3g}."
    largest = max(
        (float(each.detach().abs().max()) for each in tensors_in(view.inputs) if each.is_floating_point()), default=0
    )
    repair = f"Normalize the inputs, which go up to {largest:.4g}. Normalized ones were tried."
    yield Candidate(Reason("dead", text, cause="far inputs"), change, ((change, repair),))


def _is_of_truth(call: Call) -> bool:
    """Tell whether a call turns truth values into numbers."""
    return bool(call.args) and isinstance(call.args[0], Tensor) and call.args[0].dtype == torch.bool


def _origin(call: Call, view: View) -> Call | None:
    """Follow zeros back to the call that made them of something else."""
    for _ in range(50):
        flat = next((each for each in call.given if _is_flat(each)), None)
        made = view.calls.producer(flat) if flat is not None else None
        if made is None or made is call:
            return None if flat is not None else call
        if made.name in DROPOUTS and not any(map(plain_zero, made.given)):
            return made
        call = made
        if not any(map(_is_flat, call.given)):
            return call
    return None


def _is_flat(value: Tensor) -> bool:
    """Tell whether values are zero, or computed and all the same, as an exponential of zeros."""
    computed = value.requires_grad and not isinstance(value, nn.Parameter) and value.numel() > 1
    return plain_zero(value) or (computed and is_constant(value))


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
        if weights := [each for each in found if not each.endswith("bias")]:
            return weights[:1]
    return found[:1]


def of_own_zeros(name: str, view: View) -> Iterator[Candidate]:
    """The parameter's own zeros: it is multiplied with itself, or used twice."""
    if name in view.zeros:
        yield drawing((name,), view, "self")
