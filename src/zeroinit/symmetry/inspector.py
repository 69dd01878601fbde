"""One call for any model: will it learn, what stays identical, when does each layer wake up."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from zeroinit._batch import map_tensors, take_batch
from zeroinit._common import InputError, derive_seed
from zeroinit.symmetry.checks import check_devices, check_model, left_out, unwrapped
from zeroinit.symmetry.copying import copier_of
from zeroinit.symmetry.findings import judge
from zeroinit.symmetry.graph import Graph
from zeroinit.symmetry.layers import Layer
from zeroinit.symmetry.memory import give_back
from zeroinit.symmetry.objective import Objective
from zeroinit.symmetry.precision import ShadowMode, cast_floats
from zeroinit.symmetry.reasons import Reason, find_reason, zero_parameters
from zeroinit.symmetry.report import SymmetryReport
from zeroinit.symmetry.shadow import Settings, Trace, backward, copy_of, forward_loss, run_shadow
from zeroinit.symmetry.sharing import WrittenError, sharing_allowed
from zeroinit.symmetry.tracking import Tracker
from zeroinit.symmetry.undisturbed import undisturbed
from zeroinit.symmetry.watching import Watch

__all__ = ["Evidence", "assert_symmetry_broken", "inspect"]

WAITING = ("zero_pair", "zero_above", "zero_below")
"""Reasons that end once the parameters named there wake up."""


@dataclass
class Evidence:
    """Everything that the shadows showed, before it is judged."""

    model: nn.Module
    objective: Objective
    settings: Settings
    single: Trace
    double: Trace
    watch: Watch
    widths_in_float32: dict[str, int]
    reasons: dict[str, Reason]
    waking: set[str]
    fed_to_weights: set[str]
    not_inspected: dict[str, str]
    widths_without: dict[str, dict[str, int]]
    notes: list[str]
    widths_deterministic: dict[str, int] = field(default_factory=dict)


def inspect(
    model: nn.Module,
    inputs: Any,
    targets: Any = None,
    *,
    loss_fn: Callable | None = None,
    optimizer: str | Callable = "adam",
    learning_rate: float | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> SymmetryReport:
    """Train copies of a model for a few steps and tell what will learn, what stays identical, and why.

    A copy is trained in float32 and another in float64, on the one batch given; a gradient that shrinks with machine
    epsilon is rounding and counts as none. The model itself, its mode, buffers and gradients and every random state
    are as before afterwards, also after an error.

    Args:
        model: Any module. A model in eval mode is inspected as it would train, in train mode.
        inputs: One batch: a tensor, a tuple for ``model(*inputs)``, a mapping for ``model(**inputs)`` or an object that
            holds tensors; a pair ``(inputs, targets)`` where the model takes one argument; or a ``DataLoader``, whose
            first batch is taken.
        targets: Classes or values. If ``None`` and without the output's own ``.loss``, classes are drawn for scores
            (batch, classes) or (batch, positions, classes), and normal values for any other output.
        loss_fn: Maps output and targets, or the output alone where ``targets`` is ``None``, to a scalar. By default the
            output's own ``.loss``, else cross entropy for classes and the mean squared error for floats. Where it holds
            the model, in its closure or as a method, it gets the copy.
        optimizer: ``"adam"``, ``"sgd"``, or a function from a list of parameters to a torch optimizer.
        learning_rate: Of ``"adam"`` (1e-3 by default) or ``"sgd"`` (0.1).
        steps: Updates; by default as many as there is news, at least 4 and at most 64.
        seed: For dropout, drawn targets and whatever else is drawn.

    Returns:
        The report; print it.

    Raises:
        InputError: The model cannot be trained on this batch; the message says why and what to do.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        >>> _ = nn.init.constant_(model[0].weight, 0.5), nn.init.zeros_(model[0].bias)
        >>> _ = nn.init.constant_(model[2].weight, 0.5)
        >>> report = inspect(model, torch.randn(16, 4, generator=torch.Generator().manual_seed(0)))
        >>> print(report.warnings[0].code, report.warnings[0].path, report.layer("0").effective_width)
        ZI001 0 1
    """
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise InputError(f"steps={steps!r}: must be a whole number of at least 1, or None")
    model = unwrapped(model)
    settings = Settings(optimizer, learning_rate, steps, seed)
    with undisturbed(model, seed):
        check_model(model)
        batch, targets = take_batch(inputs, targets, model)
        check_devices(model, batch)
        objective = Objective(batch, targets, loss_fn, seed)
        try:
            return judge(_gather(model, objective, settings))
        except WrittenError:  # a frozen parameter is written to: the copy needs its own
            with sharing_allowed(False):
                return judge(_gather(model, objective, settings))


def assert_symmetry_broken(model: nn.Module, inputs: Any, targets: Any = None, **settings: Any) -> None:
    """Raise an ``AssertionError`` that lists the warnings of ``inspect``, if there are any; for tests of your own.

    Args:
        model: As for ``inspect``, like ``inputs``, ``targets`` and ``settings``.
        inputs: One batch.
        targets: Classes or values.
        settings: Further arguments of ``inspect``.

    Raises:
        AssertionError: There is at least one warning.

    Example:
        >>> assert_symmetry_broken(nn.Linear(4, 3), torch.randn(16, 4))
    """
    report = inspect(model, inputs, targets, **settings)
    if report.warnings:
        listed = "\n".join(f"  {finding}\n    -> {finding.suggestion}" for finding in report.warnings)
        raise AssertionError(f"{report.model}: {len(report.warnings)} warning(s)\n{listed}")


def _gather(model: nn.Module, objective: Objective, settings: Settings) -> Evidence:
    """Train the shadows one after the other, so that no two are in memory at a time."""
    skipped = left_out(model)
    inspected = [name for name, _ in model.named_parameters() if name not in skipped]
    epsilon = max((torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point()), default=1e-7)
    notes: list[str] = []
    narrow = all(each.dtype != torch.float64 for each in model.parameters())
    single, trackers, widths, every = _run_single(model, objective, settings, inspected, epsilon)
    without = _switch_off(model, objective, settings, inspected, single, trackers, notes)
    replica = copy_of(model, torch.float64)
    watch = Watch(replica, inspected, epsilon, earlier=every if narrow else ())
    try:
        double = run_shadow(replica, objective, torch.float64, settings, reference=single, watch=watch)
        dtype = torch.float64
    except InputError as error:
        notes.append(f"no float64 shadow ({error}); rounding was not told from signal")
        replica, dtype = copy_of(model, torch.float32), torch.float32
        watch = Watch(replica, inspected, epsilon)
        double = run_shadow(replica, objective, dtype, settings, watch=watch)
    copier = copier_of(replica)
    if copier is not None and copier.by_reference:
        used = ", ".join(f"{place} ({kind})" for place, kind in copier.by_reference.items())
        notes.append(f"cannot be copied and was used itself: {used}")
    if double.lowered:
        notes.append(f"done in float32, for want of a float64 kernel: {', '.join(sorted(double.lowered))}")
    evidence = Evidence(
        model, objective, settings, single, double, watch, widths, {}, set(), set(), skipped, without, notes
    )
    if double.sizes:
        _look_at_the_end(evidence, replica, dtype)
    if any(widths.get(each.layer.weight, 0) > each.tracker.width for each in watch.layers):
        for parameter in replica.parameters():  # only its values are looked at from here on
            parameter.grad = None
        evidence.widths_deterministic = _without_free_kernels(evidence, inspected, epsilon)
    return evidence


def _without_free_kernels(evidence: Evidence, inspected: list[str], epsilon: float) -> dict[str, int]:
    """Train in float32 with deterministic kernels alone; count the units that stay the same bit for bit."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings = replace(evidence.settings, steps=len(evidence.single.losses))
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # operations that have no deterministic kernel
            return _run_single(evidence.model, evidence.objective, settings, inspected, epsilon)[2]
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _run_single(
    model, objective, settings, inspected, epsilon
) -> tuple[Trace, list[Tracker], dict[str, int], list[Tracker]]:
    """Train in float32; also count the units that stay the same bit for bit there."""
    replica = copy_of(model, torch.float32)
    watch = Watch(replica, inspected, epsilon, full=False)
    trace = run_shadow(replica, objective, torch.float32, settings, watch=watch)
    trackers = [each.tracker for each in watch.layers]
    widths = {each.layer.weight: each.width_bitwise(watch.value) for each in trackers}
    matrices = [each for each in trackers if each.layer.known and watch.value(each.layer.weight).dim() > 1]
    _release(replica)
    return trace, matrices, widths, trackers


