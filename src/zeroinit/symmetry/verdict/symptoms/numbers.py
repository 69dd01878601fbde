"""Numbers that are not finite, and what comes later: the first operation that makes NaN, a loss that explodes."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit._findings.lines import Line, readable
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.trace import Settings, Trace
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.verdict.causes.views import zero_parameters
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.graph import Graph
from zeroinit.symmetry.verdict.passes.naming import draw_line, few, operation, sentence
from zeroinit.symmetry.verdict.report.parts import STILL_FINITE
from zeroinit.symmetry.verdict.symptoms.not_finite.causes import ATTENTION, guards, of_operation, rows_drawn, zero_rows
from zeroinit.symmetry.verdict.symptoms.not_finite.origins import first_broken
from zeroinit.symmetry.verdict.symptoms.not_finite.repairs import ignores_all, of_calls, reason_of_calls, with_labels
from zeroinit.symmetry.verdict.symptoms.not_finite.tried import IGNORED, LARGE_INPUT, helps, watched_loss
from zeroinit.symmetry.verdict.symptoms.updates.faint_updates import HUGE
from zeroinit.symmetry.verdict.symptoms.updates.half_steps import broken_by_an_update
from zeroinit.symmetry.verdict.symptoms.zero_paths import zeros_behind_division

__all__ = ["Trouble", "find_trouble", "grows", "is_broken"]

GROWTH = 1e3
"""A loss that grows so many times diverges."""
LEAST_GROWTH = 1e-2
RATES = (0.1, 0.01, 0.001, 0.0001)
"""Learning rates that are tried, as shares of the one that diverges."""
NORMED = (
    "weight_norm",
    "div",
    "truediv",
    "true_divide",
    "normalize",
    "norm",
    "linalg_vector_norm",
    "cosine_similarity",
)
"""Operations that a parameter of zeros turns into NaN."""


@dataclass(frozen=True)
class Trouble:
    """One fault of the numbers.

    Attributes:
        kind: ``nan`` or ``diverges``.
        text: What happens, and why.
        repair: What to type.
        path: The module.
        parameters: Names of the parameters concerned.
        lines: Where it begins in the user's code.
    """

    kind: str
    text: str
    repair: str
    path: str = ""
    parameters: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()


def find_trouble(evidence: Evidence) -> Trouble | None:
    """Return what is wrong with the numbers of a shadow training, if anything is."""
    if broken := _broken_parameters(evidence.model):
        return _of_start(evidence, broken)
    traces = [evidence.single, evidence.double]  # what happens in the user's own type comes first
    wide = any(each.dtype == torch.float64 for each in evidence.model.parameters())
    trace = next((each for each in (traces[::-1] if wide else traces) if is_broken(each)), None)
    if trace is not None:
        return _of_broken(evidence, trace)
    if grows(evidence.double.losses):
        first, worst = evidence.double.losses[0], max(evidence.double.losses)
        at = evidence.double.losses.index(worst) + 1
        text = f"The loss grows from {first:.3g} to {worst:.3g} by step {at}: the learning rate is too large."
        return Trouble("diverges", text, _smaller_rate(evidence))
    if (found := broken_by_an_update(evidence)) is not None:
        names, epsilon, helps = found
        text = f"the first update makes {few(names)} NaN or infinite in float16."
        if not torch.tensor(epsilon, dtype=torch.float16):
            whose = "Adam's" if isinstance(evidence.settings.optimizer, str) else "the optimizer's"
            text = f"{whose} eps of {epsilon:g} is 0 in float16: it divides by zero, and {text}"
        text = sentence(text)
        repair = "Train float32 weights (`model.float()`) under `torch.autocast`."
        repair = f"Give the optimizer `eps=1e-4`, or train float32 weights{repair[21:]}" if helps else repair
        return Trouble("nan", text, repair, "", names)
    return None


def _of_start(evidence: Evidence, broken: list[str]) -> Trouble:
    """Tell of parameters that hold NaN or infinity before the first step."""
    parameter = evidence.model.get_parameter(broken[0]).detach()
    number, many = int((~torch.isfinite(parameter)).sum()), len(broken) > 1
    held = f"{number} of {parameter.numel()} values of `{broken[0]}`"
    if is_broken(evidence.double) or is_broken(evidence.single):
        text = f"{few(broken)} hold{'' if many else 's'} NaN or infinity before the first step. {held} are not finite."
    else:
        text = f"{held} are NaN or infinite from the start, and no update changes them."
    repair = f"Initialize {few(broken)} anew."
    if not parameter.is_complex() and bool(torch.isneginf(parameter).any()):
        repair = f"Look at what `{broken[0]}` is made of: the logarithm of zero is minus infinity."
    return Trouble("nan", text, repair, "", tuple(broken))


def grows(losses: list[float]) -> bool:
    """Tell whether a loss grows a thousandfold.

    Example:
        >>> grows([2.0, 1.5, 1.4]), grows([2.0, 3e4, 1e9])
        (False, True)
    """
    finite = [each for each in losses if math.isfinite(each)]
    return len(finite) > 1 and max(finite) > GROWTH * max(abs(finite[0]), LEAST_GROWTH)


def is_broken(trace: Trace) -> bool:
    """Tell whether a loss or a gradient of a run is not finite."""
    return trace.broken is not None or any(not math.isfinite(loss) for loss in trace.losses)


def _of_broken(evidence: Evidence, trace: Trace) -> Trouble:
    in_loss = next((step for step, loss in enumerate(trace.losses, 1) if not math.isfinite(loss)), None)
    step = trace.broken if in_loss is None or (trace.broken is not None and trace.broken < in_loss) else in_loss
    assert step is not None
    if step > 1 and grows(trace.losses[:step]):
        text = f"The loss grows until it is {_word(trace.losses[-1])} at step {step}: the learning rate is too large."
        return Trouble("nan", text, _smaller_rate(evidence))
    for value, what in ((evidence.objective.inputs, "The batch"), (evidence.objective.targets, "The targets")):
        floats = [each for each in tensors_in(value) if each.is_floating_point()]
        if any(not torch.isfinite(each).all() for each in floats):
            text = f"{what} hold{'s' if what == 'The batch' else ''} values that are not finite."
            return Trouble("nan", text, "Look at how the batch is made: `torch.isfinite(x).all()`.")
    dtype = torch.float64 if trace is evidence.double else torch.float32
    learns = trace.broken is None and len(trace.sizes) == len(trace.losses)
    return _source(evidence, step, in_loss == step, dtype, learns)


def _source(evidence: Evidence, step: int, in_loss: bool, first: torch.dtype, learns: bool) -> Trouble:
    """Train up to a step once more and look for the first operation that makes NaN or infinity."""
    for dtype in (first, torch.float32 if first == torch.float64 else torch.float64):
        replica = copy_of(evidence.model, dtype)
        try:
            call, loss, calls = _watched(evidence, replica, step, dtype)
        except InputError:  # no float64 kernel
            continue
        if call is not None or _broken_parameters(replica):
            break
    narrow = ", in float32 alone" if dtype == torch.float32 and not is_broken(evidence.double) else ""
    what = f"the loss is {_word(loss)}" if in_loss else "a gradient is NaN or infinite"
    what = f"From step {step} on {what}" if step > 1 else f"{sentence(what)} from the first step on"
    what += narrow + (f", {STILL_FINITE}" if learns else "")
    if broken := _broken_parameters(replica):
        text = f"{what}: the optimizer makes {few(broken)} NaN or infinite, though loss and gradients are finite."
        repair = "Add a small number where the optimizer divides: a gradient can be exactly zero at the first steps."
        return Trouble("nan", text, repair, "", tuple(broken))
    if call is None:
        return Trouble("nan", f"{what}. Where it begins could not be seen.", "Check the batch and the loss.")
    path = "" if call.path == LOSS else call.path.split(".parametrizations")[0]
    reason, repairs, names = _why(call, calls, replica, evidence.objective, in_loss)
    text = f"{what}: {operation(call, replica)} {reason}."
    for change, repair in repairs:
        if helps(evidence, change, step, dtype):
            return Trouble("nan", text, repair, path, names, lines=readable([call.line]))
    repair = f"Look at what goes into {operation(call, replica)}."
    if call.function is not None and not in_loss:
        repair = f"Write `{call.name}.backward` so that it is finite for large and for small numbers."
    return Trouble("nan", text, repair, path, names, readable([call.line]))


def _broken_parameters(replica: nn.Module) -> list[str]:
    return [
        name
        for name, each in replica.named_parameters()
        if each.layout == torch.strided and not bool(torch.isfinite(each.detach()).all())
    ]


def _word(loss: float) -> str:
    return "NaN" if math.isnan(loss) else "infinite" if math.isinf(loss) else f"{loss:.3g}"


def _watched(evidence, replica: nn.Module, step: int, dtype: torch.dtype) -> tuple[Call | None, float, Calls]:
    """Return the call that first made numbers that are not finite, forward or backward, and the loss."""
    if step > 1:
        run_shadow(replica, evidence.objective, dtype, replace(evidence.settings, steps=step - 1))
    calls = Calls(replica, numbers=True)
    loss = watched_loss(evidence, replica, step, dtype, calls, evidence.objective)
    if not math.isfinite(float(loss.detach())):
        return first_broken(calls), float(loss.detach()), calls
    if any(call.broken == "nan" for call in calls.calls):  # it does not reach the loss, but the gradients
        return first_broken(calls), float(loss.detach()), calls
    graph = Graph(loss, {})
    node = graph.first_broken(loss)
    return (calls.by_node().get(node.call) if node is not None else None), float(loss.detach()), calls


def _why(
    call: Call, calls: Calls, model: nn.Module, objective: Objective, in_loss: bool
) -> tuple[str, list[tuple[Any, str]], tuple]:
    """Say what about an operation's arguments makes NaN, which changes may help, and which parameters are named."""
    names = {id(each): name for name, each in model.named_parameters()}
    zero = [names[id(each)] for each in call.given if id(each) in names and not each.detach().any()]
    repairs: list[tuple[Any, str]] = []
    labels = [each for each in tensors_in([objective.targets, objective.inputs]) if each.dtype == torch.long]
    counted = "Hand over a batch with at least one label that counts."
    if in_loss and any(each.numel() and bool((each == IGNORED).all()) for each in labels):
        return (
            f"averages over no label at all, because every label is {IGNORED} and so ignored",
            [("labels", counted)],
            (),
        )
    if in_loss and (ignored := ignores_all(call)) is not None:
        reason = f"averages over no label at all, because every label is {ignored} and so ignored"
        return reason, [({call.key: with_labels}, counted)], ()
    if call.name in NORMED and (zero or call.name == "weight_norm"):
        owner = zero or [name for name in sorted(zero_parameters(model)) if name.startswith(call.path)]
        shown = f"`{owner[0]}`" if owner else "its weight"
        if call.name == "weight_norm":
            found = [names[id(each)] for each in call.given if id(each) in names]
            place = (found or owner or [call.path])[0].split(".parametrizations")[0]
            place = place.removesuffix(".weight_v").removesuffix(".weight_g")
            reason = f"divides {shown}, the weight of `{place}`, by its norm, which is zero"
        else:
            reason = f"works on {shown}, which is zero"
        if owner:
            repairs.append((("draw", tuple(owner[:1])), f"Start with {draw_line(owner[:1], 1)}."))
        elif rows := zero_rows(call):
            reason = f"divides row {rows} of the weight of `{place}` by its norm, which is zero"
            line = f"Draw row {rows} of that weight at random, before the weight norm is put on it."
            repairs.append(({call.key: rows_drawn}, line))
        return reason, repairs, tuple(owner[:1])
    reason = reason_of_calls(call, calls, model) or of_operation(call, in_loss)
    if behind := zeros_behind_division(call, calls, model):
        reason += f", because {few(behind)} {'starts' if len(behind) == 1 else 'start'} at zero"
        repairs.append((("draw", behind), f"Start with {draw_line(list(behind), len(behind), True)}."))
        return reason, repairs, behind
    own = tuple(names[id(each)] for each in call.given[:1] if id(each) in names)
    if own and "negative" in reason:
        reason += f", because {few(own)} is below zero there"
        repair = f"Compute with `F.softplus({own[0]})`, which is above zero for any value."
        return reason, [({call.key: _positive}, repair), *guards(call, calls)], own
    given = tensors_in(objective.inputs)
    floats = [each for each in given if each.is_floating_point() and each.numel()]
    empty = [at for at, each in enumerate(given, 1) if any(each is one for one in floats) and not each.any()]
    if empty:
        which = f"input tensor {empty[0]} of {len(given)}" if len(given) > 1 else "the batch"
        reason += f"; {which} is all zeros"
        filled = ("inputs", "Hand over a batch of real or random values.")
        repairs += [*(guards(call, calls) if len(given) > 1 else []), filled]  # one of several may be meant
    if call.name in ATTENTION:
        repairs.append(("masks", "Leave at least one key unmasked in each row."))
    used = {id(given): given for each in calls.calls for given in each.given if id(given) in names and given.numel()}
    sizes = {names[key]: float(each.detach().abs().max()) for key, each in used.items()}
    if sizes and sizes[name := max(sizes, key=sizes.__getitem__)] > HUGE:
        reason += f", and `{name}` holds values up to {sizes[name]:.1g}"
        line = f"Start `{name}` with smaller values: {draw_line([name], 1)}."
        using = [each.key for each in calls.calls if any(names.get(id(given)) == name for given in each.given)]
        return reason, [(dict.fromkeys(using, _with_small_parameters), line)], (name,)
    if "overflows" in reason and (largest := _largest(floats)) > LARGE_INPUT:
        repairs.append(("scaled inputs", f"Normalize the inputs, which go up to {largest:.4g}."))
    repairs += [*of_calls(call, calls), *guards(call, calls)]
    return reason, repairs, ()


