"""Operations whose slope is zero for the whole batch, or that always return the same."""

from collections.abc import Iterator
from itertools import takewhile

from torch import nn

from zeroinit.symmetry.verdict.causes.batch import small
from zeroinit.symmetry.verdict.causes.one_value import of_one, of_one_class
from zeroinit.symmetry.verdict.causes.still import as_probabilities
from zeroinit.symmetry.verdict.causes.views import (
    ATTENTION,
    LOSSES,
    RECTIFIERS,
    ROUNDING,
    SAME_VALUES,
    SATURATING,
    Candidate,
    View,
    line_for,
)
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.graph import Node
from zeroinit.symmetry.verdict.passes.naming import joined, of_model, operation, sentence, starred, where
from zeroinit.symmetry.verdict.passes.sizes import normalized_size, softmax_size
from zeroinit.symmetry.verdict.trials.still_actions import bounds
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = [
    "OFF",
    "SECOND",
    "far_inputs",
    "in_front",
    "is_summed",
    "leaky_line",
    "of_flat",
    "of_norm",
    "saturated",
    "second_derivative",
]

MOST_NAMED = 3
FAR = 30.0
"""Inputs of this size are worth a try with normalized ones."""
OFF = "is off for every"
"""What is said of a rectifier that lets nothing pass."""
SECOND = "second derivative"
"""The cause of activations that have none."""
SOFTMAXES = ("softmax", "log_softmax", "logsumexp", "cross_entropy")
PIECEWISE = ("relu", "relu6", "leaky_relu", "prelu", "rrelu", "threshold", "hardtanh", "clamp", "clip", "clamp_min",
             "clamp_max", "hardshrink", "softshrink")  # fmt: skip
"""Activations whose second derivative is zero everywhere."""
CLAMPS = ("hardtanh", "relu6", "clamp", "clip", "clamp_min", "clamp_max", "hardsigmoid")


def second_derivative(calls: Calls, model: nn.Module) -> Iterator[Candidate]:
    """A loss of derivatives, whose own derivatives are zero behind a ReLU."""
    kinked = [each for each in calls.calls if each.name in (*RECTIFIERS, *PIECEWISE) and each.out[0].requires_grad]
    taken = next((each for each in calls.calls if each.name == "grad"), None)
    if taken is None or not kinked:
        return
    change = Change(calls=tuple((each.key, "smooth") for each in kinked))
    earlier = [each.key for each in takewhile(lambda each: each is not taken, calls.calls) if each.name in PIECEWISE]
    before = [each for each in kinked if each.key in earlier]
    places = list(dict.fromkeys(operation(each, model) for each in before or kinked[:1]))
    more = [f"{len(places) - MOST_NAMED} more"] if len(places) > MOST_NAMED else []
    what = joined([*places[:MOST_NAMED], *more])
    text = f"The loss holds a derivative, taken in {where(taken.path, model, taken.method)}, and {what} "
    text += "has no second one." if len(places) == 1 else "have no second one."
    repair = f"Use a smooth activation in place of {what}: `nn.Tanh()`."
    yield Candidate(Reason("dead", text, cause=SECOND), change, ((change, repair),))


def is_summed(call: Call, view: View) -> bool:
    """Tell whether the output of a norm does nothing but be summed up, or averaged."""
    users = [each for each in view.calls.calls if any(given is out for given in each.given for out in call.out)]
    return bool(users) and all(each.path == LOSS and each.name in ("sum", "mean") for each in users)


def of_norm(name: str, call: Call, view: View) -> Iterator[Candidate]:
    """What a norm removes again."""
    change, shape = view.act(call, "take out"), call.given[0].shape
    if shape.numel() and len(shape) > 2 and (shape[2:].numel() == 1 or shape[1] == 1):
        yield from small(view)
    what = operation(call, view.model)
    size = normalized_size(call)
    if is_summed(call, view):
        text = f"The loss is a plain sum over what {what} gives, which is always the same."
        yield Candidate(
            Reason("cancelled", text, cause="sum"), change, ((change, f"Use another loss than a sum over {what}."),)
        )
    if size == 1:
        text = f"{sentence(what)} is over one value, so it always returns its bias. Nothing in front of it matters."
        repair = f"Take {what} out, or normalize over more than one value."
    elif call.name == "batch_norm" and shape.numel() == shape[1]:
        text = f"{sentence(what)} sees one value per channel in this batch and subtracts it."
        repair = "Use a larger batch."
    else:
        text = f"{sentence(what)} removes what comes from {{it}}."
        if name in view.zeros:
            text = f"`{name}` is zero, so each channel has one value everywhere, and {what} subtracts it."
        repair = f"Take {what} out, or let it act as an affine map in the first steps."
    drawn = [(Change(draw=(name,)), f"Start with {line_for([name], [name], view)}.")] if name in view.zeros else []
    reason = Reason("cancelled", text, cause=f"norm {starred(call.path)} {size == 1}")
    yield Candidate(reason, change, (*drawn, (change, repair)))


