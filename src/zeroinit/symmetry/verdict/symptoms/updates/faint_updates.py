"""Weights that have a gradient and still do not move: every update is smaller than the rounding of their values.

Source: a float32 keeps 24 binary digits, so what is smaller than 6e-8 of a value is lost when it is added. Gradients
shrink to that in deep stacks of saturating activations (Hochreiter 1991; Glorot and Bengio 2010).
"""

import inspect
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.trace import Trace
from zeroinit.symmetry.verdict.causes.one_value import of_reduced
from zeroinit.symmetry.verdict.causes.views import DIFFERENCES, RECTIFIERS, SATURATING, Candidate, View
from zeroinit.symmetry.verdict.evidence import Evidence, Symptom
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call, Calls
from zeroinit.symmetry.verdict.passes.graph import Graph
from zeroinit.symmetry.verdict.passes.naming import WORDS, draw_line, few, operation, sentence
from zeroinit.symmetry.verdict.trials.trials import Change, Trials

__all__ = ["HUGE", "LOST", "find_still", "has_steady_signal", "of_still", "step_length"]

LOST = torch.finfo(torch.float32).eps / 8
"""Share of the largest value of a parameter below which an update counts as lost."""
STEADY = 1.5
"""A gradient that grows more than this from its first steps to the last may open by itself."""
FEWEST_STEPS = 3
SMALL = 0.1
CLEAR = 1e-4
"""An update of such a share of the largest value is no rounding in float32."""
LARGE = 1e-4
"""A gradient that is not small by itself."""
CHUNK = 1 << 20
HUGE = 1e6
"""No weight is drawn as large as this."""
LARGE_EPSILON = 100
"""Times the default of a norm's class."""
OPENED = 1e6
"""An operation is saturated if a small input makes the gradient behind it so many times larger."""
MOST_FLAT = 12
SATURATED = "is saturated, so next to no gradient passes."
FREED = 1e-6
"""A trial has helped if all gradients are at least this share of the model's largest."""


def find_still(model: nn.Module, replica: nn.Module, trace: Trace) -> set[str]:
    """Return the names of trained parameters that updates have moved by less than rounding in all steps.

    Args:
        model: As it was handed over.
        replica: Its copy after a run in float32.
        trace: That run.
    """
    if not trace.sizes or trace.broken is not None:
        return set()
    found, own = set(), {name for name, _ in model.named_parameters()}
    for name, parameter in replica.named_parameters():
        if name not in own:  # a pass made it
            continue
        rate = None if trace.held is None else trace.held.get(name, 0.0)
        start = model.get_parameter(name).detach()
        known = start.layout == torch.strided and start.is_floating_point() and parameter.is_floating_point()
        trained = parameter.requires_grad and parameter.numel() and rate != 0
        if trained and known and _is_still(name, start, parameter.detach(), trace):
            found.add(name)
    return found


def _is_still(name: str, start: Tensor, end: Tensor, trace: Trace) -> bool:
    least, most = torch.aminmax(start)
    limit = LOST * max(abs(float(least)), abs(float(most)))
    options = trace.options.get(name, {})
    if options.get("weight_decay"):
        sizes = [of.get(name, math.nan) for of in trace.sizes]
        return max((step_length(size, options) for size in sizes if size == size), default=math.inf) <= limit
    limit *= len(trace.sizes) * (start.dim() > 1)  # one of a vector's values that moves is a move
    pairs = zip(start.reshape(-1).split(CHUNK), end.reshape(-1).split(CHUNK), strict=True)
    return all(float((one.to(other.dtype) - other).abs().max()) <= limit for one, other in pairs)


def step_length(size: float, options: dict[str, float]) -> float:
    """Bound what a gradient adds to a value in one update: of the Adam family, whose groups have an epsilon, or SGD."""
    rate = options.get("lr", 1.0)
    if "eps" in options:
        return rate * size / (size + max(options["eps"], 1e-30)) * 10
    return rate * size / max(1e-3, 1 - options.get("momentum", 0.0))