def _positive(call: Call) -> Any:
    return call.func(F.softplus(call.args[0]), *call.args[1:], **call.kwargs)


def _with_small_parameters(call: Call) -> Any:
    """Call with each parameter divided by its largest value."""

    def small(value: Any) -> Any:
        return value / value.detach().abs().max() if isinstance(value, nn.Parameter) else value

    return call.func(*map(small, call.args), **{name: small(each) for name, each in call.kwargs.items()})


def _largest(floats: list[Tensor]) -> float:
    return max((float(each.detach().abs().max()) for each in floats), default=0.0)


def _smaller_rate(evidence: Evidence) -> str:
    """Return the largest learning rate, of a few, with which the loss does not grow, as a repair."""
    steps = max(len(evidence.double.losses), 2)
    for share in RATES:
        trace = _trained(evidence, replace(evidence.settings, steps=steps, rate_factor=share))
        if trace is not None and not is_broken(trace) and not grows(trace.losses):
            return f"Divide the learning rate by {round(1 / share)}."
    return "Lower the learning rate, or scale inputs and targets."


def _trained(evidence: Evidence, settings: Settings) -> Trace | None:
    try:
        return run_shadow(copy_of(evidence.model, torch.float32), evidence.objective, torch.float32, settings)
    except InputError:
        return None
