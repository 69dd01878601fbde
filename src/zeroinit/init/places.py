"""The place of a matrix in a parameter, and how its values are drawn there, whole or in part."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from zeroinit._modules.layers import Slot
from zeroinit.init.sources import Box, Source, Stream

__all__ = ["Block", "Place", "blocks_of", "intersection"]


@dataclass(frozen=True)
class Block:
    """One matrix in a parameter: of a query, of a gate, of a group of a convolution, or all of it.

    Attributes:
        name: The parameter's name.
        stored: The parameter's whole shape.
        box: Which part of the parameter the matrix is.
        order: The axes of the parameter in the order (units, inputs, *kernel).
        fan_in: How many values a unit reads.
        fan_out: How many units read a value.
        torch_fan: The fan-in as torch counts.
        number: Which of several matrices of the parameter this is.
    """

    name: str
    stored: tuple[int, ...]
    box: Box
    order: tuple[int, ...]
    fan_in: int
    fan_out: int
    torch_fan: int
    number: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (units, inputs, *kernel)."""
        return tuple(self.box[axis][1] - self.box[axis][0] for axis in self.order)


def blocks_of(slot: Slot, stored: tuple[int, ...], name: str, by_matrix: bool) -> Iterator[Block]:
    """Yield the matrices of a parameter.

    Args:
        slot: How the parameter is stored.
        stored: Its whole shape.
        name: Its name.
        by_matrix: Whether each group and each expert is a matrix of its own. Independent values need no such split.

    Example:
        >>> slot = Slot("weight", "weight", (18,), 4, true_fans=((18, 9),), groups=4)
        >>> [block.box[0] for block in blocks_of(slot, (4, 2, 3, 3), "conv.weight", by_matrix=True)]
        [(0, 1), (1, 2), (2, 3), (3, 4)]
    """
    axes, full = list(range(len(stored))), [(0, size) for size in stored]
    is_conv_transposed = slot.is_transposed and len(stored) > 2 and not slot.is_stacked
    offset = 1 if slot.is_stacked else 0
    swapped = [*axes[:offset], axes[offset + 1], axes[offset], *axes[offset + 2 :]] if slot.is_transposed else axes
    if (is_conv_transposed or slot.is_stacked) and not by_matrix:
        swapped = axes
    if slot.is_stacked and by_matrix:
        swapped = [*swapped[1:], 0]  # the axis of experts has length 1 in each matrix: the last one then
    units_axis = offset + 1 if slot.is_transposed and not is_conv_transposed else offset
    fans = slot.true_fans or tuple((fan, fan) for fan in slot.fans)
    for number, (part_box, fan, torch_fan) in enumerate(
        zip(_along(full, units_axis, slot.sizes, len(fans)), fans, slot.fans, strict=True)
    ):
        for box in _split(part_box, slot, by_matrix):
            yield Block(name, stored, tuple(box), tuple(swapped), *fan, torch_fan, number)


