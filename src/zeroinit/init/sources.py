"""Where random values come from: a generator that moves on, or a function of seed, name and index.

With a seed, each value depends on (seed, name of the parameter, index in the whole parameter) alone. So a process may
draw any part of a parameter without drawing the rest. The bits come from Philox (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"), a counter-based generator: NumPy's, whose stream is the same on every platform.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

__all__ = ["Box", "Counter", "Source", "Stream"]

Box: TypeAlias = tuple[tuple[int, int], ...]
"""Part of a tensor: first index and the one after the last, along each axis."""

CHUNK = 2**18
"""About so many values are drawn at once."""
PER_BLOCK = 8
"""Numbers of 32 bits in one block of Philox."""


@dataclass(frozen=True)
class Stream:
    """Draws one value after the other from a torch generator; from the global one if ``None``."""

    generator: torch.Generator | None

    def generator_of(self, name: str) -> torch.Generator | None:
        """Return the generator, for functions that draw themselves."""
        return self.generator


@dataclass(frozen=True)
class Counter:
    """Draws any value of any parameter, in any order.

    Attributes:
        seed: The user's seed.
    """

    seed: int

    def generator_of(self, name: str) -> torch.Generator:
        """Return a generator for one parameter, for functions that draw a whole matrix themselves."""
        return torch.Generator().manual_seed(int.from_bytes(self._digest(name)[16:24], "little") >> 1)

    def numbers(self, name: str, shape: tuple[int, ...], box: Box) -> Iterator[tuple[slice, Tensor]]:
        """Yield numbers strictly between 0 and 1 for a part of a parameter, chunk by chunk along its first axis.

        Args:
            name: The parameter's name.
            shape: Its whole shape.
            box: The part.

        Returns:
            The rows of the part, and their numbers (rows, ...), float64: (k + 1/2) / 2^32.

        Example:
            >>> whole = torch.cat([values for _, values in Counter(0).numbers("w", (4, 3), ((0, 4), (0, 3)))])
            >>> part = torch.cat([values for _, values in Counter(0).numbers("w", (4, 3), ((1, 3), (2, 3)))])
            >>> torch.equal(whole[1:3, 2:3], part)
            True
        """
        shape, box = (shape, box) if shape else ((1,), ((0, 1),))
        width = math.prod(shape[1:])
        rows = max(CHUNK // max(width, 1), 1)
        (first, last), inner = box[0], tuple(slice(*each) for each in box[1:])
        key = int.from_bytes(self._digest(name)[:16], "little")
        for start in range(first, last, rows):
            stop = min(start + rows, last)
            bits = _bits(key, start * width, (stop - start) * width).reshape(stop - start, *shape[1:])
            values = torch.from_numpy(bits[(slice(None), *inner)].astype(np.float64))
            yield slice(start - first, stop - first), values.add_(0.5).mul_(2.0**-32)

    def _digest(self, name: str) -> bytes:
        return hashlib.sha256(f"{self.seed}/{name}".encode()).digest()


def _bits(key: int, start: int, count: int) -> np.ndarray:
    """Return 32 bits for each index from ``start`` on."""
    skip = start % PER_BLOCK
    words = -(-(skip + count) // 2)
    raw = np.random.Philox(key=key, counter=start // PER_BLOCK).random_raw(words)
    return np.asarray(raw).astype("<u8", copy=False).view("<u4")[skip : skip + count]


Source: TypeAlias = Stream | Counter
