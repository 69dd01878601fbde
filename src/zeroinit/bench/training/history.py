"""The history of a training run: one number per epoch and measure, and how it ended."""

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["History"]


@dataclass
class History:
    """Measures by epoch. Losses are means per image; accuracies are shares in [0, 1].

    Attributes:
        train_loss: Mean over the batches of the epoch, each taken before its update.
        validation_loss: After each epoch; empty without validation data, likewise the next three.
        outcome: ``"completed"``, or ``"diverged"`` if a loss was not finite. A diverged run ends with its epoch.
        num_steps: Updates done.
        diverged_at_step: The first update (from 1) whose loss was not finite. If only an evaluation had such a loss,
            the last update before it. Otherwise ``None``.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    outcome: str = "completed"
    num_steps: int = 0
    diverged_at_step: int | None = None

    @property
    def num_epochs(self) -> int:
        """Epochs that were run."""
        return len(self.train_loss)

    def record_training(self, losses: Tensor, sizes: Tensor) -> None:
        """Add an epoch's mean loss from the losses and sizes of its batches, each (steps,); note a divergence."""
        self.train_loss.append(float((losses.double() * sizes).sum() / sizes.sum()))
        broken = torch.nonzero(~torch.isfinite(losses))
        if len(broken):
            self._diverge(self.num_steps - len(losses) + int(broken[0]) + 1)

    def record(self, split: str, loss: float, accuracy: float) -> None:
        """Add the loss and the accuracy on ``"validation"`` or ``"test"`` after an epoch; note a divergence."""
        if not math.isfinite(loss):
            self._diverge(self.num_steps)
        getattr(self, f"{split}_loss").append(loss)
        getattr(self, f"{split}_accuracy").append(accuracy)

    def _diverge(self, step: int) -> None:
        if self.outcome == "completed":
            self.outcome, self.diverged_at_step = "diverged", step

    def to_dict(self) -> dict:
        """Return lists, strings and numbers, ready for JSON."""
        return asdict(self)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw accuracy by epoch in percent; without accuracies, the losses. See ``draw_history``."""
        from zeroinit.bench.training.showing import draw_history

        return draw_history(self, axes)

    def __repr__(self) -> str:
        from zeroinit.bench.training.showing import summary

        return summary(self)

    def _repr_html_(self) -> str:
        from zeroinit.bench.training.showing import shown_in_notebook

        return shown_in_notebook(self)