def _release(replica: nn.Module) -> None:
    """Free the memory of a copy at once, even where modules refer to each other in circles."""
    for parameter in replica.parameters():
        parameter.grad = None
        if parameter.layout == torch.strided:
            parameter.data = parameter.data.new_empty(0)
    give_back()


def _look_at_the_end(evidence: Evidence, replica: nn.Module, dtype: torch.dtype) -> None:
    """Go forward once more: which parameters are cut off and by what, and what comes after each layer."""
    settings = evidence.settings
    features = evidence.watch.look_again()
    torch.manual_seed(derive_seed(settings.seed, f"step {len(evidence.double.losses) + 1}"))
    for parameter in replica.parameters():
        parameter.grad = None
    mode = ShadowMode(dtype, settings.dropout)
    loss = forward_loss(replica, evidence.objective, dtype, mode)
    features.stop()
    if not loss.requires_grad:
        evidence.reasons = _without_gradient(evidence, replica, None, set())
        return
    names = {id(parameter): name for name, parameter in replica.named_parameters()}
    graph = Graph(loss, names)
    evidence.fed_to_weights = graph.fed_to_weights({name: p.dim() for name, p in replica.named_parameters()})
    locked = {name for name in evidence.double.sizes[-1] if not _wakes(evidence.double, name)}
    if locked:
        graph.measure(loss, lambda: backward(loss, replica, dtype, mode, keep=True))
    evidence.reasons = _without_gradient(evidence, replica, graph, locked)
    if locked:
        evidence.waking = _waking(evidence, replica)


def _wakes(trace: Trace, name: str) -> bool:
    return trace.first_step(name) is not None


