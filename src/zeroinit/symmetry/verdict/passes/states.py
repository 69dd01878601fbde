"""Which tensors there are in a value, and whether they hold one value, or some that are not finite."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["broken_in", "is_constant", "state", "tensors_in"]


def state(tensor: Tensor) -> str:
    """Return ``"nan"`` or ``"inf"`` if a tensor holds such values, else nothing.

    Example:
        >>> state(torch.tensor([1.0, float("nan")])), state(torch.ones(2))
        ('nan', '')
    """
    values = tensor.detach()
    if not values.numel() or values.layout != torch.strided or bool(torch.isfinite(values).all()):
        return ""
    return "nan" if bool(torch.isnan(values).any()) else "inf"


def broken_in(before: list[str], after: list[str]) -> str:
    """Return which of the two a call made, from the states of what went in and came out."""
    for kind in ("nan", "inf"):
        if kind in after and kind not in before and not (kind == "inf" and "nan" in before):
            return kind
    return ""


def tensors_in(value: Any, depth: int = 4) -> list[Tensor]:
    """List the tensors in nested lists, tuples and dictionaries.

    Example:
        >>> tensors_in([1, {"a": torch.ones(1)}])
        [tensor([1.])]
    """
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple) and depth:
        return [found for each in value for found in tensors_in(each, depth - 1)]
    return []


def is_constant(tensor: Tensor) -> bool:
    """Tell whether all values of a tensor are the same.

    Example:
        >>> is_constant(torch.zeros(3)), is_constant(torch.arange(3.0))
        (True, False)
    """
    values = tensor.detach()
    if values.layout != torch.strided or not values.numel():
        return False
    return bool((values == values.flatten()[0]).all())
