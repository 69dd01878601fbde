"""A callback for the Trainer of transformers: inspect before the first update, then watch."""

import inspect as signatures
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback
from transformers.trainer_callback import CallbackHandler, PrinterCallback, ProgressCallback

from zeroinit._common import InputError
from zeroinit._modules.arguments import can_take
from zeroinit._modules.batch import map_tensors
from zeroinit._modules.copying import copier_of
from zeroinit._modules.sharded import num_processes
from zeroinit.integrations.inspection import InspectingCallback
from zeroinit.integrations.lightning_step import as_trained
from zeroinit.integrations.recorder import Recorder
from zeroinit.integrations.sentence import no_update
from zeroinit.integrations.trainer_loss import BeforeLoss, has_own_loss
from zeroinit.remedies.compiled import Eager
from zeroinit.symmetry.shadow.checks import unwrapped

__all__ = ["InspectCallback"]

NEAR = 12
"""Calls that may lie between the Trainer's list of callbacks and this file, decorators included."""


class InspectCallback(InspectingCallback, TrainerCallback):
    """Inspects the model on the first batch, before the first update, and watches it from then on.

    The inspection runs once, in the first process, on the batch as the model gets it. It trains copies of the model
    with the class, groups and rates of the Trainer's own optimizer. So your training is the same as without the
    callback, bit by bit. The report names parameters that this optimizer does not hold. After that the numbers of
    ``zeroinit.watch`` go to the Trainer's own logs: TensorBoard, Weights & Biases, ``trainer.state.log_history``.

    Arguments, ``report`` and errors are those of ``InspectingCallback``. A ``loss_fn`` of two arguments gets the output
    and the labels of the batch, even if the Trainer does not pass the labels to the model.

    Attributes:
        recorder: What was seen of the updates; ``None`` before, and in other processes.

    Example:
        >>> InspectCallback(strict=True, ignore=["ZI005"]).report is None
        True
    """

    recorder: Recorder | None = None
    _eager: Eager | None = None
    _own_loss: BeforeLoss | None = None
    _handle: Any = None
    _handler: CallbackHandler | None = None
    _num_updates = 0
    _optimizers: tuple = ()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Prepare: look at the weights, and inspect at the next training pass, unless training resumes."""
        self._leave()
        self._handler = _handler_above()
        self._join(self._handler.callbacks if self._handler is not None else ())
        self._numbers, self._num_updates = {}, state.global_step
        self._inspection = self._new_inspection()
        self._inspection.is_done = state.global_step > 0
        self.recorder = None
        if self._every and state.is_world_process_zero:
            self._start(model)

    def _start(self, model: nn.Module) -> None:
        try:
            self.recorder = Recorder(model, self._every, self._by_layer)
        except InputError:  # sharded or lazy: the inspection says so
            return
        self.recorder.start()

    def on_step_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **others: Any
    ) -> None:
        """Inspect the first pass of the first update. It runs uncompiled, because hooks are not compiled."""
        if not self._inspection.is_done and self._handle is None:
            self._optimizers = () if optimizer is None else (optimizer,)
            self._before_own_loss(next((each for each, _ in _trainers_above()), None))
            self._eager = Eager() if "torch._dynamo" in sys.modules else None
            hook = _before_first_pass(weakref.ref(self))
            self._handle = model.register_forward_pre_hook(hook, with_kwargs=True, prepend=True)

    def _before_own_loss(self, trainer: Any) -> None:
        """Inspect before the first loss that a Trainer computes in its own way, with that loss."""
        if self._loss_fn is not None or not has_own_loss(trainer):
            return
        if num_processes() == 1:
            self._own_loss = BeforeLoss(trainer, self._inspect_own)
        else:
            self._inspection.not_seen = "several processes train, and it may wait for all of them"

    def _inspect_own(self, model: nn.Module, inputs: Any, step: Callable, loss_fn: Callable) -> None:
        """Inspect with the Trainer's own loss. If it fails on copies, the first pass of the model comes next."""
        model, name = unwrapped(model), "compute_loss"
        self._inspection.loss, self._inspection.by = name, f"{name}: {{}}"
        try:
            with as_trained(model, step):
                self._inspection.run(model, {"batch": inputs}, optimizers=self._optimizers, loss_fn=loss_fn)
        finally:
            self._inspection.by = ""
            if self._inspection.is_done:
                self._leave()
                self._optimizers = ()

    def inspect(self, model: nn.Module, arguments: tuple, named: dict) -> None:
        """Inspect the model on the arguments of its first training pass.

        Raises:
            SymmetryError: ``strict``, and there is a warning; in every process.
        """
        self._leave()
        labels, settings = None, {}
        if self._inspection.not_seen:
            settings["loss_fn"] = _returned_loss
        elif self._loss_fn is not None and not can_take(self._loss_fn, 1):
            labels = _labels(named)
        optimizers, self._optimizers = self._optimizers, ()
        self._inspection.run(model, _by_name(model, arguments, named), labels, optimizers=optimizers, **settings)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **others: Any) -> None:
        """Look at values and gradients if this update is due, or is to be the last one."""
        self._leave()
        step = self._num_updates + 1
        if self.recorder is not None and (self.recorder.is_due(step) or step == state.max_steps):
            self.recorder.look(step, optimizer.param_groups)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **others: Any) -> None:
        """Keep what was seen, unless a ``GradScaler`` skipped the step."""
        if getattr(optimizer, "step_was_skipped", False):
            if self.recorder is not None:
                self.recorder.drop()
                self.recorder.steps.skip(optimizer, self.recorder.model)
            return
        self._num_updates += 1
        if self.recorder is not None:
            self.recorder.steps.done(optimizer)
            self._numbers = self.recorder.take()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Log as the Trainer does, but leave the console alone."""
        numbers, self._numbers = self._numbers, {}
        if not numbers:
            return
        state.log_history.append({**numbers, "epoch": state.epoch, "step": state.global_step})
        should_log = control.should_log
        for callback in self._handler.callbacks if self._handler is not None else ():
            if not isinstance(callback, PrinterCallback | ProgressCallback):
                callback.on_log(args, state, control, logs=dict(numbers), **others)
        control.should_log = should_log

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Show what was seen, and remove all hooks."""
        self._leave()
        self._handler = None
        if self.recorder is None:
            return
        self.recorder.finish(self._num_updates)
        if self.recorder.num_recorded:
            self._tell_end(self.recorder, self.recorder)
        elif reason := no_update(self.recorder):
            self._tell(f"zeroinit: No update was made: {reason}.")

    def _leave(self) -> None:
        """Remove the hook, and let compiled functions run compiled; may be called more than once."""
        if self._handle is not None:
            self._handle.remove()
        if self._eager is not None:
            self._eager.end()
        if self._own_loss is not None:
            self._own_loss.end()
        self._handle = self._eager = self._own_loss = None