def of_flat(cut: Node, call: Call, view: View) -> Iterator[Candidate]:
    """An operation whose slope is zero for the whole batch."""
    if call.name in LOSSES:
        yield from of_one_class(call, view)
    elif call.name in ATTENTION or (call.name in ("softmax", "log_softmax") and softmax_size(call) == 1):
        yield from of_one(call, view)
    elif call.name in ROUNDING:
        what, change = operation(call, view.model), view.act(call, "straight through")
        repair = f"Let the gradient pass {what}: `x + (x.{call.name}() - x).detach()`."
        yield Candidate(Reason("dead", f"{sentence(what)} has slope zero everywhere."), change, ((change, repair),))
    elif call.name in (*SATURATING, *CLAMPS):
        yield from _of_saturation(cut, call, view)
    else:
        yield from _of_rectifier(cut, call, view)


def _of_saturation(cut: Node, call: Call, view: View) -> Iterator[Candidate]:
    what = operation(call, view.model)
    if call.name in SATURATING:
        change = view.act(call, "cooler")
        text = f"{sentence(what)} is saturated for every input of the batch."
        yield from far_inputs(text, view)
        repair = f"Divide what goes into {what} by its largest value, or scale the layer in front of it down."
    else:
        change = view.act(call, "take out")
        own = view.names.get(id(call.given[0]), "")
        whose = f"of `{own}`" if own else "of the batch"
        text = f"{sentence(what)} cuts off every value {whose}: all are outside its range."
        repair = f"Take {what} out, or widen its range."
        if call.path == LOSS and None in bounds(call):
            repair = "Use a loss with a slope there: for boxes that do not meet, the generalized IoU."
    repairs = (*(as_probabilities(call, view) if call.name in CLAMPS else ()), *_level(cut, view))
    yield Candidate(Reason("dead", text), change, (*repairs, (change, repair)))
    if call.name in CLAMPS:
        inside = view.act(call, "in range")
        yield Candidate(Reason("dead", text), inside, (*repairs, (inside, "Start inside of its range.")))


def saturated(view: View) -> Candidate | None:
    """Return the candidate that several operations in a row are saturated; none where there is one at most."""
    flat = (*SATURATING, *ROUNDING, *CLAMPS)
    found = [each for each in view.calls.calls if each.name in flat and each.given and each.given[0].requires_grad]
    if len(found) < 2:
        return None
    actions = tuple((each.key, "cooler" if each.name in SATURATING else "take out") for each in found)
    change, what = Change(calls=actions), operation(found[0], view.model)
    if any(each.name not in SATURATING for each in found):
        listed = joined(list(dict.fromkeys(operation(each, view.model) for each in found))[:MOST_NAMED])
        text = f"{sentence(listed)} have no slope, one behind the other, for the whole batch."
        return Candidate(Reason("dead", text, cause="flat"), change, ((change, "Let the gradient pass each of them."),))
    text = f"Several operations behind {{it}} are saturated for every input of the batch, {what} first."
    repair = "Divide what goes into each by its largest value, or scale the layers in front of them down."
    return Candidate(Reason("dead", text, cause="saturated"), change, ((change, repair),))


def _of_rectifier(cut: Node, call: Call, view: View) -> Iterator[Candidate]:
    what, change = operation(call, view.model), view.act(call, "leaky")
    if call.path == LOSS:
        text = f"{sentence(what)} is off for every example of this batch, so there is nothing to learn from it."
        yield Candidate(Reason("idle", text, cause="nothing to learn"), change, ((change, ""),))
        return
    text = f"{sentence(what)} {OFF} input of the batch."
    before = _off_before(cut, view)
    calls = [each for _, each in before]
    if before:
        change = Change(calls=tuple((each.key, "leaky") for each in (call, *calls)))
        others = list(dict.fromkeys(operation(each, view.model) for each in calls))
        listed = joined(others) if len(others) <= MOST_NAMED else f"{len(others)} more"
        text = f"{text[:-1]}, and so {'is' if len(others) == 1 else 'are'} {listed} in front of it."
    repairs = [*_level(cut, view), (change, leaky_line(call, view, *calls))]
    if end := _end_behind(call, view):
        line = f"Take {what} out: {'a softmax needs none in front' if end == 'softmax' else 'the output needs none'}."
        repairs.insert(0, (view.act(call, "take out"), line))
    front: list[str] = []
    for node, each in ((cut, call), *before):
        sizes = set(each.given[0].shape)  # of a part of what a layer gives, as one channel, the layer is not off
        front += [name for name in in_front(node, view) if sizes & set(view.model.get_parameter(name).shape)]
    yield Candidate(Reason("dead", text, tuple(dict.fromkeys(front))), change, tuple(repairs))


