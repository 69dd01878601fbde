"""A callback for Lightning: inspect before the first update, then watch."""

import sys
from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn

from zeroinit._modules.arguments import check_function
from zeroinit._modules.sharded import is_sharded
from zeroinit.integrations.inspection import BATCHES, InspectingCallback
from zeroinit.integrations.lightning_step import FORM, as_trained
from zeroinit.integrations.own_loop import Watch

if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning import Callback
else:
    from lightning.pytorch import Callback  # type: ignore[assignment]  # the same class under the other name

__all__ = ["InspectCallback"]


class InspectCallback(InspectingCallback, Callback):
    """Inspects the module on the first batch, before the first update, and watches it from then on.

    The inspection runs once, in the first process, on ``training_step`` with Lightning's batch. It trains copies of the
    module by the rules of all optimizers of ``configure_optimizers``. So your training is the same as without the
    callback, bit by bit. The report names parameters that none of these optimizers holds. Values that the copies log
    are dropped. After that the numbers of ``zeroinit.watch`` go to the Trainer's loggers.

    Args:
        strict: Stop the training with a ``SymmetryError`` if there is a warning.
        step: A function ``(module, batch) -> loss`` that replaces ``training_step`` in the inspection. Manual
            optimization needs it, because ``training_step`` then updates the module itself.
        settings: Further arguments of ``InspectingCallback``, which has ``report`` and raises the errors.

    Attributes:
        watch: What was seen of the updates, as ``zeroinit.watch`` has it; ``None`` before.

    Example:
        >>> InspectCallback(strict=True, ignore=["ZI005"]).report is None
        True
    """

    NOT_SETTINGS: ClassVar = {"loss_fn": f"training_step returns the loss; pass step=, a function {FORM}"}

    def __init__(self, strict: bool = False, *, step: Callable[[Any, Any], Any] | None = None, **settings: Any):
        super().__init__(strict, **settings)
        if step is not None:
            check_function(step, "step", FORM, counts=[2])
        self._step = step
        self._num_batches = self._num_none = 0
        self.watch: Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch, and inspect at the first batch, unless training resumes."""
        self._leave()
        self._join(trainer.callbacks)
        self._num_batches = self._num_none = 0
        self._inspection = self._new_inspection()
        self._inspection.is_done = trainer.global_step > 0
        if self._every and not is_sharded(pl_module):
            self.watch = Watch(pl_module, self._every, self._keep, self._by_layer)
            self.watch.start()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Inspect at the first batch, or at the next one if ``training_step`` skips a batch.

        Raises:
            SymmetryError: ``strict``, and there is a warning; in every process.
        """
        if self._inspection.is_done:
            return
        own = f"training_step: {{}}; pass InspectCallback(step=...), a function {FORM}"
        self._inspection.by = "step: {}" if self._step else own
        with as_trained(pl_module, self._step, batch_idx):
            self._inspection.run(pl_module, {"batch": batch}, optimizers=trainer.optimizers, loss_fn=_loss_of)

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, *others: Any) -> None:
        """Log what was seen, if this update was due."""
        numbers, self._numbers = self._numbers, {}
        self._num_batches += 1
        self._num_none += bool(pl_module.automatic_optimization) and not others[0]
        if self._step and self._num_none == self._num_batches == BATCHES:
            self._tell(
                f"zeroinit: training_step returned None for each of the first {BATCHES} batches; return the loss"
            )
        if numbers:
            step = trainer.fit_loop.epoch_loop._batches_that_stepped  # the axis of the module's own logs
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Show what was seen, and stop watching."""
        self._leave()
        self._inspection.end()
        if self.watch is None or not self.watch.is_active:
            return
        if self.watch.num_updates:
            self._tell_end(self.watch, self.watch._recorder)
        elif self._num_batches and self._num_none == self._num_batches:
            self._tell("zeroinit: No update was made: training_step returned None for each batch; return the loss.")
        elif self._num_batches:
            self._tell(f"zeroinit: {self.watch.verdict}")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stop watching after an error or Ctrl-C."""
        self._leave()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Stop watching, however training ended."""
        self._leave()

    def _keep(self, numbers: dict[str, float], update: int) -> None:
        self._numbers = numbers

    def _leave(self) -> None:
        if self.watch is not None:
            self.watch.detach()


def _loss_of(output: Any) -> Any:
    """Return the loss in what ``training_step`` returned."""
    return output["loss"] if isinstance(output, dict) else output
