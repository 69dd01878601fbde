"""One call for any model: will it learn, what stays identical, when does each layer wake up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit._modules.batch import take_batch
from zeroinit._modules.copying import copier_of
from zeroinit.symmetry.capacity import check_memory
from zeroinit.symmetry.checks import check_devices, check_model, left_out, unwrapped
from zeroinit.symmetry.choosing import choose
from zeroinit.symmetry.doubts import Doubts, find_doubts, kinds_of, told_by_steps
from zeroinit.symmetry.explain import Explainer, LastPass, explain
from zeroinit.symmetry.faint_updates import find_still, of_still
from zeroinit.symmetry.findings import judge
from zeroinit.symmetry.graph import Graph
from zeroinit.symmetry.loss_parameters import note_loss_parameters
from zeroinit.symmetry.memory import release
from zeroinit.symmetry.no_effect import slices_that_compete
from zeroinit.symmetry.numbers import is_broken
from zeroinit.symmetry.objective import Objective
from zeroinit.symmetry.own_optimizer import OwnOptimizer
from zeroinit.symmetry.precision import ShadowMode
from zeroinit.symmetry.report import SymmetryReport
from zeroinit.symmetry.shadow import Settings, Trace, backward, copy_of, forward_loss, run_shadow
from zeroinit.symmetry.sharing import WrittenError, sharing_allowed
from zeroinit.symmetry.silent import Silent, may_be_stuck
from zeroinit.symmetry.symptoms import Symptom, died, find_symptoms
from zeroinit.symmetry.tracking import NEARLY
from zeroinit.symmetry.trained_elsewhere import leave_to_others
from zeroinit.symmetry.undisturbed import reseed, undisturbed
from zeroinit.symmetry.variants import (
    is_signal_at_first,
    of_matrices,
    owe_to_dropout,
    run_single,
    switch_off,
    without_free_kernels,
)
from zeroinit.symmetry.views import Reason
from zeroinit.symmetry.watching import Watch

__all__ = ["Evidence", "assert_symmetry_broken", "inspect"]

TOLD_BY_TRACE = {"ZI017", "ZI018", "ZI021", "ZI109"}
"""Codes of symptoms that one float32 run shows in full."""


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
    silent: dict[str, Silent] = field(default_factory=dict)
    symptoms: list[Symptom] = field(default_factory=list)
    still: set[str] = field(default_factory=set)
    """Parameters that the updates of the float32 run moved by less than rounding."""
    left_to_others: set[str] = field(default_factory=set)
    """Parameters that the user's own optimizer need not hold."""
    competing: set[tuple[str, str]] = field(default_factory=set)
    """Weights and axes whose slices are identical although they would learn different things."""
    of_loss: dict[str, float] = field(default_factory=dict)
    """Rates of what trains in the loss alone, by name; 0 where no optimizer holds it, NaN where that is not known."""


