"""Calls that lose a gradient on its way: each kind once, with what undoes it and what to type."""

import linecache
import re
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zeroinit._findings.lines import Line, readable
from zeroinit.symmetry.shadow.precision import is_in_place
from zeroinit.symmetry.verdict.causes.flat import second_derivative
from zeroinit.symmetry.verdict.causes.functions import of_function_never_asked
from zeroinit.symmetry.verdict.passes.calls import DETACHED, LOSS, Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.naming import joined, operation, sentence, starred, where
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["COMPARISONS", "NO_GRAPH", "cuts"]

NO_GRAPH = "takes a derivative without `create_graph=True`"
MOST_CUTS = 12
MOST_NAMED = 3
MOST_LINES = 6
DRAWS = ("normal", "bernoulli", "multinomial", "poisson", "binomial", "_standard_gamma", "_sample_dirichlet")
COMPARISONS = ("gt", "lt", "ge", "le", "eq", "ne", "greater", "less", "heaviside")
SURROGATE = "Give it a surrogate gradient: `soft + (hard - soft).detach()`, with a sigmoid as the soft form."
SOFT = "Use probabilities in place of what is chosen: `scores.softmax(dim)`."
CHOSEN = "Multiply what is chosen by its score: `chosen * torch.sigmoid(score.gather(dim, index))`."
WEIGHED = "Multiply what is read there by its score, or weigh all places with a softmax of the scores."
INDEXING = {
    "getitem": 1, "setitem": 1, "index_select": 2, "gather": 2, "scatter": 2, "scatter_add": 2, "scatter_reduce": 2,
    "index_add": 2, "index_copy": 2, "masked_select": 1, "embedding": 0, "take": 1, "take_along_dim": 1,
}  # fmt: skip
"""Calls that read at an index, and where it stands among their arguments."""
WHOLE = ("argmax", "argmin", "argsort", "topk", "sort", "long", "int", "bool", "multinomial", "one_hot", "bucketize")
"""Calls that make whole numbers of floats."""
ONLY_INDICES = ("nonzero", "argwhere", "argmax", "argmin", "argsort")


class Cut(NamedTuple):
    """What undoes a cut, a sentence about it, what to type, where it stands; whether it is one behind another.

    ``several`` says that it stands for all cuts of the pass.
    """

    change: Change
    text: str
    repair: str
    lines: tuple[Line, ...] = ()
    second: bool = False
    several: bool = False


def cuts(calls: Calls, model: nn.Module) -> Iterator[Cut]:
    """Yield what may lose a gradient in a pass: each kind of call once, and in the end all of them."""
    yield from _of_written(calls, model)
    groups: dict[tuple, list[Call]] = {}
    for call in calls.calls:
        if call.cuts or call.chooses or call.name == "backward":
            kind = "derivative" if _is_of_derivative(call) else call.key[1]
            groups.setdefault((starred(call.path), kind), []).append(call)
    switched: dict[tuple, list[Call]] = {}
    for call in (each for members in groups.values() for each in members if each.quiet):
        switched.setdefault((starred(call.path), call.key[1], call.quiet_at[0]), []).append(call)
    if len({line for *_, line in switched}) > 1:  # which of them is it?
        for some in list(switched.values())[:MOST_CUTS]:
            for change, *told in _of_calls(some, calls, model):
                if change == Change(gradients=True):
                    yield Cut(Change(attach=tuple(each.key for each in some)), *told)
    first = [members for members in groups.values() if not members[0].behind][:MOST_CUTS]
    for some in (some for members in first for some in _by_line(members)):
        for each in _of_calls(some, calls, model):
            cut = Cut(*each)
            yield cut if cut.lines else cut._replace(lines=readable(each.line for each in some))
    if len(groups) > 1:
        yield _of_all(list(groups.values()), model)
    if calls.quiet_at[0] is not None and not any(each.quiet for group in groups.values() for each in group):
        place = where(calls.quiet_in, model, calls.quiet_at[1])  # around what no call shows, as of `torch.func`
        text = f"Gradients are switched off in {place}, which cuts {{it}} off from the loss."
        yield Cut(Change(gradients=True), text, f"Remove `torch.no_grad()` in {place}.", readable([calls.quiet_at[0]]))
    if calls.copied.sources():
        yield _of_copies(calls, model)