def of_still(evidence: Evidence) -> Iterator[Symptom]:
    """Turn weights whose updates are lost into one symptom, and vectors that none of these explains into another."""
    names = [name for name in evidence.still if has_steady_signal(name, evidence.double)]
    found = list(_of_weights(evidence, names))
    yield from found
    told = {name for each in [*found, *evidence.symptoms] for name in each.parameters}
    vectors = tuple(
        name
        for name, each in evidence.model.named_parameters()
        if name in names and name not in told and _is_rounded_away(name, each, evidence)
    )
    if vectors and not evidence.single.coarse:
        text = f"Every update of {few(vectors)} is lost in float32: it is smaller than the spacing of numbers there. "
        repair = f"To move {'it' if len(vectors) == 1 else 'them'}, use a larger learning rate."
        yield Symptom("ZI109", vectors[0].rpartition(".")[0], vectors, text + repair, repair)


def _is_rounded_away(name: str, parameter: Tensor, evidence: Evidence) -> bool:
    """Tell whether a vector in float32 did not move, and momentum will not make its updates large enough."""
    options = evidence.single.options.get(name)
    largest = max(of.get(name, 0.0) for of in evidence.double.sizes)
    spacing = torch.finfo(torch.float32).eps / 2 * float(parameter.detach().abs().max())
    few_values = parameter.dim() < 2 and parameter.dtype == torch.float32
    return few_values and (options is None or "eps" in options or step_length(largest, options) <= spacing)


def _of_weights(evidence: Evidence, names: list[str]) -> Iterator[Symptom]:
    """Turn weights whose updates are lost into one symptom, with what makes their gradients larger."""
    order = [name for name, _ in evidence.model.named_parameters() if name in names]
    weights = [name for name in order if evidence.model.get_parameter(name).dim() > 1]
    if not weights:
        return
    owners = {name.rpartition(".")[0] for name in weights}
    most = max(evidence.double.sizes[0].get(name, 0.0) for name in weights)
    faint = {name for name in order if evidence.double.sizes[0].get(name, math.inf) <= most}
    lost = tuple(name for name in order if name in faint or name.rpartition(".")[0] in owners)
    if evidence.single.coarse and all(_is_zero(name, evidence.single) for name in weights):
        yield _of_underflow(evidence, lost)
        return
    first = evidence.double.sizes[0]
    largest = max(first, key=lambda name: first[name] if first[name] == first[name] else 0.0)
    here = max(first.get(name, 0.0) for name in weights)
    text = f"Every update of {few(lost)} is lost: it is smaller than the rounding of the values it is added to."
    largest_value = max(float(evidence.model.get_parameter(name).detach().abs().max()) for name in weights)
    step = step_length(here, evidence.single.options.get(weights[0], {"lr": 0.0}))
    if not evidence.single.coarse and step > CLEAR * max(largest_value, 1e-30):
        text = f"The optimizer leaves {few(lost)} as they are, although they get gradients up to {here:.1g}."
        yield Symptom("ZI020", weights[0].rpartition(".")[0], lost, text, "Look at what its `step()` does.")
        return
    trained = [name for name, each in evidence.model.named_parameters() if each.requires_grad and each.dim() > 1]
    rates = [rate for name, rate in (evidence.single.held or {}).items() if name in lost]
    if set(weights) >= set(trained) and rates and here > LARGE:
        text += f" The learning rate is {max(rates):.1g}."
    elif set(weights) >= set(trained) and largest in lost:
        text += f" No gradient of the model is larger than {first[largest]:.1g}."
    else:
        text += f" The gradient there is at most {here:.1g}, and {first[largest]:.1g} in `{largest}`."
    huge = [name for name in weights if float(evidence.model.get_parameter(name).detach().abs().max()) > HUGE]
    if huge:
        text += f" {few(huge)} {'holds' if len(huge) == 1 else 'hold'} values up to {largest_value:.1g}."
        line = f"Start with smaller values: {draw_line(huge, len(huge))}."
        yield Symptom("ZI020", huge[0].rpartition(".")[0], lost, text, line)
        return
    path = weights[0].rpartition(".")[0]
    if set(weights) >= set(trained) and (each := _over_one(evidence, weights, first[largest])) is not None:
        text = f"{each.reason.text} The gradients of {few(lost)} are rounding alone."
        yield Symptom("ZI007" if each.reason.kind == "batch" else "ZI012", path, lost, text, each.repairs[0][1])
        return
    reason, repair = _repair(evidence, weights, first[largest])
    text = f"{reason} {text}" if reason.endswith(SATURATED) else f"{text} {reason}".strip()  # causes come first
    yield Symptom("ZI020", path, lost, text, repair)


