"""One call for any model: will it learn, what stays identical, when does each layer wake up."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from zeroinit._common import InputError, derive_seed
from zeroinit.symmetry.checks import check_model, left_out
from zeroinit.symmetry.choosing import choose
from zeroinit.symmetry.explain import explain
from zeroinit.symmetry.findings import judge
from zeroinit.symmetry.graph import Graph
from zeroinit.symmetry.layers import Layer
from zeroinit.symmetry.memory import give_back
from zeroinit.symmetry.objective import Objective
from zeroinit.symmetry.own_optimizer import OwnOptimizer
from zeroinit.symmetry.precision import ShadowMode
from zeroinit.symmetry.reasons import Reason
from zeroinit.symmetry.report import SymmetryReport
from zeroinit.symmetry.shadow import Settings, Trace, copy_of, forward_loss, run_shadow
from zeroinit.symmetry.silent import Silent
from zeroinit.symmetry.symptoms import Symptom, find_symptoms
from zeroinit.symmetry.tracking import Tracker
from zeroinit.symmetry.undisturbed import random_state_kept
from zeroinit.symmetry.watching import Watch

__all__ = ["Evidence", "assert_symmetry_broken", "inspect"]


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

    A copy is trained in float32 and another in float64, on the one batch given; a gradient that shrinks with machine
    epsilon is rounding and counts as none. The model itself, its mode, buffers and gradients and every random state
    are as before afterwards, also after an error.

    Args:
        model: Any module. A model in eval mode is inspected as it would train, in train mode.
        inputs: One batch: a tensor, a tuple for ``model(*inputs)``, or a dictionary for ``model(**inputs)``.
        targets: Classes or values. If ``None`` and without the output's own ``.loss``, classes are drawn for scores
            (batch, classes) or (batch, positions, classes), and normal values for any other output.
        loss_fn: Maps output and targets, or the output alone where ``targets`` is ``None``, to a scalar. By default the
            output's own ``.loss``, else cross entropy for classes and the mean squared error for floats.
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
    check_model(model, inputs)
    rule = OwnOptimizer(optimizer, model) if isinstance(optimizer, torch.optim.Optimizer) else optimizer
    settings = Settings(rule, learning_rate, steps, seed)
    with random_state_kept(model, seed):
        return judge(_gather(model, Objective(inputs, targets, loss_fn, seed), settings))


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
    if double.lowered:
        notes.append(f"done in float32, for want of a float64 kernel: {', '.join(sorted(double.lowered))}")
    evidence = Evidence(
        model, objective, settings, single, double, watch, widths, {}, set(), set(), skipped, without, notes
    )
    evidence.symptoms += find_symptoms(evidence)
    if double.sizes and not any(each.code == "ZI013" for each in evidence.symptoms):
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
        parameter.data = parameter.data.new_empty(0)
    give_back()


def _look_at_the_end(evidence: Evidence, replica: nn.Module, dtype: torch.dtype) -> None:
    """Go forward once more: which parameters are cut off and by what, and what comes after each layer."""
    settings = evidence.settings
    features = evidence.watch.look_again()
    torch.manual_seed(derive_seed(settings.seed, f"step {len(evidence.double.losses) + 1}"))
    for parameter in replica.parameters():
        parameter.grad = None
    loss = forward_loss(replica, evidence.objective, dtype, ShadowMode(dtype, settings.dropout))
    features.stop()
    leaves: list = []
    if loss.requires_grad:
        graph = Graph(loss, {id(parameter): name for name, parameter in replica.named_parameters()})
        evidence.fed_to_weights = graph.fed_to_weights({name: p.dim() for name, p in replica.named_parameters()})
        leaves = graph.strangers
        del graph
    del loss
    explain(evidence, replica, dtype, leaves)


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