def _of_all(groups: list[list[Call]], model: nn.Module) -> Cut:
    """Return the cut that stands for all calls that lose a gradient."""
    undone = {each.key: _undoing(each) for group in groups for each in group}
    listed = list(dict.fromkeys(operation(members[0], model) for members in groups))
    more = [f"{len(listed) - MOST_NAMED} more"] if len(listed) > MOST_NAMED else []
    text = f"{len(groups)} operations cut {{it}} off from the loss: {joined([*listed[:MOST_NAMED], *more])}."
    repair = "Take all of them out, or let the gradient pass each."
    repair += " Take derivatives with `create_graph=True`." if "with graph" in undone.values() else ""
    repair += " If that is meant, give what they cut off a loss of its own." if "take out" in undone.values() else ""
    change = Change(
        calls=tuple((key, action) for key, action in undone.items() if action),
        attach=tuple(key for key, action in undone.items() if not action),
        gradients=True,
    )
    return Cut(change, text, repair, readable(members[0].line for members in groups), several=True)


def _is_of_derivative(call: Call) -> bool:
    """Tell whether a call takes a derivative by ``torch.autograd``, or is a step of a function that does."""
    return call.func in (torch.autograd.grad, Tensor.backward) or call.through.startswith("functional.")


def _undoing(call: Call) -> str:
    """Return the action in place of a call that loses a gradient; none where its result is to be tied."""
    taken = call.func in (torch.autograd.grad, Tensor.backward)
    return "take out" if call.name in DETACHED else "with graph" if taken else ""


def _by_line(members: list[Call]) -> list[list[Call]]:
    """Return calls of one kind line by line, and then all of them."""
    lines = {call.line: [each for each in members if each.line == call.line] for call in members}
    return [*lines.values(), members] if 1 < len(lines) <= MOST_LINES else [members]


def _of_written(calls: Calls, model: nn.Module) -> Iterator[Cut]:
    """Yield what is no call of its own: parameters that are wrapped or copied, and values written through ``.data``."""
    if calls.wrapped:
        place = where(calls.wrapped[0][0], model, calls.wrapped[0][1])
        text = f"A computed tensor is made a new `nn.Parameter` in {place}, which cuts off what it was computed from."
        yield Cut(Change(unwrap=True), text, f"Use the tensor as it is in {place}, with torch.nn.functional.")
    if calls.copied.ways or (calls.writes.calls and calls.copied.sources()):
        yield _of_copies(calls, model)
    if calls.writes.calls:
        place = where(calls.writes.calls[0].path, model, calls.writes.calls[0].method)
        text = f"Values are written through `.data` in {place}, outside of the graph, which cuts {{it}} off."
        repair = f"Write into a copy in {place}, without `.data`: `h = h.clone(); h[...] = values`."
        if any(isinstance(each.args[0], nn.Parameter) for each in calls.writes.calls):
            repair = f"Use the values as they are in {place}, with torch.nn.functional or `torch.func.functional_call`."
        lines = readable(each.line for each in calls.writes.calls)
        yield Cut(Change(attach=tuple(each.key for each in calls.writes.calls)), text, repair, lines)


def _of_copies(calls: Calls, model: nn.Module) -> Cut:
    way, path = max(calls.copied.ways.items(), default=("", calls.copied.place))
    place = where(path, model)
    text = f"The values of {{it}} are copied in {place}, and no gradient leads back from a copy."
    if way:
        makes = "makes copies" if way == "copy.deepcopy" else "copies values"
        text = f"`{way}` in {place} {makes}, from which no gradient leads back to {{it}}."
    repair = "Compute with the parameters themselves: `torch.func.functional_call(part, {name: p - rate * g}, x)`."
    return Cut(Change(uncopied=True), text, repair)