def _along(full: list, axis: int, sizes: tuple[int, ...], count: int) -> Iterator[list]:
    """Cut an axis into parts of the given sizes, or into equal parts."""
    if count == 1:
        yield full
        return
    whole = full[axis][1]
    ends = list(accumulate(sizes or (whole // count,) * count))
    for start, end in zip([0, *ends], ends, strict=False):
        yield [*full[:axis], (start, end), *full[axis + 1 :]]


def _split(box: list, slot: Slot, by_matrix: bool) -> Iterator[list]:
    count = slot.groups if slot.part == "weight" else 1
    if slot.is_stacked:
        count = box[0][1]
    if not by_matrix or count == 1:
        yield box
        return
    step = box[0][1] // count
    for number in range(count):
        yield [(number * step, (number + 1) * step), *box[1:]]


def intersection(one: Box, other: Box) -> Box | None:
    """Return what two parts of a tensor have in common; ``None`` if that is nothing.

    Example:
        >>> intersection(((0, 4), (0, 2)), ((2, 6), (1, 2))), intersection(((0, 1),), ((1, 2),))
        (((2, 4), (1, 2)), None)
    """
    common = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))
    return None if any(start >= stop for start, stop in common) else common


@dataclass(frozen=True)
class Place:
    """Where values are drawn: a matrix, or the part of it that this process holds.

    Attributes:
        block: The whole matrix.
        box: The part, in the parameter's own axes.
        source: Where random values come from.
        target: Where the values go (units, inputs, *kernel).
    """

    block: Block
    box: Box
    source: Source
    target: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the part: (units, inputs, *kernel)."""
        return tuple(self.box[axis][1] - self.box[axis][0] for axis in self.block.order)

    @property
    def generator(self) -> torch.Generator | None:
        """A generator for functions that draw a whole matrix themselves."""
        number = f"/{self.block.number}/{self.block.box[0][0]}"
        return self.source.generator_of(self.block.name + number)

    def empty(self) -> Tensor:
        """Return a float32 tensor for the values: the target itself where it is one."""
        target, generator = self.target, self.source.generator if isinstance(self.source, Stream) else None
        device = target.device if isinstance(self.source, Stream) else torch.device("cpu")
        device = device if generator is None else generator.device
        fits = target.dtype == torch.float32 and target.device == device and tuple(target.shape) == self.shape
        if fits and target.is_contiguous() and type(target) is Tensor:
            return target
        return torch.empty(self.shape, dtype=torch.float32, device=device)

    def index(self, axis: int) -> Tensor:
        """Return the indices along an axis of the whole matrix, in a shape that broadcasts over the part."""
        start, stop = self.box[self.block.order[axis]]
        first = self.block.box[self.block.order[axis]][0]
        shape = [1] * len(self.shape)
        shape[axis] = stop - start
        return torch.arange(start - first, stop - first).reshape(shape)

    def uniform(self, low: float, high: float) -> Tensor:
        """Draw values from U[low, high)."""
        if isinstance(self.source, Stream):
            return self.empty().uniform_(low, high, generator=self.source.generator)
        return self._by_counter(lambda u: u.mul_(2**24).floor_().mul_((high - low) * 2.0**-24).add_(low))

    def normal(self, std: float = 1.0) -> Tensor:
        """Draw values from N(0, std^2)."""
        if isinstance(self.source, Stream):
            return self.empty().normal_(0.0, std, generator=self.source.generator)
        return self._by_counter(lambda u: torch.special.ndtri(u).mul_(std))

    def truncated(self, std: float) -> Tensor:
        """Draw values from N(0, std^2), given that their absolute values are below 2 std."""
        low = float(torch.special.ndtr(torch.tensor(-2.0, dtype=torch.float64)))

        def quantile(u: Tensor) -> Tensor:
            return torch.special.ndtri(u.mul_(1 - 2 * low).add_(low)).clamp_(-2.0, 2.0).mul_(std)

        if isinstance(self.source, Stream):
            empty = self.empty()
            drawn = torch.empty(self.shape, dtype=torch.float64, device=empty.device)
            return empty.copy_(quantile(drawn.uniform_(generator=self.source.generator)))
        return self._by_counter(quantile)

    def _by_counter(self, quantile) -> Tensor:
        assert not isinstance(self.source, Stream)
        stored = tuple(stop - start for start, stop in self.box)
        target = self.target.permute(_inverse(self.block.order)) if self.target.dim() else self.target
        fits = target.dtype == torch.float32 and target.device.type == "cpu" and tuple(target.shape) == stored
        values = target if fits and type(target) is Tensor else torch.empty(stored, dtype=torch.float32)
        for rows, numbers in self.source.numbers(self.block.name, self.block.stored, self.box):
            values[rows].copy_(quantile(numbers).reshape(values[rows].shape))
        return values.permute(self.block.order)


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(order.index(axis) for axis in range(len(order)))
