"""The own part of each model of a run: data, batch order, history."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zeroinit.bench.training.history import History

__all__ = ["Labeled", "Member", "Transform"]

Labeled = tuple[Tensor, Tensor]
Transform = Callable[[Tensor], Tensor]


@dataclass
class Member:
    """The data, batch order and history of one model of a run.

    Attributes:
        train: Stored images and their classes.
        held_out: Images and classes that are only measured, by name (``"validation"``, ``"test"``).
        generator: Source of the batch order; torch's global one if ``None``.
        augment: From stored images to stored images, in training alone; none if ``None``.
        history: What was recorded.
    """

    train: Labeled
    held_out: dict[str, Labeled]
    generator: torch.Generator | None
    augment: Transform | None
    history: History = field(default_factory=History)
