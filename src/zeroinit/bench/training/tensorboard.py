"""An observer that writes TensorBoard logs: the paper's record of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from zeroinit._common import whole_number
from zeroinit._modules.arguments import as_path
from zeroinit.bench.training.observers import Observer, TrainState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["TensorBoardObserver"]

LARGEST = 1e20
"""Where the buckets of TensorBoard's histograms end."""

EPOCH_MEASURES = ("validation_loss", "validation_accuracy", "test_loss", "test_accuracy")


class TensorBoardObserver(Observer):
    """Writes losses and accuracies, and on request histograms of every parameter and its gradient.

    Tags: ``loss/train`` by update step; ``loss/validation``, ``accuracy/validation``, ``loss/test`` and
    ``accuracy/test`` by epoch; ``parameters/<name>`` and ``gradients/<name>`` by update step.

    Args:
        directory: Folder of this run's event file; made where missing.
        histogram_every: Steps between histograms, which begin at the first step; none if 0.
    """

    def __init__(self, directory: Path | str, histogram_every: int = 0):
        self.directory = as_path(directory, "directory")
        self.histogram_every = whole_number(histogram_every, "histogram_every", 0)
        self._writer: SummaryWriter | None = None
        self._step = 0

    def on_start(self, state: TrainState) -> None:
        """Open the event file."""
        self._open()

    def _open(self, purge_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second or more, so only where it is used

        self._writer = SummaryWriter(str(self.directory), purge_step=purge_step)

    def state_dict(self) -> dict:
        """Return the update step that was seen last."""
        return {"step": self._step}

    def load_state_dict(self, state: dict) -> None:
        """Continue in a new event file; TensorBoard drops what the interrupted run wrote after that step."""
        if self._writer is not None:
            self._writer.close()
        self._step = state["step"]
        self._open(purge_step=self._step + 1)

    def on_gradients(self, state: TrainState) -> None:
        """Write the histograms when one is due."""
        self._step = state.step
        if self._writer is None or not self.histogram_every or (state.step - 1) % self.histogram_every:
            return
        for name, parameter in state.model.named_parameters():
            self._write_histogram(f"parameters/{name}", parameter.detach(), state.step)
            if parameter.grad is not None:
                self._write_histogram(f"gradients/{name}", parameter.grad, state.step)

    def _write_histogram(self, tag: str, values: Tensor, step: int) -> None:
        """Write the values that TensorBoard's buckets can hold; a diverging run may have none."""
        assert self._writer is not None
        inside = values[values.abs() < LARGEST]
        if len(inside):
            self._writer.add_histogram(tag, inside, step)

    def on_epoch(self, state: TrainState) -> None:
        """Write the epoch's losses and accuracies."""
        assert self._writer is not None
        first = state.step - len(state.losses) + 1
        for offset, loss in enumerate(state.losses.tolist()):
            self._writer.add_scalar("loss/train", loss, first + offset)
        for measure in EPOCH_MEASURES:
            values = getattr(state.history, measure)
            if values:
                split, kind = measure.split("_")
                self._writer.add_scalar(f"{kind}/{split}", values[-1], state.epoch)

    def on_end(self, state: TrainState) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
