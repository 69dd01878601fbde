"""One inspection before the first update, in the first process. With ``strict`` it stops training in all processes."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import nn

from zeroinit._common import InputError, unknown, whole_number
from zeroinit._findings.choosing import choose, known_codes
from zeroinit._modules.arguments import check_function, true_or_false
from zeroinit._modules.sharded import num_processes
from zeroinit.integrations.optimizers import as_one
from zeroinit.integrations.own_loop import is_first_rank
from zeroinit.integrations.recorder import Recorder
from zeroinit.symmetry.inspector import inspect
from zeroinit.symmetry.shadow.objective import FORM
from zeroinit.symmetry.shadow.own_optimizer import stand_in
from zeroinit.symmetry.shadow.updates import check_updates
from zeroinit.symmetry.verdict.report.report import SymmetryReport
from zeroinit.symmetry.verdict.report.sentence import by_cause

__all__ = ["BATCHES", "FirstInspection", "InspectingCallback", "SkippedBatch", "SymmetryError"]

BATCHES = 5
"""Batches that may be tried, if the model's own training skips the ones before: without an update it is as it was."""

ELSEWHERE = ("ZI009", "ZI010", "ZI012")
"""Codes of parameters that this loss does not reach: where it is not the one of the training, another one may."""


class SymmetryError(RuntimeError):
    """With ``strict=True``: the model will not learn as it should. No update was made."""


class SkippedBatch(InputError):
    """The model's own training makes no update of this batch, so the next one may be tried."""


class FirstInspection:
    """Inspects a model once, in the first process, and shows the result; on the first batch that is not skipped.

    Args:
        strict: Raise if there is a warning, or if the model cannot be inspected.
        ignore: Codes of warnings that do not count, or what they start with.
        show: A function that gets the text: the verdict, or the whole report if there are warnings that ``strict`` does
            not raise.
        settings: Further arguments of ``inspect``, as ``loss_fn`` and ``steps``.

    Attributes:
        report: What ``inspect`` returned; ``None`` before, and in other processes.
        is_done: Whether it was tried.
        by: A text about what calls the model, where nobody hands over ``inputs``; ``{}`` in it is what went wrong.
        loss: How the report calls the loss of the Trainer's own. Empty if another loss is looked at.
        not_seen: Why it is another loss, where the Trainer has its own: parameters may have a gradient of that one.
    """

    def __init__(self, strict: bool, ignore: Iterable[str], show: Callable[[str], object], settings: dict[str, Any]):
        self._strict, self._show, self._settings = strict, show, settings
        self._ignore = known_codes(ignore, "ignore")
        self.report: SymmetryReport | None = None
        self.is_done = False
        self.by = self.loss = self.not_seen = ""
        self._num_skipped = 0

    def run(
        self, model: nn.Module, inputs: Any, targets: Any = None, *, optimizers: Iterable[Any] = (), **settings: Any
    ) -> None:
        """Inspect a model on a batch, unless it was inspected before.

        Args:
            model: As for ``inspect``, like ``inputs``, ``targets`` and ``settings``.
            inputs: The batch.
            targets: Classes or values.
            optimizers: Those of the Trainer. They train the copy, unless the user has named a rule or a rate.
            settings: Further arguments of ``inspect``.

        Raises:
            SymmetryError: ``strict``, and there is a warning; in every process.
        """
        if self.is_done:
            return
        self.is_done = True
        settings = self._settings | settings
        if settings.keys().isdisjoint({"optimizer", "learning_rate"}) and (own := as_one(optimizers)) is not None:
            settings["optimizer"] = own
        problem = self._inspect(model, inputs, targets, settings) if is_first_rank() else ""
        problem = _from_first_rank(problem) if self._strict else problem
        self.is_done = problem is not None
        if self._strict and problem:
            raise SymmetryError(problem)

    def end(self) -> None:
        """Say so if training ends before there was a batch to inspect the model on."""
        if not self.is_done and self._num_skipped:
            self._show("zeroinit: the model was not inspected (its training skipped all batches)")

    def _inspect(self, model: nn.Module, inputs: Any, targets: Any, settings: dict[str, Any]) -> str | None:
        """Inspect and show; return what is wrong, an empty string, or ``None`` if the next batch is to be tried."""
        try:
            report = choose(self._carry_out(model, inputs, targets, settings), ignore=self._ignore)
            kept = tuple(each for each in report.findings if not self.not_seen or each.code not in ELSEWHERE)
            self.report = replace(report, findings=kept)
        except Exception as error:  # an error in a trial is no reason to stop the training
            found = _innermost(error)
            self._num_skipped += isinstance(found, SkippedBatch)
            if isinstance(found, SkippedBatch) and self._num_skipped < BATCHES:
                return None
            if self.loss:
                self.not_seen, self.loss = _reason(found, self.by), ""
                return None
            text = f"the model was not inspected ({'; '.join(filter(None, [self.not_seen, _reason(found, self.by)]))})"
            if not self._strict:
                self._show(f"zeroinit: {text}")
            return f"strict=True: {text}; with strict=False training goes on"
        if self.loss:
            self.report = replace(self.report, loss=self.loss)
        if self.not_seen:
            other = (
                f"the loss is the one that the model returns, not the Trainer's own ({self.not_seen}); pass loss_fn="
            )
            self.report = replace(self.report, notes=(other, *self.report.notes))
            self._show(f"zeroinit: {other[0].upper()}{other[1:]}")
        if not self.report.warnings:
            self._show(f"zeroinit: {self.report.verdict}")
            return ""
        if not self._strict:  # otherwise the error shows the problem
            self._show(f"zeroinit: {self.report}")
        return _problem(self.report)

    def _carry_out(self, model: nn.Module, inputs: Any, targets: Any, settings: dict[str, Any]) -> SymmetryReport:
        """Inspect; with an Adam of the same groups where a Trainer's own optimizer does not work on a copy."""
        try:
            return inspect(model, inputs, targets, **settings)
        except Exception as error:
            own: Any = settings.get("optimizer")
            is_trainers = isinstance(own, torch.optim.Optimizer) and "optimizer" not in self._settings
            if not is_trainers or isinstance(_innermost(error), SkippedBatch):
                raise
        return inspect(model, inputs, targets, **settings | {"optimizer": stand_in(own)})