def _without_gradient(evidence, replica, graph, locked) -> dict[str, Reason]:
    zeros, found = zero_parameters(replica), {}
    used_elsewhere: set[str] | None = None
    for name, parameter in evidence.model.named_parameters():
        if not parameter.requires_grad:
            found[name] = Reason("frozen", "is frozen (requires_grad=False)")
        elif name in evidence.not_inspected or (graph is not None and name not in locked):
            continue
        elif name not in evidence.double.used and (graph is None or name not in graph.leaves):
            if used_elsewhere is None:
                used_elsewhere = _used_with_other_inputs(evidence, replica)
            idle = name in used_elsewhere
            text = "takes part for other inputs only" if idle else "does not take part in the forward pass"
            found[name] = Reason("idle" if idle else "unused", text)
        elif graph is None:
            found[name] = Reason("detached", "no gradient leads back from the loss to any parameter")
        elif _zeroed_by_a_hook(replica.get_parameter(name), graph, name):
            found[name] = Reason("unknown", "a hook on it sets its gradient to zero (register_hook)")
        else:
            found[name] = find_reason(name, replica, graph, zeros)
    return found


def _zeroed_by_a_hook(parameter: torch.Tensor, graph: Graph, name: str) -> bool:
    """Whether an error arrives at a parameter that has hooks."""
    arriving = graph.leaves[name].above if name in graph.leaves else []
    return bool(parameter._backward_hooks) and any(user.passed[at] > 0 for user, at in arriving if user.passed)


def _used_with_other_inputs(evidence: Evidence, replica: nn.Module, tries: int = 8) -> set[str]:
    """Run forward on inputs that are shuffled or noisy, and see which parameters take part then."""
    dtype = next(parameter.dtype for parameter in replica.parameters() if parameter.is_floating_point())
    mode = ShadowMode(dtype)
    for seed in range(tries):
        other = Objective(_disturbed(evidence.objective.inputs, seed))
        try:
            with torch.no_grad(), mode:
                other.output(replica, dtype)
        except Exception:  # inputs that this model cannot take
            continue
    names = {id(parameter): name for name, parameter in replica.named_parameters()}
    return {names[each] for each in mode.used if each in names}


def _disturbed(inputs: Any, seed: int) -> Any:
    """Return inputs of the same shapes: floats with noise of their own size, whole numbers in another order."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def change(value: torch.Tensor) -> torch.Tensor:
        if value.is_complex() or value.layout != torch.strided:
            return value
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator, device="cpu").to(value.device, value.dtype)
            return value + noise * (3 * value.std() + 1e-3 if value.numel() > 1 else 1)
        order = torch.randperm(value.numel(), generator=generator, device="cpu").to(value.device)
        return value.flatten()[order].reshape(value.shape)

    return map_tensors(cast_floats(inputs, torch.float32), change)


def _waking(evidence: Evidence, replica: nn.Module) -> set[str]:
    """Return the locked parameters that receive a gradient at the next step, or after those they wait for."""
    gradients = {
        name: float(each.grad.detach().abs().max()) if each.grad is not None and each.grad.numel() else 0.0
        for name, each in replica.named_parameters()
    }
    largest = max(gradients.values(), default=0.0)
    rounding = evidence.double.rounding[-1]
    awake = {name for name, size in gradients.items() if size > (1e-9 * largest if name in rounding else 0)}
    waking = {name for name in awake if name in evidence.reasons}
    while True:
        more = {
            name
            for name, reason in evidence.reasons.items()
            if name not in waking
            and reason.culprits
            and set(reason.culprits) <= awake | waking
            and reason.kind in WAITING
        }
        if not more:
            return waking
        waking |= more


def _switch_off(model, objective, settings, inspected, single, trackers, notes) -> dict[str, dict[str, int]]:
    """Train again without dropout, or with equal biases, where units might owe their difference to it.

    Returns:
        By what was switched off, the number of groups in each layer, by the name of its weight.
    """
    variants: dict[str, dict[str, bool]] = {}
    if single.drops and any(each.initial < each.num_units for each in trackers):
        variants["dropout"] = {"dropout": False}
    if any(each.initial_by_weight < each.initial for each in trackers):
        variants["biases"] = {"equal_biases": True}
    widths = {}
    for name, change in variants.items():
        changed = replace(settings, **{"steps": len(single.losses), **change})
        replica = copy_of(model, torch.float64)
        watch = Watch(replica, inspected, 0.0, full=False)
        try:
            if changed.equal_biases:
                _level_biases(replica, [each.layer for each in trackers])
            run_shadow(replica, objective, torch.float64, changed, reference=single, watch=watch)
            widths[name] = {each.layer.weight: each.tracker.width for each in watch.layers}
        except InputError as error:
            notes.append(f"no shadow without {name} ({error})")
        _release(replica)
    return widths


@torch.no_grad()
def _level_biases(replica: nn.Module, layers: list[Layer]) -> None:
    named = dict(replica.named_parameters())
    for layer in layers:
        for part in layer.parts:
            if part.role == "bias":
                named[part.name].fill_(float(named[part.name].mean()))
