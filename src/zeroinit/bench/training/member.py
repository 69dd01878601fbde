"""The own part of each model of a run: data, batch order, history."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zeroinit._common import InputError
from zeroinit._modules.arguments import check_function, check_generator
from zeroinit.bench.training.history import History

__all__ = ["Labeled", "Member", "Transform", "check_images", "make_member"]

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


def make_member(train, validation, test, generator, augment) -> Member:
    """Put the own part of a model together; arguments are those of ``fit``.

    Raises:
        InputError: One of them cannot be used.

    Example:
        >>> make_member((torch.zeros(2, 3), torch.zeros(2)), None, None, None, None).held_out
        {}
    """
    check_generator(generator)
    if augment is not None:
        check_function(augment, "augment", "of images to images", counts=[1])
    for name, pair in (("train", train), ("validation", validation), ("test", test)):
        if pair is not None or name == "train":
            check_images(pair, name, least=int(name == "train"))
    held_out = {name: pair for name, pair in (("validation", validation), ("test", test)) if pair and len(pair[1])}
    return Member(train, held_out, generator, augment)


def check_images(pair: Any, argument: str, least: int = 0) -> None:
    """Refuse what is no pair of images and classes.

    Raises:
        InputError: It is none, there are not as many of both, or too few.

    Example:
        >>> check_images((torch.zeros(2, 3), torch.zeros(2)), "train", least=1)
    """
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(each, Tensor) for each in pair):
        kind = "None" if pair is None else f"a {type(pair).__name__}"
        raise InputError(f"{argument}={kind}: must be a pair of tensors, images and classes; train may be a Dataset")
    images, labels = pair
    if len(images) != len(labels) or len(images) < least:
        needed = "as many, at least one" if least else "as many"
        raise InputError(f"{argument}: has {len(images)} images and {len(labels)} labels; needs {needed}")