class InspectingCallback:
    """The base class of the callbacks: one inspection, and then records of the updates.

    Args:
        strict: Stop the training with a ``SymmetryError`` if there is a warning.
        every: Updates between two records; the first ten are always recorded. With 0 no update is recorded.
        ignore: Codes of warnings that do not count, or what they start with.
        by_layer: Log numbers for each layer, too.
        show: Gets the verdict, or the whole report if there are warnings. At the end, what was seen of the updates.
        settings: Further arguments of ``zeroinit.inspect``, such as ``loss_fn`` for a Trainer with a loss of its own.
            By default the Trainer's own optimizers train the copy, and the report names parameters that none of them
            holds. If you pass ``optimizer`` or ``learning_rate``, that rule trains the copy, and such parameters are
            not named.

    Attributes:
        report: What ``inspect`` returned; ``None`` before, and in other processes.

    Raises:
        InputError: An argument is unknown or cannot be used.
    """

    NOT_SETTINGS: ClassVar[dict[str, str]] = {}
    """Arguments of ``inspect`` that this framework's callback does not take, and what to do instead."""

    def __init__(
        self,
        strict: bool = False,
        *,
        every: int = 100,
        ignore: Iterable[str] = (),
        by_layer: bool = False,
        show: Callable[[str], object] = print,
        **settings: Any,
    ):
        self._every = whole_number(every, "every", least=0)
        self._by_layer, self._show = true_or_false(by_layer, "by_layer"), show
        true_or_false(strict, "strict")
        check_function(show, "show", "(text) -> None", counts=[1])
        self._check_settings(settings)
        ignore = known_codes(ignore, "ignore")
        self._loss_fn = settings.get("loss_fn")
        self._arguments = strict, ignore, self._tell, settings
        self._told: list[str] = []
        self._beside: tuple[InspectingCallback, ...] = ()
        self._inspection = self._new_inspection()
        self._numbers: dict[str, float] = {}

    @property
    def report(self) -> SymmetryReport | None:
        """What ``inspect`` returned."""
        return self._inspection.report

    def _new_inspection(self) -> FirstInspection:
        return FirstInspection(*self._arguments)

    def _check_settings(self, settings: dict[str, Any]) -> None:
        """Refuse now what ``inspect`` would refuse while the training runs."""
        parameters = [*signature(inspect).parameters.values(), *signature(type(self)).parameters.values()]
        known = {each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY}
        known |= {"strict", *signature(InspectingCallback).parameters} - {"settings"} - {*self.NOT_SETTINGS}
        for name, value in settings.items():
            if name in self.NOT_SETTINGS:
                raise InputError(f"{name}={value!r}: {self.NOT_SETTINGS[name]}")
            if name not in known:
                raise InputError(unknown(name, known, "argument"))
        if settings.get("loss_fn") is not None:
            check_function(settings["loss_fn"], "loss_fn", FORM, counts=(1, 2))
        if settings.get("steps") is not None:
            whole_number(settings["steps"], "steps", least=1)
        whole_number(settings.get("seed", 0), "seed", least=0)
        check_updates(settings.get("optimizer", "adam"), settings.get("learning_rate"))

    def _tell_end(self, seen: Any, recorder: Recorder) -> None:
        """Show what was seen of the updates, in agreement with the inspection about what has no effect."""
        found = self.report.parameters if self.report is not None else ()
        recorder.without_effect = {each.name for each in found if each.reason in ("cancelled", "no_effect")}
        self._tell(f"zeroinit: {seen}")

    def _join(self, callbacks: Iterable[Any]) -> None:
        """Begin a training with these callbacks of the Trainer, this one among them."""
        self._told = []
        self._beside = tuple(each for each in callbacks if isinstance(each, InspectingCallback) and each is not self)

    def _tell(self, text: str) -> None:
        """Show a text, unless another callback of the Trainer has shown it in the same place."""
        self._told.append(text)
        if not any(each._show == self._show and text in each._told for each in self._beside):
            self._show(text)

    def __getattr__(self, name: str) -> Any:
        """Say so if another framework's Trainer calls this callback."""
        own = type(self).__module__.rpartition(".")[2]
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name.startswith("on_") and own in (both := ("lightning", "transformers")):
            other = both[own == both[0]]
            text = (
                f"InspectCallback is of zeroinit.integrations.{own}; this Trainer takes zeroinit.integrations.{other}'s"
            )
        raise AttributeError(text)

    def __repr__(self) -> str:
        done = "not inspected yet" if self.report is None else self.report.verdict
        return f"{type(self).__name__}({done})"