def _is_zero(name: str, trace: Trace) -> bool:
    return not any(of.get(name, math.nan) > 0 for of in trace.sizes)


def _of_underflow(evidence: Evidence, names: tuple[str, ...]) -> Symptom:
    """Gradients that 16 bits round to zero, where the model computes in them by its own will."""
    here = max(of.get(name, 0.0) for name in names for of in evidence.double.sizes)
    text = f"The gradient of {few(names)} is zero in the 16 bits that the model computes in. It would be {here:.1g}."
    repair = "Scale the loss: `scaler = torch.amp.GradScaler(device)`. Or use `torch.autocast(device, torch.bfloat16)`."
    return Symptom("ZI020", names[0].rpartition(".")[0], names, text, repair)


def has_steady_signal(name: str, trace: Trace) -> bool:
    """Tell whether a parameter has a gradient that does not grow from its first step to the last."""
    sizes = [of.get(name, math.nan) for of in trace.sizes]
    there = [size for size in sizes if size > 0]
    known = trace.first_step(name) is not None and trace.rounding_step(name) is None
    early = max(there[:2] if len(there) > FEWEST_STEPS else there[:1], default=0.0)
    return known and len(there) >= FEWEST_STEPS and there[-1] <= STEADY * early


def _over_one(evidence: Evidence, weights: list[str], largest: float) -> Candidate | None:
    """Return why a difference in the loss holds rounding alone: one side comes of a reduction over one value."""
    replica = copy_of(evidence.model, torch.float64)
    trials, calls = _trials(replica, evidence, weights, largest), Calls(replica)
    graph = Graph(trials.loss(Change(), 1, calls), {})
    view = View(1, replica, graph, calls, evidence.objective.inputs, set(), set(weights))
    limit = OPENED * _least(trials, Change(), weights)
    differences = (each for each in calls.calls if each.path == LOSS and each.name in DIFFERENCES)
    found = (each for call in differences for each in of_reduced(call, view))
    return next((each for each in found if _least(trials, each.change, weights) > limit), None)


def _repair(evidence: Evidence, weights: list[str], largest: float) -> tuple[str, str]:
    """Return why gradients are small, and what makes them larger."""
    replica = copy_of(evidence.model, torch.float64)
    trained = [name for name, each in replica.named_parameters() if each.requires_grad]
    trials = _trials(replica, evidence, trained, largest)
    calls = Calls(replica)
    trials.loss(Change(), 1, calls)
    if (what := _saturated(calls, trials, weights, replica)) is not None:
        repair = f"Divide what goes into {what} by its largest value, or scale the layer in front of it down."
        return f"{sentence(what)} {SATURATED}", repair
    if _is_even(trials, Change(), weights):
        return "", "Raise the learning rate, or scale the loss up."
    if large := _large_epsilons(replica):
        for module, (_, usual) in large.items():
            module.__dict__["eps"] = usual
        if _is_even(_trials(replica, evidence, trained, largest), Change(), weights):
            return _of_epsilons(list(large.values()))
        for module, (own, _) in large.items():
            module.__dict__["eps"] = own
    small = [name for name in trained if _is_small(replica.get_parameter(name).detach())]
    for change, reason, repair in _ways(calls, small):
        if _is_even(trials, change, weights):
            return reason, repair
    return "", "Start with larger weights, add skip connections, or put norms between the layers."


