"""One call for any model: will it learn, what stays identical, when does each layer wake up."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from zeroinit._batch import map_tensors, take_batch
from zeroinit._common import InputError, derive_seed
from zeroinit.symmetry.capacity import check_memory
from zeroinit.symmetry.checks import check_devices, check_model, left_out, unwrapped
from zeroinit.symmetry.copying import copier_of
from zeroinit.symmetry.doubts import Doubts, find_doubts, kinds_of, told_by_steps
from zeroinit.symmetry.findings import judge
from zeroinit.symmetry.graph import Graph
from zeroinit.symmetry.memory import release
from zeroinit.symmetry.objective import Objective
from zeroinit.symmetry.precision import ShadowMode, cast_floats
from zeroinit.symmetry.reasons import Reason, find_reason, zero_parameters
from zeroinit.symmetry.report import SymmetryReport
from zeroinit.symmetry.shadow import Settings, Trace, backward, copy_of, forward_loss, run_shadow
from zeroinit.symmetry.sharing import WrittenError, sharing_allowed
from zeroinit.symmetry.tracking import NEARLY
from zeroinit.symmetry.undisturbed import undisturbed
from zeroinit.symmetry.variants import (
    is_signal_at_first,
    of_matrices,
    owe_to_dropout,
    run_single,
    switch_off,
    without_free_kernels,
)
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
        check_memory(model, torch.float32)
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
    """Train a float32 copy; ask float64, and copies with something switched off, only where that leaves a doubt."""
    skipped = left_out(model)
    inspected = [name for name, _ in model.named_parameters() if name not in skipped]
    epsilon = max((torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point()), default=1e-7)
    replica = copy_of(model, torch.float32)
    watch = Watch(replica, inspected, epsilon, same=NEARLY)
    single = run_shadow(replica, objective, torch.float32, settings, watch=watch)
    widths = {each.layer.weight: each.tracker.width_bitwise(watch.value) for each in watch.layers}
    evidence = Evidence(
        model, objective, settings, single, single, watch, widths, {}, set(), set(), skipped, {}, _notes(replica)
    )
    trained = [name for name, each in replica.named_parameters() if each.requires_grad and name in inspected]
    narrow = all(each.dtype != torch.float64 for each in model.parameters())
    doubts = find_doubts(single, watch, trained)
    if narrow and not doubts and not owe_to_dropout(evidence, inspected) and _is_enough(evidence, replica, doubts):
        return evidence
    release(replica)
    evidence.reasons = {}
    return _gather_in_double(evidence, inspected, epsilon, watch if narrow else None)


def _notes(replica: nn.Module) -> list[str]:
    copier = copier_of(replica)
    if copier is None or not copier.by_reference:
        return []
    used = ", ".join(f"{place} ({kind})" for place, kind in copier.by_reference.items())
    return [f"cannot be copied and was used itself: {used}"]


def _is_enough(evidence: Evidence, replica: nn.Module, doubts: Doubts) -> bool:
    """Finish the float32 run with one more pass, in float64 where gradients are faint; tell whether it settles them."""
    told = told_by_steps(evidence.single, doubts.faint)
    if all(told.values()) and not evidence.single.drops:
        _take_out(evidence, {name for name, kind in told.items() if kind == "rounding"})
        return _look_at_the_end(evidence, replica, torch.float32)
    for parameter in replica.parameters():
        parameter.grad = None
    try:
        if doubts.matrices and not is_signal_at_first(evidence, doubts.faint):
            return False
        exact = copy_of(replica, torch.float64)
        enough = _look_at_the_end(evidence, exact, torch.float64, doubts.faint)
    except InputError:  # no float64 for this model; the long way says so
        return False
    release(exact)
    return enough


def _settle(evidence: Evidence, exact: nn.Module, faint: set[str]) -> bool:
    """Take gradients that are rounding alone out of the float32 run; tell whether the others are signal throughout."""
    kinds = kinds_of(exact, faint, evidence.single.rows[-1])
    _take_out(evidence, {name for name, kind in kinds.items() if kind == "rounding"})
    dims = {name: each.dim() for name, each in exact.named_parameters()}
    return all(kind == "signal" or (kind == "rounding" and dims[name] < 2) for name, kind in kinds.items())


def _take_out(evidence: Evidence, false: set[str]) -> None:
    """Set gradients that are rounding alone to zero, in all steps."""
    single = evidence.single
    sizes = [{**each, **dict.fromkeys(false & set(each), 0.0)} for each in single.sizes]
    evidence.double = replace(single, sizes=sizes, rounding=[set(false) for _ in single.sizes])


def _gather_in_double(first: Evidence, inspected: list[str], epsilon: float, watched: Watch | None) -> Evidence:
    """Train the shadows one after the other, so that no two are in memory at a time."""
    model, objective, settings, single, notes = first.model, first.objective, first.settings, first.single, first.notes
    every = [] if watched is None else [each.tracker for each in watched.layers]
    if watched is None:
        single, trackers, first.widths_in_float32 = run_single(model, objective, settings, inspected, epsilon)
    else:
        trackers = of_matrices(watched)
    without = switch_off(model, objective, settings, inspected, single, trackers, notes)
    try:
        check_memory(model, torch.float64)
        replica = copy_of(model, torch.float64)
        watch = Watch(replica, inspected, epsilon, earlier=every)
        double = run_shadow(replica, objective, torch.float64, settings, reference=single, watch=watch)
        dtype = torch.float64
    except InputError as error:
        notes.append(f"no float64 shadow ({error}); rounding was not told from signal")
        replica, dtype = copy_of(model, torch.float32), torch.float32
        watch = Watch(replica, inspected, epsilon)
        double = run_shadow(replica, objective, dtype, settings, watch=watch)
    if double.lowered:
        notes.append(f"done in float32, for want of a float64 kernel: {', '.join(sorted(double.lowered))}")
    widths = first.widths_in_float32
    evidence = replace(first, single=single, double=double, watch=watch, widths_without=without)
    if double.sizes:
        _look_at_the_end(evidence, replica, dtype)
    if any(widths.get(each.layer.weight, 0) > each.tracker.width for each in watch.layers):
        for parameter in replica.parameters():  # only its values are looked at from here on
            parameter.grad = None
        evidence.widths_deterministic = without_free_kernels(evidence, inspected, epsilon)
    return evidence


def _look_at_the_end(
    evidence: Evidence, replica: nn.Module, dtype: torch.dtype, faint: set[str] | frozenset[str] = frozenset()
) -> bool:
    """Go forward once more: which parameters are cut off and by what, and what comes after each layer.

    Returns:
        Whether this pass tells all faint gradients from rounding.
    """
    settings = evidence.settings
    features = evidence.watch.look_again(replica)
    torch.manual_seed(derive_seed(settings.seed, f"step {len(evidence.double.losses) + 1}"))
    for parameter in replica.parameters():
        parameter.grad = None
    mode = ShadowMode(dtype, settings.dropout)
    loss = forward_loss(replica, evidence.objective, dtype, mode)
    features.stop()
    if not loss.requires_grad:
        evidence.reasons = _without_gradient(evidence, replica, None, set())
        return True
    names = {id(parameter): name for name, parameter in replica.named_parameters()}
    graph = Graph(loss, names)
    evidence.fed_to_weights = graph.fed_to_weights({name: p.dim() for name, p in replica.named_parameters()})
    if faint or (_locked(evidence) and dtype == torch.float64):
        graph.measure(loss, lambda: backward(loss, replica, dtype, mode, keep=True))
    if faint and not _settle(evidence, replica, set(faint)):
        return False
    locked = _locked(evidence)
    evidence.reasons = _without_gradient(evidence, replica, graph, locked)
    if locked and dtype == torch.float64:
        evidence.waking = _waking(evidence, replica)
    return True


def _locked(evidence: Evidence) -> set[str]:
    return {name for name in evidence.double.sizes[-1] if not _wakes(evidence.double, name)}


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
