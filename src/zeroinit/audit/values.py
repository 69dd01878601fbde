"""What the arguments of an operation, and its result, tell of the values that it writes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["mean_of", "number_of", "only_value", "rows_of_index", "std_of", "tensors_in"]


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Yield the tensors of lists in lists."""
    for each in values:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from tensors_in(each)


def only_value(tensor: Tensor) -> float | None:
    """Return the value that all places of a tensor of numbers hold; ``None`` if they differ, or have no values."""
    if tensor.is_meta or not tensor.numel() or not tensor.is_floating_point() or tensor.element_size() == 1:
        return None
    first, last = tensor[(0,) * tensor.dim()], tensor[(-1,) * tensor.dim()]
    return first.item() if bool(first == last) and bool((tensor == first).all()) else None


def rows_of_index(name: str, args: tuple) -> tuple[int, ...]:
    """Return which rows an index with a list takes, if they are few."""
    if name not in ("index", "index_select"):
        return ()
    given = list(tensors_in(args[1:]))
    numbers = given[0] if len(given) == 1 and given[0].dim() == 1 and not given[0].is_meta else None
    if numbers is None or len(numbers) > 64 or (name == "index_select" and args[1] != 0):
        return ()
    return tuple(numbers.nonzero().flatten().tolist() if numbers.dtype == torch.bool else numbers.tolist())


def number_of(value: Any) -> float | None:
    """Return a number, or the one that a tensor holds; ``None`` for anything else."""
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 and not value.is_meta else None
    return float(value) if isinstance(value, bool | int | float) else None


def mean_of(name: str, args: tuple) -> float | None:
    """Return the mean that an operation draws with."""
    if name == "normal_":
        return number_of(args[1]) if len(args) > 1 else 0.0
    low, high = (number_of(args[1]), number_of(args[2])) if name == "uniform_" and len(args) > 2 else (0.0, 1.0)
    return None if name != "uniform_" or low is None or high is None else (low + high) / 2


def std_of(name: str, args: tuple) -> float | None:
    """Return the standard deviation that an operation draws with."""
    if name == "normal_":
        return number_of(args[2]) if len(args) > 2 else 1.0
    if name == "uniform_":
        low, high = (number_of(args[1]), number_of(args[2])) if len(args) > 2 else (0.0, 1.0)
        return None if low is None or high is None else (high - low) / 12**0.5
    return None