def _switched_off(call: Call, model: nn.Module) -> tuple[str, Line | None, str]:
    """Return what switched gradients off, the line of that, and the place; a decorator has no line of its own."""
    line, method = call.quiet_at
    text = linecache.getline(*line) if line is not None else ""
    found = re.search(r"(no_grad|inference_mode|set_grad_enabled\(False\))", text)
    if found is not None:
        return found[1], line, where(call.quiet_in, model, method)
    mode = "inference_mode" if call.infers else "no_grad"
    return mode, None, where(call.quiet_in, model, call.method if call.quiet_in == call.path else "")


def _of_calls(members: list[Call], calls: Calls, model: nn.Module) -> Iterator[tuple]:
    """Yield the ways to undo one kind of call, as the entries of a ``Cut``."""
    call, keys = members[0], tuple(each.key for each in members)
    place, attached = where(call.path, model, call.method), Change(attach=keys)
    what = operation(call, model)
    if _is_of_derivative(call):
        taken = f"torch.autograd.{call.through or 'grad'}"
        by, other = ("backward()", " in place of `backward()`") if call.name == "backward" else (taken, "")
        text = f"`{by}` in {place} {NO_GRAPH}, which cuts {{it}} off from the loss."
        change = Change(calls=tuple((each.key, _undoing(each)) for each in members if _undoing(each)))
        repair = f"Call `{taken}(..., create_graph=True)`{other} in {place}."
        yield change, text, repair
        for each in second_derivative(calls, model):
            smooth = Change(calls=(*change.calls, *each.change.calls))
            yield smooth, each.reason.text, f"{repair} {each.repairs[0][1]}"
    elif call.function is not None:
        yield from _of_function(members, model)
    elif call.chooses:
        repair = SOFT if call.path == LOSS else CHOSEN
        yield attached, f"{sentence(what)} hands on its indices, which carry no gradient.", repair
    elif call.name in DETACHED:
        if call.through:
            text = f"`{call.through}` in {place} makes new tensors, from which no gradient leads back to {{it}}."
            repair = f"Build them from the parameters in place of `{call.through}`, as with `torch.stack`."
            yield Change(calls=tuple((key, "take out") for key in keys)), text, repair
            return
        word = DETACHED[call.name] if call.name != "data" else ".data"
        change = Change(calls=tuple((key, "take out") for key in keys))
        if _is_straight_through(call, calls):
            text = f"`{word}` in {place} makes a straight-through estimator, which gives {{it}} no gradient."
            loss = "`F.mse_loss(q, z.detach())`"
            yield change, text, f"Use the values from before that line in a loss of their own: {loss}."
            return
        meant = "" if call.name == "data" else " If it is meant, give what it cuts off a loss of its own."
        yield change, f"`{word}` in {place} cuts {{it}} off from the loss.", f"Remove `{word}` in {place}.{meant}"
    elif not any(map(_can_have_gradient, call.out)):
        text = f"{sentence(what)} returns whole numbers or truth values, which carry no gradient."
        soft = f"Use a soft form of {what}, as softmax or sigmoid, or let the gradient pass: "
        if _is_index(call, calls):
            yield attached, f"{text} They are used as an index alone.", WEIGHED
            return
        yield attached, text, SURROGATE if call.name in COMPARISONS else f"{soft}`soft + (hard - soft).detach()`."
    elif call.quiet:
        if call.within.endswith(".sample") or any(
            each.name in DRAWS and each.quiet and each.path == call.path for each in calls.calls
        ):
            text = f"`sample()` in {place} draws values under no_grad, which carry no gradient to {{it}}."
            yield attached, text, f"Use `rsample()` in {place}: a mean plus a spread times noise."
            if call.within.endswith(".sample"):
                return
        mode, line, at = _switched_off(call, model)
        text = (
            f"{sentence(what)} runs {'with gradients off' if '(' in mode else f'under {mode}'}, which cuts {{it}} off"
        )
        meant = " If it is meant, freeze what is inside: `requires_grad_(False)`."
        remove = f"Remove `torch.{mode if '(' in mode else f'{mode}()'}` in {at}."
        yield Cut(Change(gradients=True), f"{text} from the loss.", f"{remove}{meant}", readable([line]))
        if any(each.quiet_at == call.quiet_at and is_in_place(each.func, each.kwargs) for each in calls.calls):
            stack = f"{remove} Collect the values that are written in place there in a list, and use `torch.stack`."
            yield Cut(attached, f"{text} from the loss.", stack, readable([line]))
        after = calls.calls[next(number for number, each in enumerate(calls.calls) if each is call) :]
        whole = next((each for each in after if each.quiet and each.given and each.name in WHOLE), None)
        if whole is not None:
            also = f"{operation(whole, model)} behind it returns whole numbers or truth values"
            text = f"{text}, and {also}, which carry no gradient."
            both = f"{remove} Then let the gradient pass: `soft + (hard - soft).detach()`."
            yield Cut(attached, text, both, second=True)
    else:
        text = f"`{call.name}` in {place} copies values without a gradient, which cuts {{it}} off from the loss."
        yield attached, text, f"Use {_in_place_of(call)} in place of `{call.name}` in {place}."


