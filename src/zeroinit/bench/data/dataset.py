"""What every data set is once loaded: stored pixels, classes and a few numbers."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from html import escape

import torch
from torch import Tensor

from zeroinit._shapes import Int64, UInt8
from zeroinit.bench.data.pixels import UnitPixels

__all__ = ["Dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labeled images as stored, on the CPU; ``pixel_transform`` turns them into a network's input.

    Attributes:
        name: A key of ``DATASETS``.
        train_images: Stored pixels.
        train_labels: Classes from 0 to ``num_classes - 1``.
        test_images: Like ``train_images``.
        test_labels: Like ``train_labels``.
        num_classes: How many classes there are.
        peak: The largest value that a pixel can have: 255 for bytes, 16 for the digits.
        num_validation: How many training images a run holds out if it does not say.

    Example:
        >>> from zeroinit.bench.data import load_dataset
        >>> digits = load_dataset("digits")
        >>> digits.input_shape, len(digits.train_images), len(digits.test_images)
        ((1, 8, 8), 1347, 450)
    """

    name: str
    train_images: UInt8[Tensor, "train channels height width"]
    train_labels: Int64[Tensor, " train"]
    test_images: UInt8[Tensor, "test channels height width"]
    test_labels: Int64[Tensor, " test"]
    num_classes: int
    peak: int
    num_validation: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    def on(self, device: torch.device) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], UnitPixels]:
        """Return training images with classes, test images with classes, and the map from pixels to [0, 1].

        Example:
            >>> from zeroinit.bench.data import load_dataset
            >>> train, test, transform = load_dataset("digits").on(torch.device("cpu"))
            >>> len(train[0]), len(test[0]), transform
            (1347, 450, UnitPixels(peak=16))
        """
        stored = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        images, labels, test_images, test_labels = (each.to(device) for each in stored)
        return (images, labels), (test_images, test_labels), UnitPixels(self.peak)

    @cached_property
    def checksum(self) -> str:
        """The SHA-256 of all pixels and labels as loaded, whatever files they came from."""
        whole = hashlib.sha256()
        for values in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            whole.update(f"{values.dtype} {tuple(values.shape)}\n".encode())
            whole.update(values.contiguous().numpy().data)
        return whole.hexdigest()

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self._facts().items())
        return f"Dataset({self.name!r}: {facts})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in self._facts().items())
        return f'<div class="zeroinit"><p><b>Dataset {escape(self.name)}</b></p><table>{rows}</table></div>'

    def _facts(self) -> dict[str, str]:
        """The data set in a few words, without pixels and labels."""
        return {
            "training images": f"{len(self.train_images):,}",
            "test images": f"{len(self.test_images):,}",
            "image": "x".join(map(str, self.input_shape)),
            "classes": f"{self.num_classes}",
            "pixels": f"0-{self.peak}",
        }