def _innermost(error: BaseException) -> BaseException:
    """Return the first of our own errors, of those that led to this one."""
    while isinstance(error.__cause__, InputError):
        error = error.__cause__
    return error


def _reason(found: BaseException, by: str) -> str:
    """Say why there was no inspection, without advice about inputs that nobody handed over.

    Args:
        found: The error.
        by: Of ``FirstInspection``.
    """
    if not isinstance(found, InputError):
        return f"{type(found).__name__}: {found}"
    text = str(found).partition("; hand over inputs for which")[0]
    return by.format(text.partition(": ")[2]) if by and text.startswith("inputs=") else text


def _problem(report: SymmetryReport) -> str:
    """Write what stops training: the verdict, what to type for each cause, and how to go on nevertheless."""
    first = [members[0] for members in by_cause(report.warnings)]
    repairs = "\n".join(f"  {each.code} {each.path or '(the model itself)'}: {each.suggestion}" for each in first)
    codes = ", ".join(repr(code) for code in sorted({each.code for each in report.warnings}))
    return (
        f"strict=True: training stops before its first update. {report.verdict}\n{repairs}\n"
        f"To train nevertheless: strict=False, or ignore=[{codes}]"
    )


def _from_first_rank(text: str | None) -> str | None:
    """Return the first process's text in every process."""
    if num_processes() == 1:
        return text
    texts = [text]
    torch.distributed.broadcast_object_list(texts, src=0)
    return texts[0]
