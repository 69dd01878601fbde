"""Stored pixels to a network's input, batch by batch.

To add a transform: a class with ``__call__`` and one line in ``PIXELS``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from zeroinit._common import InputError, lookup
from zeroinit._shapes import Float32, Float64, Shaped, UInt8

__all__ = ["PIXELS", "StandardizedPixels", "UnitPixels", "channel_moments", "pixel_transform"]

Images = Shaped[Tensor, "*batch channels height width"]
Inputs = Float32[Tensor, "*batch channels height width"]


def channel_moments(
    images: UInt8[Tensor, "images channels height width"],
) -> tuple[Float64[Tensor, " channels"], Float64[Tensor, " channels"]]:
    """Compute each channel's mean and (population) standard deviation from its 256-bin histogram.

    Args:
        images: Stored pixels, at least one.

    Returns:
        The means and the standard deviations, on the CPU; no floating-point copy of the images is made.

    Example:
        >>> mean, std = channel_moments(torch.tensor([1, 3], dtype=torch.uint8).reshape(2, 1, 1, 1))
        >>> mean.item(), std.item()
        (2.0, 1.0)
    """
    if not images.numel():
        raise InputError(f"images: have shape {tuple(images.shape)}; needs at least one pixel")
    channels = images.unbind(dim=1)
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in channels]).cpu().double()
    share = counts / counts.sum(dim=1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(dim=1)
    return mean, variance.sqrt()


class UnitPixels:
    """Map stored pixels to [0, 1]: divide by the largest value that a pixel can have.

    Example:
        >>> UnitPixels(255)
        UnitPixels(peak=255)
        >>> UnitPixels(255)(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)).item()
        1.0
    """

    def __init__(self, peak: int) -> None:
        if peak < 1:
            raise InputError(f"peak={peak}: must be at least 1")
        self.peak = peak

    @classmethod
    def of(cls, images: UInt8[Tensor, "images channels height width"], peak: int) -> "UnitPixels":
        """Build the transform; the images do not matter."""
        return cls(peak)

    def __call__(self, images: Images) -> Inputs:
        """Return a new float32 tensor of the same shape."""
        _check(images)
        return images.to(torch.float32).div_(self.peak)

    def __repr__(self) -> str:
        return f"UnitPixels(peak={self.peak})"


class StandardizedPixels:
    """Subtract each channel's mean and divide by its standard deviation, both in units of stored pixels.

    Example:
        >>> StandardizedPixels(mean=(2.0,), std=(4.0,))(torch.full((1, 1, 1, 1), 10, dtype=torch.uint8)).item()
        2.0
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise InputError(
                f"std={std}: must be one positive number per channel, as many as mean={mean}; "
                "for images with a constant channel choose pixels='unit'"
            )
        self.mean = mean
        self.std = std
        self._constants: dict[torch.device, tuple[Tensor, Tensor]] = {}

    @classmethod
    def of(cls, images: UInt8[Tensor, "images channels height width"], peak: int) -> "StandardizedPixels":
        """Measure mean and standard deviation on the images; ``peak`` does not matter."""
        mean, std = channel_moments(images)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def __call__(self, images: Images) -> Inputs:
        """Return a new float32 tensor of the same shape."""
        _check(images)
        if images.device not in self._constants:
            both = torch.tensor([self.mean, [1 / value for value in self.std]], dtype=torch.float32)
            mean, factor = both.to(images.device)[:, :, None, None]
            self._constants[images.device] = (mean, factor)
        mean, factor = self._constants[images.device]
        return torch.sub(images, mean).mul_(factor)  # the subtraction converts as well

    def __getstate__(self) -> dict[str, object]:
        return {"mean": self.mean, "std": self.std, "_constants": {}}

    def __repr__(self) -> str:
        mean, std = (tuple(float(f"{value:.6g}") for value in values) for values in (self.mean, self.std))
        return f"StandardizedPixels(mean={mean}, std={std})"


def _cifar10_as_published(images: Tensor, peak: int) -> StandardizedPixels:
    """Return the constants of the paper's ResNet-50 (section 4), whose deviations are means over single images."""
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    if images.dim() != 4 or images.shape[1] != len(mean):
        raise InputError(
            f"pixels='cifar10': is for images with 3 channels, not for shape {tuple(images.shape)}; "
            "choose 'standardized'"
        )
    return StandardizedPixels(tuple(peak * value for value in mean), tuple(peak * value for value in std))


PIXELS: dict[str, Callable[[Tensor, int], Callable[[Tensor], Tensor]]] = {
    "unit": UnitPixels.of,
    "standardized": StandardizedPixels.of,
    "cifar10": _cifar10_as_published,
}


def pixel_transform(
    pixels: str, images: UInt8[Tensor, "images channels height width"], peak: int
) -> Callable[[Tensor], Tensor]:
    """Build the transform from stored pixels to a network's input.

    Args:
        pixels: A key of ``PIXELS``: ``"unit"``, ``"standardized"`` (measured on the images) or ``"cifar10"`` (the
            paper's constants).
        images: The training images. All measuring uses these alone.
        peak: The largest value that a pixel can have.

    Returns:
        A picklable callable from uint8 to float32 tensors (..., channels, height, width), on any device.

    Raises:
        InputError: An unknown name, no images, a channel without variation, or other than 3 channels for ``"cifar10"``.

    Example:
        >>> images = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
        >>> pixel_transform("standardized", images, 255)
        StandardizedPixels(mean=(127.5,), std=(127.5,))
    """
    return lookup(PIXELS, pixels, "pixels")(images, peak)


def _check(images: Tensor) -> None:
    if images.dtype != torch.uint8:
        raise InputError(f"images: have dtype {images.dtype}; the transform takes stored pixels (torch.uint8)")
