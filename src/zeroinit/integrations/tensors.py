"""What is told of all gradients or values of a model at once, with one wait for each device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["moved", "not_finite"]


def moved(gradients: dict[str, Tensor | None]) -> set[str]:
    """Return the names of the gradients that are not zero throughout.

    Example:
        >>> moved({"weight": torch.tensor([0.0, 2.0]), "bias": torch.zeros(1), "spare": None})
        {'weight'}
    """
    return _flags(gradients, lambda most, least: (most != 0) | (least != 0))


def not_finite(tensors: dict[Any, str]) -> set[str]:
    """Return the names of the tensors with an entry that is NaN or infinite.

    Example:
        >>> not_finite({torch.tensor([1.0, torch.nan]): "weight"})
        {'weight'}
    """
    values: dict[str, Tensor | None] = {name: each.detach() for each, name in tensors.items() if each.numel()}
    return {*values} - _flags(values, lambda most, least: torch.isfinite(most) & torch.isfinite(least))


def _flags(tensors: dict[str, Tensor | None], test: Callable[[Tensor, Tensor], Tensor]) -> set[str]:
    """Return the names of the tensors whose largest and least entry pass a test; one wait for each device."""
    by_device: dict[torch.device, dict[str, Tensor]] = {}
    for name, each in tensors.items():
        if each is None:
            continue
        values = each.coalesce().values() if each.layout == torch.sparse_coo else each
        values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
        if values.numel():
            by_device.setdefault(values.device, {})[name] = test(values.amax(), values.amin())
    found: set[str] = set()
    for flags in by_device.values():
        found |= {name for name, flag in zip(flags, torch.stack([*flags.values()]).tolist(), strict=True) if flag}
    return found
