"""The held-out split of the training images."""

import torch
from torch import Tensor

from zeroinit._common import InputError
from zeroinit._shapes import Int64, UInt8

__all__ = ["split_validation"]


def split_validation(
    images: UInt8[Tensor, "images channels height width"],
    labels: Int64[Tensor, " labels"],
    num_validation: int,
    generator: torch.Generator,
) -> tuple[
    tuple[UInt8[Tensor, "train channels height width"], Int64[Tensor, " train"]],
    tuple[UInt8[Tensor, "validation channels height width"], Int64[Tensor, " validation"]],
]:
    """Hold out ``num_validation`` images drawn at random; both parts keep the stored order.

    Args:
        images: Stored pixels.
        labels: Their classes.
        num_validation: How many to hold out, from 0 to one less than there are.
        generator: The only source of randomness.

    Returns:
        Images and labels to train on, then those held out (of length 0 if ``num_validation`` is 0).

    Raises:
        InputError: ``num_validation`` is negative or leaves nothing to train on, or the lengths differ.

    Example:
        >>> images, labels = torch.zeros(10, 1, 2, 2, dtype=torch.uint8), torch.arange(10)
        >>> (_, train), (_, held_out) = split_validation(images, labels, 3, torch.Generator().manual_seed(0))
        >>> len(train), len(held_out), sorted([*train.tolist(), *held_out.tolist()]) == list(range(10))
        (7, 3, True)
    """
    if len(images) != len(labels):
        raise InputError(f"images and labels: have lengths {len(images)} and {len(labels)}; must be as many")
    if not 0 <= num_validation < len(images):
        raise InputError(
            f"num_validation={num_validation}: must be from 0 to {len(images) - 1}, with {len(images)} images to split"
        )
    if num_validation == 0:
        return (images, labels), (images[:0], labels[:0])
    permutation = torch.randperm(len(images), generator=generator, device=generator.device).to(images.device)
    held_out = permutation[:num_validation].sort().values
    kept = permutation[num_validation:].sort().values
    return (images[kept], labels[kept]), (images[held_out], labels[held_out])