def _is_straight_through(call: Call, calls: Calls) -> bool:
    """Tell whether a call detaches the difference in ``z + (q - z).detach()``."""
    made = calls.producer(call.args[0]) if call.args else None
    if made is None or made.name != "sub" or len(made.args) < 2 or not call.out:
        return False
    added = ([id(one) for one in each.args] for each in calls.calls if each.name == "add")
    return any(id(call.out[0]) in each and id(made.args[1]) in each for each in added)


def _in_place_of(call: Call) -> str:
    """Write what keeps the gradient: the tensor itself, or its list put together by torch."""
    values = next((each for each in [*call.args, *call.kwargs.values()] if isinstance(each, list | tuple)), None)
    if not values:
        return "the tensor itself"
    if not all(isinstance(each, Tensor) for each in values):
        if any(isinstance(each, int | float) for each in values):
            return "`torch.stack(...)`, with `torch.tensor(x)` for each plain number,"
        return "`torch.stack` of the tensors, list by list,"
    return "`torch.cat(...)`" if all(each.dim() for each in values) and call.out[0].dim() == 1 else "`torch.stack(...)`"


def _is_index(call: Call, calls: Calls) -> bool:
    """Tell whether whole numbers or truth values that come out are used to read at an index, and for nothing else."""
    known, uses = {id(each) for each in call.out}, set()
    after = calls.calls[next(at for at, each in enumerate(calls.calls) if each is call) + 1 :]
    for each in after:
        given = [id(one) for one in tensors_in([each.args, each.kwargs])]
        if not known & set(given):
            continue
        at = INDEXING.get(each.name, len(each.args))
        if each.name in ONLY_INDICES or known & {id(one) for one in tensors_in(each.args[at : at + 1])}:
            uses.add("index")
        elif any(map(_can_have_gradient, each.out)):
            uses.add("value")
        if not any(map(_can_have_gradient, each.out)):
            known |= {id(one) for one in each.out}
    return uses == {"index"}


def _can_have_gradient(value: Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def _of_function(members: list[Call], model: nn.Module) -> Iterator[tuple[Change, str, str]]:
    """An autograd function whose backward pass never runs, or whose result is marked as without a gradient."""
    text, repair = of_function_never_asked(members[0])
    yield Change(calls=tuple((each.key, "with gradient") for each in members)), text, repair
    call, place = members[0], where(members[0].path, model, members[0].method)
    if call.quiet:
        text = f"`{call.name}` in {place} runs under no_grad, which cuts {{it}} off from the loss."
        yield (
            Change(gradients=True),
            text,
            f"Remove `torch.no_grad()` in {where(call.quiet_in, model, call.quiet_at[1])}.",
        )
    text = f"The result of `{call.name}` in {place} carries no gradient: its type has none, or it is marked so."
    repair = f"Let `{call.name}.forward` return floats, and do not call `ctx.mark_non_differentiable` on them."
    yield Change(attach=tuple(each.key for each in members)), text, repair