def inspect(
    model: nn.Module,
    inputs: Any,
    targets: Any = None,
    *,
    loss_fn: Callable | None = None,
    optimizer: str | Callable | torch.optim.Optimizer = "adam",
    learning_rate: float | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> SymmetryReport:
    """Train copies of a model for a few steps and tell what will learn, what stays identical, and why.

    A copy is trained in float32 on the one batch given, and another in float64 where that leaves a doubt. A gradient
    that shrinks with machine epsilon is rounding and counts as none. A reason is printed once a trial on a copy has
    shown it. The model itself, its mode, buffers and gradients and every random state are as before afterwards, also
    after an error.

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
        optimizer: ``"adam"``, ``"sgd"``, a function from a list of parameters to a torch optimizer, or your optimizer
            itself: its class, groups and rates train the copy, and parameters that it does not hold are told.
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
    with undisturbed(model, seed):
        check_model(model)
        rule = OwnOptimizer(optimizer, model) if isinstance(optimizer, torch.optim.Optimizer) else optimizer
        settings = Settings(rule, learning_rate, steps, seed)
        batch, targets = take_batch(inputs, targets, model)
        check_devices(model, batch)
        check_memory(model, torch.float32)
        objective = Objective(batch, targets, loss_fn, seed)
        try:
            return judge(_gather(model, objective, settings))
        except WrittenError:  # a frozen parameter is written to: the copy needs its own
            with sharing_allowed(False):
                return judge(_gather(model, objective, settings))


def assert_symmetry_broken(
    model: nn.Module, inputs: Any, targets: Any = None, *, ignore: Iterable[str] = (), **settings: Any
) -> None:
    """Raise an ``AssertionError`` that lists the warnings of ``inspect``, if there are any; for tests of your own.

    Args:
        model: As for ``inspect``, like ``inputs``, ``targets`` and ``settings``.
        inputs: One batch.
        targets: Classes or values.
        ignore: Codes of warnings to leave out, or what they start with.
        settings: Further arguments of ``inspect``.

    Raises:
        AssertionError: There is at least one warning.

    Example:
        >>> assert_symmetry_broken(nn.Linear(4, 3), torch.randn(16, 4))
    """
    report = choose(inspect(model, inputs, targets, **settings), ignore=ignore)
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
    evidence.still = find_still(model, replica, single)
    narrow = all(each.dtype != torch.float64 for each in model.parameters())
    if narrow and _is_enough(evidence, replica, inspected):
        return evidence
    release(replica)
    evidence.reasons, evidence.symptoms = {}, []
    return _gather_in_double(evidence, inspected, epsilon, watch if narrow else None)


def _notes(replica: nn.Module) -> list[str]:
    copier = copier_of(replica)
    if copier is None or not copier.by_reference:
        return []
    used = ", ".join(f"{place} ({kind})" for place, kind in copier.by_reference.items())
    return [f"cannot be copied and was used itself: {used}"]


def _is_enough(evidence: Evidence, replica: nn.Module, inspected: list[str]) -> bool:
    """Tell whether the float32 run settles everything; finish it with one more pass if so."""
    trained = [name for name, each in replica.named_parameters() if each.requires_grad and name in inspected]
    doubts = find_doubts(evidence.single, evidence.watch, trained)
    if doubts or evidence.still or died(evidence.single) or owe_to_dropout(evidence, inspected):
        return False
    if any(may_be_stuck(each, evidence).any() for each in evidence.watch.layers):
        return False
    evidence.symptoms += find_symptoms(evidence)
    return {each.code for each in evidence.symptoms} <= TOLD_BY_TRACE and _finish(evidence, replica, doubts)


def _finish(evidence: Evidence, replica: nn.Module, doubts: Doubts) -> bool:
    """Go forward once more, in float64 and backward where gradients are faint; tell whether that settles them."""
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
    evidence.symptoms += find_symptoms(evidence)
    if is_broken(single) and not is_broken(double):
        evidence.double = single  # what is told is what float32 does
    if not any(each.code in ("ZI013", "ZI015") for each in evidence.symptoms):
        evidence.symptoms += of_still(evidence)
    if double.sizes and not any(each.code == "ZI013" for each in evidence.symptoms):
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
    reseed(settings.seed, len(evidence.double.losses) + 1)
    for parameter in replica.parameters():
        parameter.grad = None
    mode = ShadowMode(dtype, settings.dropout)
    loss = forward_loss(replica, evidence.objective, dtype, mode)
    features.stop()
    last = LastPass(float(loss.detach()))
    if loss.requires_grad:
        if faint:
            backward(loss, replica, dtype, mode, keep=True)
            if not _settle(evidence, replica, set(faint)):
                return False
        dims = {name: each.dim() for name, each in replica.named_parameters()}
        graph = Graph(loss, {id(parameter): name for name, parameter in replica.named_parameters()})
        evidence.fed_to_weights = graph.fed_to_weights(dims)
        removed = set().union(*evidence.double.rounding)
        last.strangers, last.norms = graph.strangers, graph.norms_behind(removed)
        del graph
    del loss
    explain(evidence, replica, dtype, last)
    leave_to_others(evidence)
    note_loss_parameters(evidence, replica, last.strangers)
    evidence.competing = slices_that_compete(evidence, partial(Explainer, evidence, replica, dtype))
    return True