def _before_first_pass(reference: "weakref.ref[InspectCallback]") -> Callable:
    def hook(model: nn.Module, arguments: tuple, named: dict) -> None:
        callback = reference()
        is_copy = copier_of(model) is not None  # which another callback inspects
        if callback is not None and model.training and not is_copy:
            callback.inspect(model, arguments, named)

    return hook


def _by_name(model: nn.Module, arguments: tuple, named: dict) -> Any:
    """Return the arguments of a pass as ``inspect`` takes them."""
    if not arguments:
        return dict(named)
    if not named:
        return arguments
    return dict(signatures.signature(model.forward).bind_partial(*arguments).arguments) | named


def _labels(named: dict) -> Any:
    """Return the labels of the batch that a Trainer above has, also if the model does not get them; on its device."""
    device = next((each.device for each in named.values() if isinstance(each, Tensor)), None)
    for trainer, variables in _trainers_above():
        batch = variables.get("inputs")
        if isinstance(batch, Mapping):
            labels = [batch[name] for name in trainer.label_names or ["labels"] if name in batch]
            if labels:
                moved = map_tensors(labels, lambda each: each.to(device))
                return moved[0] if len(moved) == 1 else tuple(moved)
    return named.get("labels")


def _trainers_above() -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield the Trainer of each call that led here, and the variables of that call."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        owner: Any = frame.f_locals.get("self")
        if any(kind.__name__ == "Trainer" for kind in type(owner).__mro__):
            yield owner, frame.f_locals
        frame = frame.f_back


def _returned_loss(output: Any) -> Any:
    """Return the loss that the model returns; nothing may take its place where the Trainer has its own.

    Raises:
        InputError: There is none.
    """
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if loss is None:
        raise InputError(
            "loss: your Trainer computes its own, and the model returns none; pass loss_fn= to InspectCallback, a "
            "function of the output, or of the output and the labels (a tuple if there are several)"
        )
    return loss


def _handler_above() -> CallbackHandler | None:
    """Return the Trainer's list of callbacks, which calls this one: a callback has no other way to log."""
    frame: types.FrameType | None = sys._getframe()
    for _ in range(NEAR):
        if frame is None or isinstance(frame.f_locals.get("self"), CallbackHandler):
            break
        frame = frame.f_back
    found = frame.f_locals.get("self") if frame is not None else None
    return found if isinstance(found, CallbackHandler) else None