def _off_before(cut: Node, view: View) -> list[tuple[Node, Call]]:
    """Return the rectifiers in front of one that is off which are given nothing above zero either."""
    below = [node for edge in filter(None, cut.edges) for node in view.graph.below(edge)]
    found = {id(call): (node, call) for node in below if (call := view.call(node)) is not None}
    kinked = [(node, call) for node, call in found.values() if call.name in RECTIFIERS and call.given[0].numel()]
    off = [(bool((call.given[0] < 0).all()) and not call.out[0].any()) for _, call in kinked]
    return [each for each, is_off in zip(kinked, off, strict=True) if is_off][::-1]


def _end_behind(call: Call, view: View) -> str:
    """Return what an activation hands its values to, if that is a softmax or the loss alone."""
    waiting, found = [call], set()
    while waiting:
        made = waiting.pop().out
        for each in view.calls.calls:
            if any(given is out for given in each.given for out in made):
                same = each.name in SAME_VALUES and each.path != LOSS
                waiting += [each] if same and not any(out is given for out in each.out for given in made) else []
                end = "softmax" if each.name in SOFTMAXES else "loss" if each.path == LOSS else "another"
                found |= set() if same else {end}
    return "" if "another" in found or not found else "softmax" if "softmax" in found else "loss"


def in_front(cut: Node, view: View) -> tuple[str, ...]:
    """Return the parameters in front of an operation, up to the first with two or more axes."""
    found: list[str] = []
    for edge in filter(None, cut.edges):
        for node in view.graph.below(edge):
            names = view.graph.weights_of(node)
            found += names
            if any(view.model.get_parameter(each).dim() > 1 for each in names):
                break
    return tuple(dict.fromkeys(found))


def _level(cut: Node, view: View) -> Iterator[tuple[Change, str]]:
    """Set the biases to zero that come next in front of an operation, behind operations without weights."""
    for edge in filter(None, cut.edges):
        names = next((found for node in view.graph.below(edge) if (found := view.graph.weights_of(node))), [])
        biases = tuple(each for each in names if _is_bias(each, view.model))
        if biases:
            yield Change(zero=biases), "Set the biases in front to zero: " + _zero_line(biases)


def far_inputs(text: str, view: View) -> Iterator[Candidate]:
    """Inputs that are far from zero: normalized ones are tried."""
    floats = [each.detach() for each in tensors_in(view.inputs) if each.is_floating_point() and each.numel()]
    if any(float(each.abs().max()) > FAR for each in floats):
        low, high = min(float(each.min()) for each in floats), max(float(each.max()) for each in floats)
        change = Change(inputs="normalized")
        text += f" The inputs lie from {low:.3g} to {high:.3g}."
        repair = "Normalize the inputs: `(x - x.mean(0)) / x.std(0)`. Normalized ones were tried."
        yield Candidate(Reason("dead", text, cause="far inputs"), change, ((change, repair),))


def leaky_line(call: Call, view: View, *others: Call) -> str:
    """Write what to type to get activations with a slope below zero."""
    paths, modules = dict.fromkeys(each.path for each in (*others, call)), dict(view.model.named_modules())
    if all(path and _is_own(modules.get(path)) for path in paths):
        lines = "; ".join(f"`{of_model(path)} = nn.LeakyReLU()`" for path in paths)
        return f"Use an activation with a slope below zero: {lines}."
    places = joined([where(each, view.model) for each in paths])
    return f"Use an activation with a slope below zero in {places}: `F.leaky_relu`."


def _is_own(module: nn.Module | None) -> bool:
    """Tell whether an activation is a module by itself, which can be put in place."""
    return module is not None and not any(True for _ in module.children()) and type(module).__name__ != "M"


def _zero_line(names: tuple[str, ...]) -> str:
    return "; ".join(f"`nn.init.zeros_({of_model(name)})`" for name in names) + "."


def _is_bias(name: str, model: nn.Module) -> bool:
    return model.get_parameter(name).dim() == 1 and bool(model.get_parameter(name).detach().any())
