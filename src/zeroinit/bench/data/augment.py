"""Random changes to stored training images, whole batches at a time.

To add one: a class with ``__call__`` and one line in ``AUGMENTATIONS``.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from zeroinit._common import InputError, lookup
from zeroinit._shapes import UInt8

__all__ = ["AUGMENTATIONS", "CropFlip", "augmentation"]

Images = UInt8[Tensor, "batch channels height width"]


class CropFlip:
    """Pad each image with zeros, cut out a random window of its old size, and mirror it with probability one half.

    Args:
        generator: Source of randomness, on the CPU, so that one seed gives one result on every device.
        padding: Pixels on each side, at least 0.

    Raises:
        InputError: ``padding`` is negative.

    Source:
        He et al. 2016, "Deep residual learning", section 4.2; Schicho 2023 (ResNet-50 alone).

    Example:
        >>> CropFlip(torch.Generator().manual_seed(0))(torch.ones(2, 3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, generator: torch.Generator, padding: int = 4) -> None:
        if padding < 0:
            raise InputError(f"padding={padding}: must be at least 0")
        self.generator = generator
        self.padding = padding

    def __call__(self, images: Images) -> Images:
        """Return new images; the draws do not depend on the pixels."""
        batch, channels, height, width = images.shape
        shifts = torch.randint(2 * self.padding + 1, (2, batch, 1), generator=self.generator)
        mirrored = torch.rand(batch, 1, generator=self.generator) < 0.5
        # Not blocking: otherwise each step would wait for the GPU. The draws are copied before the call returns.
        top, left = shifts.to(images.device, non_blocking=True)
        mirrored = mirrored.to(images.device, non_blocking=True)
        across = torch.arange(width, device=images.device)
        rows = top + torch.arange(height, device=images.device)
        columns = left + torch.where(mirrored, across.flip(0), across)
        padded = F.pad(images, [self.padding] * 4)
        image = torch.arange(batch, device=images.device)[:, None, None, None]
        channel = torch.arange(channels, device=images.device)[:, None, None]
        return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _unchanged(generator: torch.Generator) -> None:
    return None


AUGMENTATIONS: dict[str, Callable[[torch.Generator], Callable[[Tensor], Tensor] | None]] = {
    "none": _unchanged,
    "crop_flip": CropFlip,
}


def augmentation(name: str, generator: torch.Generator) -> Callable[[Tensor], Tensor] | None:
    """Build an augmentation by name; ``None`` for ``"none"``.

    Args:
        name: A key of ``AUGMENTATIONS``.
        generator: Source of randomness, on the CPU.

    Raises:
        InputError: An unknown name.

    Example:
        >>> augmentation("none", torch.Generator()) is None
        True
    """
    return lookup(AUGMENTATIONS, name, "augmentation")(generator)
