"""What a saved state of a run must be, so that no run goes on from what it cannot have been."""

from collections.abc import Sequence
from dataclasses import fields

import torch

from zeroinit.bench.training.history import History

__all__ = ["PROGRESS", "check_state"]

PROGRESS = ("num_steps", "epoch", "position", "orders", "losses")
"""Where a run stands: updates, epoch and batch in it (from 1), each model's order of the images, losses so far."""


def check_state(state: dict, settings: list, sizes: Sequence[int], batch_size: int) -> None:
    """Refuse a state that no run with these settings reaches.

    Args:
        state: As ``fit`` saves it.
        settings: Those of the run that wants to go on.
        sizes: Number of training images of each model.
        batch_size: Images a batch.

    Raises:
        ValueError: Says what is wrong with it.
        KeyError: A part is missing.
    """
    if state["settings"] != settings:
        raise ValueError("other settings")
    progress = state["progress"]
    _check_place(progress, per_epoch=-(-sizes[0] // batch_size))
    for size, order in zip(sizes, progress["orders"], strict=True):
        if not torch.equal(order.sort().values, torch.arange(size)):
            raise ValueError("its order of the images is none")
    for history in state["histories"]:
        _check_history(history, progress["epoch"] - 1)
    losses = torch.stack(list(progress["losses"]))
    values = [each for each in state["model"].values() if each.is_floating_point()]
    if losses.isfinite().all() and not all(each.isfinite().all() for each in values):
        raise ValueError("its values are not finite, its losses are")


def _check_place(progress: dict, per_epoch: int) -> None:
    counts = [progress[name] for name in PROGRESS[:3]]
    if sorted(progress) != sorted(PROGRESS) or not all(type(each) is int for each in counts):
        raise ValueError("its progress is not that of a run")
    num_steps, epoch, position = counts
    if not (0 < position <= per_epoch and epoch > 0 and num_steps == (epoch - 1) * per_epoch + position):
        raise ValueError(f"update {num_steps} is not batch {position} of epoch {epoch}")
    if len(progress["losses"]) != position:
        raise ValueError(f"{len(progress['losses'])} losses for {position} batches")


def _check_history(history: dict, num_epochs: int) -> None:
    """Refuse a history that is not one of so many whole epochs."""
    if sorted(history) != sorted(field.name for field in fields(History)):
        raise ValueError("its history has other measures")
    has_ended = history["outcome"] != "completed"
    for name, values in history.items():
        if not isinstance(values, list):
            continue
        if not all(isinstance(each, float) for each in values):
            raise ValueError(f"its {name} is no list of numbers")
        is_kept = bool(values) or name == "train_loss"  # others are empty without held-out images
        if is_kept and len(values) != num_epochs and not (has_ended and len(values) < num_epochs):
            raise ValueError(f"its {name} has {len(values)} of {num_epochs} epochs")
        if name.endswith("accuracy") and not all(0 <= each <= 1 for each in values):
            raise ValueError(f"its {name} is not between 0 and 1")
