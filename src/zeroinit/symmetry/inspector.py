"""One call for any model: will it learn, what stays identical, when does each gradient begin."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from zeroinit._common import InputError, counted, whole_number
from zeroinit._findings.choosing import choose
from zeroinit._findings.formats import told_once
from zeroinit._modules.arguments import check_function
from zeroinit._modules.batch import take_batch
from zeroinit._modules.copying import copier_of
from zeroinit._modules.homes import homes_of
from zeroinit.symmetry.shadow.checks import (
    LAZY,
    check_batch,
    check_inference,
    check_model,
    is_lazy,
    left_out,
    unwrapped,
    with_shapes,
)
from zeroinit.symmetry.shadow.memory.capacity import check_memory
from zeroinit.symmetry.shadow.memory.frugal import release
from zeroinit.symmetry.shadow.memory.sharing import WrittenError, sharing_allowed
from zeroinit.symmetry.shadow.objective import FORM, Objective
from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer
from zeroinit.symmetry.shadow.trace import Settings
from zeroinit.symmetry.shadow.undisturbed import each_warning_once, flags_of_training, undisturbed
from zeroinit.symmetry.units.doubts import find_doubts, owe_to_dropout
from zeroinit.symmetry.units.runs import Outcome, ShadowRun, Subject, carry_out
from zeroinit.symmetry.units.tracking import NEARLY, Tracker
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.findings import judge
from zeroinit.symmetry.verdict.last_pass import look_at_the_end, settle_faint
from zeroinit.symmetry.verdict.report.parts import GRADIENTS_OFF, in_wrapper
from zeroinit.symmetry.verdict.report.report import SymmetryReport
from zeroinit.symmetry.verdict.report.sentence import by_cause
from zeroinit.symmetry.verdict.search.silent import may_be_stuck
from zeroinit.symmetry.verdict.search.slices import blocks_without_gradient
from zeroinit.symmetry.verdict.symptoms.nothing_trains import why_nothing_trains
from zeroinit.symmetry.verdict.symptoms.numbers import is_broken
from zeroinit.symmetry.verdict.symptoms.symptoms import died, find_symptoms, left_behind
from zeroinit.symmetry.verdict.symptoms.updates.faint_updates import find_still, of_still
from zeroinit.symmetry.verdict.symptoms.updates.slow_updates import find_speeds
from zeroinit.symmetry.verdict.symptoms.updates.thrown import find_thrown, of_thrown

__all__ = ["assert_symmetry_broken", "inspect"]

RUNS = {
    "float32": ShadowRun(torch.float32, same=NEARLY),
    "float32 without dropout": ShadowRun(torch.float32, full=False, same=NEARLY, dropout=False),
    "float32 of a float64 model": ShadowRun(torch.float32, full=False),
    "float64": ShadowRun(torch.float64),
    "float32 in place of float64": ShadowRun(torch.float32),
    "without dropout": ShadowRun(torch.float64, full=False, dropout=False),
    "equal biases": ShadowRun(torch.float64, full=False, equal_biases=True),
    "deterministic": ShadowRun(torch.float32, full=False, deterministic=True),
}
"""Every training of a copy that an inspection may need: the first one always, the others where doubts remain."""
TOLD_BY_TRACE = {
    "ZI010", "ZI017", "ZI018", "ZI021", "ZI022", "ZI023", "ZI024", "ZI025",
    "ZI107", "ZI109", "ZI110", "ZI111", "ZI112", "ZI114", "ZI115",
}  # fmt: skip
"""Codes of symptoms that one float32 run shows in full."""


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
    """Tell whether a model will learn: what gets no gradient, what stays identical, why, and what to type.

    ``inspect`` trains a copy of the model for a few steps in float32, on the one batch given. If a doubt remains, it
    trains another copy in float64. A gradient that shrinks with machine epsilon is rounding and does not count. A
    reason is printed only if a trial on a copy has shown it. Your model does not change, also after an error: its
    parameters, mode, buffers and gradients stay, and so does every random state.

    Args:
        model: Any module. A model in eval mode is inspected in train mode, as it would train.
        inputs: One batch: a tensor, a tuple for ``model(*inputs)``, a mapping for ``model(**inputs)`` or an object that
            holds tensors. If the model takes one argument, you may pass a pair ``(inputs, targets)``. From a
            ``DataLoader``, ``inspect`` takes the first batch.
        targets: Classes or values. If ``None``, the output's own ``.loss`` is used. Without one, ``inspect`` draws
            targets: classes for scores (batch, classes) or (batch, positions, classes), else normal values.
        loss_fn: Maps output and targets to a scalar, or the output alone if ``targets`` is ``None``. The default is the
            output's own ``.loss``. If there is none, it is cross entropy for classes and the mean squared error for
            floats. A ``loss_fn`` that holds the model, in its closure or as a method, gets the copy.
        optimizer: ``"adam"``, ``"sgd"``, a function from a list of parameters to a torch optimizer, or your own
            optimizer. Its class, groups and rates then train the copy, and the report names parameters that it does not
            hold.
        learning_rate: For ``"adam"`` (1e-3 by default) or ``"sgd"`` (0.1 by default).
        steps: The number of updates. By default ``inspect`` goes on while something new happens: 4 to 64 updates.
        seed: For dropout, for drawn targets and for everything else that is random.

    Returns:
        The report; print it.

    Raises:
        InputError: The model cannot be trained on this batch; the message says why and what to do.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        >>> _ = nn.init.constant_(model[0].weight, 0.5), nn.init.zeros_(model[0].bias)
        >>> _ = nn.init.constant_(model[2].weight, 0.5)
        >>> report = inspect(model, torch.randn(16, 4, generator=torch.Generator().manual_seed(0)))
        >>> print(report.warnings[0].code, report.warnings[0].path, report.layer("0").num_distinct_units)
        ZI001 0 1
    """
    steps = None if steps is None else whole_number(steps, "steps", 1)
    seed = whole_number(seed, "seed", 0)
    if loss_fn is not None:
        check_function(loss_fn, "loss_fn", FORM, counts=(1, 2))
    check_inference(model)
    usual = not torch.is_inference_mode_enabled()
    given, model = model, unwrapped(model)
    notes = [] if torch.is_grad_enabled() else [GRADIENTS_OFF]
    with undisturbed(model, seed), each_warning_once(), flags_of_training(model):
        if is_lazy(model):
            model, optimizer = with_shapes(model, inputs, targets, optimizer)
            notes.append(LAZY)
        check_model(model)
        if reason := why_nothing_trains(model, optimizer):
            raise InputError(f"model: {reason}")
        rule = OwnOptimizer(optimizer, model) if isinstance(optimizer, torch.optim.Optimizer) else optimizer
        notes += getattr(rule, "notes", [])
        settings = Settings(rule, learning_rate, steps, seed)
        batch, targets = take_batch(inputs, targets, model)
        check_batch(model, batch, targets, usual)
        check_memory(model, torch.float32)
        skipped = left_out(model)
        inspected = [name for name, _ in model.named_parameters() if name not in skipped]
        subject = Subject(model, Objective(batch, targets, loss_fn, seed), settings, inspected)
        try:
            report = judge(_gather(subject))
        except WrittenError:  # a frozen parameter is written to: the copy needs its own
            with sharing_allowed(False):
                report = judge(_gather(subject))
        homes = homes_of(model, {each.path for each in report.findings})
        inner = getattr(given, "module", None)
        wrapped = given is not model and isinstance(inner, nn.Module) and unwrapped(inner) is model
        findings = in_wrapper(report.findings) if wrapped else report.findings
        return replace(report, findings=findings, notes=(*notes, *report.notes), homes=homes)


def assert_symmetry_broken(
    model: nn.Module, inputs: Any, targets: Any = None, *, ignore: Iterable[str] = (), **settings: Any
) -> None:
    """Raise an ``AssertionError`` with the warnings of ``inspect``, if it has any: one line for your tests.

    Args:
        model: As for ``inspect``, like ``inputs``, ``targets`` and ``settings``.
        inputs: One batch.
        targets: Classes or values.
        ignore: Codes of warnings to leave out, or their beginnings, such as ``"ZI0"``.
        settings: Further arguments of ``inspect``.

    Raises:
        AssertionError: There is at least one warning.

    Example:
        >>> assert_symmetry_broken(nn.Linear(4, 3), torch.randn(16, 4))
    """
    __tracebackhide__ = True  # pytest shows the report alone
    report = choose(inspect(model, inputs, targets, **settings), ignore=ignore)
    if report.warnings:
        causes = by_cause(told_once(report.warnings))
        lines = [f"{report.model}: {counted(len(causes), 'warning')}"]
        for members in causes:
            lines += [*(f"  {each}" for each in members), f"    -> {members[0].suggestion}"]
        raise AssertionError("\n".join(lines))


def _gather(subject: Subject) -> Evidence:
    """Train a float32 copy. Train further copies only where this one leaves a doubt."""
    narrow = all(each.dtype != torch.float64 for each in subject.model.parameters())
    first, notes = _first_run(subject, narrow)
    evidence = Evidence(subject, first.trace, first.trace, first.watch, first.widths_bitwise())
    evidence.not_inspected, evidence.notes = left_out(subject.model), notes + _notes(first.replica)
    evidence.still = find_still(subject.model, first.replica, first.trace)
    evidence.thrown = find_thrown(subject.model, first.replica, first.trace)
    evidence.speeds = find_speeds(subject.model, first.replica, first.trace)
    if narrow and _is_enough(evidence, first.replica):
        return evidence
    release(first.replica)
    if not narrow and not notes:
        again = carry_out(RUNS["float32 of a float64 model"], subject)
        evidence.single, evidence.widths_in_float32 = again.trace, again.widths_bitwise()
        release(again.replica)
        return _ask_float64(evidence, again.watch.of_matrices(), [])
    return _ask_float64(evidence, first.watch.of_matrices(), [each.tracker for each in first.watch.layers])


def _first_run(subject: Subject, narrow: bool) -> tuple[Outcome, list[str]]:
    """Train in float32; a float64 model that names its type in the forward pass is trained in float64 alone."""
    try:
        return carry_out(RUNS["float32"], subject), []
    except InputError:
        if narrow:
            raise
    note = "the forward pass asks for float64, so no float32 copy was trained; rounding was not told from signal"
    return carry_out(RUNS["float64"], subject), [note]


def _is_enough(evidence: Evidence, replica: nn.Module) -> bool:
    """Tell whether the float32 run settles everything; finish it with one more pass if so."""
    subject, single, watch = evidence.subject, evidence.single, evidence.watch
    trained = [name for name, each in replica.named_parameters() if each.requires_grad and name in subject.inspected]
    doubts = find_doubts(single, watch, trained)
    if doubts or evidence.still or evidence.thrown or died(single) or left_behind(single):
        return False
    if owe_to_dropout(subject, single, watch, RUNS["float32 without dropout"]):
        return False
    if any(may_be_stuck(each, evidence).any() or blocks_without_gradient(each).any() for each in watch.layers):
        return False
    evidence.symptoms += find_symptoms(evidence)
    return {each.code for each in evidence.symptoms} <= TOLD_BY_TRACE and settle_faint(evidence, replica, doubts)


def _ask_float64(evidence: Evidence, trackers: list[Tracker], earlier: list[Tracker]) -> Evidence:
    """Train further copies one after the other, so that no two are in memory at a time."""
    subject, single = evidence.subject, evidence.single
    evidence.reasons, evidence.symptoms = {}, []
    evidence.widths_without = _switch_off(evidence, trackers)
    last, dtype = _in_float64(evidence, earlier)
    evidence.double, evidence.watch = last.trace, last.watch
    if last.trace.lowered:
        evidence.notes.append(f"done in float32, for want of a float64 kernel: {', '.join(sorted(last.trace.lowered))}")
    evidence.symptoms += find_symptoms(evidence)
    if is_broken(single) and not is_broken(last.trace):
        evidence.double = single  # what is told is what float32 does
    if not any(each.code in ("ZI013", "ZI015") for each in evidence.symptoms):
        evidence.symptoms += of_still(evidence)
        evidence.symptoms += of_thrown(evidence)
    if last.trace.sizes and not any(each.code == "ZI013" for each in evidence.symptoms):
        look_at_the_end(evidence, last.replica, dtype)
    widths = evidence.widths_in_float32
    if any(widths.get(each.layer.weight, 0) > each.tracker.width for each in last.watch.layers):
        for parameter in last.replica.parameters():  # only its values are looked at from here on
            parameter.grad = None
        deterministic = carry_out(RUNS["deterministic"], subject, steps=len(single.losses))
        evidence.widths_deterministic = deterministic.widths_bitwise()
        release(deterministic.replica)
    return evidence


def _in_float64(evidence: Evidence, earlier: list[Tracker]) -> tuple[Outcome, torch.dtype]:
    """Train in float64, or in float32 if the model has no float64. Return the type as well."""
    try:
        check_memory(evidence.model, torch.float64)
        run = RUNS["float64"]
        return carry_out(run, evidence.subject, reference=evidence.single, earlier=earlier), run.dtype
    except InputError as error:
        evidence.notes.append(f"no float64 shadow ({error}); rounding was not told from signal")
    run = RUNS["float32 in place of float64"]
    return carry_out(run, evidence.subject), run.dtype


def _switch_off(evidence: Evidence, trackers: list[Tracker]) -> dict[str, dict[str, int]]:
    """Train without dropout, or with equal biases, where units might owe their difference to it.

    Returns:
        By what was switched off, the number of groups in each layer, by the name of its weight.
    """
    single, subject, widths = evidence.single, evidence.subject, {}
    doubtful = {
        "dropout": single.drops and any(each.initial < each.num_units for each in trackers),
        "biases": any(each.initial_by_weight < each.initial for each in trackers),
    }
    layers = [each.layer for each in trackers]
    for name, run in (("dropout", RUNS["without dropout"]), ("biases", RUNS["equal biases"])):
        if not doubtful[name]:
            continue
        try:
            without = carry_out(run, subject, steps=len(single.losses), reference=single, layers=layers)
            widths[name] = without.widths()
            release(without.replica)
        except InputError as error:
            evidence.notes.append(f"no shadow without {name} ({error})")
    return widths


def _notes(replica: nn.Module) -> list[str]:
    copier = copier_of(replica)
    if copier is None or not copier.by_reference:
        return []
    used = ", ".join(f"{place} ({kind})" for place, kind in copier.by_reference.items())
    return [f"cannot be copied and was used itself: {used}"]