def _trials(replica: nn.Module, evidence: Evidence, trained: list[str], largest: float) -> Trials:
    settings = evidence.settings
    return Trials(replica, evidence.objective, torch.float64, settings.dropout, settings.seed, set(trained), largest)


def _is_even(trials: Trials, change: Change, weights: list[str]) -> bool:
    """Tell whether a change brings the gradients of some weights near the model's largest."""
    rows = trials.rows(change, 1, 1)
    sizes = {name: float(each.max()) for name, each in rows.items() if len(each)}
    return bool(sizes) and min(sizes.get(name, 0.0) for name in weights) >= FREED * max(sizes.values()) > 0


def _saturated(calls: Calls, trials: Trials, weights: list[str], model: nn.Module) -> str | None:
    """Return the one operation that lets far more through to some weights once its input is small, if one does."""
    before = _least(trials, Change(), weights)
    flat: dict[str, list[Call]] = {}
    for each in calls.calls:
        if each.name in SATURATING and each.given and each.given[0].requires_grad:
            flat.setdefault(operation(each, model), []).append(each)
    for what, members in list(flat.items())[:MOST_FLAT]:
        change = Change(calls=tuple((each.key, "cooler") for each in members))
        if _is_even(trials, change, weights) and _least(trials, change, weights) > OPENED * before:
            return what
    return None


def _least(trials: Trials, change: Change, weights: list[str]) -> float:
    rows = trials.rows(change, 1, 1)
    return min((float(rows[name].max()) for name in weights if name in rows and len(rows[name])), default=0.0)


def _is_small(value: Tensor) -> bool:
    """Tell whether a matrix is far smaller than one that keeps the size of what it is applied to."""
    return value.dim() > 1 and float(value.norm()) < SMALL * len(value) ** 0.5


def _large_epsilons(model: nn.Module) -> dict[nn.Module, tuple[float, float]]:
    """Return the norms whose ``eps`` is far larger than the default of their class, with both values."""
    found = {}
    for module in model.modules():
        own, known = module.__dict__.get("eps"), inspect.signature(type(module)).parameters.get("eps")
        usual = None if known is None else known.default
        if isinstance(own, int | float) and isinstance(usual, float) and own > LARGE_EPSILON * usual > 0:
            found[module] = (own, usual)
    return found


def _of_epsilons(pairs: list[tuple[float, float]]) -> tuple[str, str]:
    values = " or ".join(f"{own:g}" for own in sorted({own for own, _ in pairs}))
    place = "one norm" if len(pairs) == 1 else f"{len(pairs)} norms"
    reason = f"`eps` is {values} in {place}. That is far more than the variance there, so the signal shrinks."
    return reason, f"Use the default, `eps={pairs[0][1]:g}`. In `BatchNorm2d(64, 64)` the second argument is `eps`."


def _ways(calls: Calls, small: list[str]) -> Iterator[tuple[Change, str, str]]:
    if small:
        text = "The weights are so small that it shrinks from layer to layer."
        yield Change(draw=tuple(small)), text, f"Start with larger weights: {draw_line(small, max(3, len(small)))}."
    own = [each for each in calls.calls if each.path != LOSS and each.out and each.given]
    flat = [each for each in own if each.name in SATURATING]
    bent = [*flat, *(each for each in own if each.name in RECTIFIERS and each.name not in SATURATING)]
    repairs = {
        "leaky": f"Use `nn.ReLU()` in place of {_kinds(flat)}.",
        "normalized": "Put a batch norm in front of each of them.",
        "skip": "Add skip connections around them.",
    }
    for chosen, action in ((flat, "leaky"), (bent, "normalized"), (bent, "skip")):
        if chosen:
            change = Change(calls=tuple((each.key, action) for each in chosen))
            text = f"It shrinks at each of {len(chosen)} activations ({_kinds(chosen)})."
            yield change, text, repairs[action]


def _kinds(calls: list[Call]) -> str:
    return " and ".join(dict.fromkeys(WORDS.get(each.name, each.name) for each in calls))
