"""Norms over constant channels. They enlarge rounding: the rest of a channel is divided by nearly nothing."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["NORMS", "has_flat_channels", "is_flat"]

FLAT = 16
"""A channel is constant if it spreads by so many machine epsilons of its largest value."""
NORMS = {F.batch_norm, F.instance_norm, F.layer_norm, F.group_norm}
"""Functions that subtract a mean and divide by a spread."""


def has_flat_channels(func: Any, args: Any, kwargs: dict) -> bool:
    """Tell whether a norm subtracts from a channel all that is in it; for norms by example, in half of the examples.

    Args:
        func: One of ``NORMS``.
        args: What it is called with.
        kwargs: The same by name.

    Example:
        >>> has_flat_channels(F.layer_norm, (torch.ones(4, 3), (3,)), {})
        True
    """
    given = args[0] if args else kwargs["input"]
    if not given.is_floating_point() or given.dim() < 2:
        return False
    if func is F.batch_norm:
        names = ("running_mean", "running_var", "weight", "bias", "training")
        named = dict(zip(names, args[1:], strict=False)) | kwargs
        return bool(named.get("training")) and is_flat(given, (0, *range(2, given.dim())), 0.0)
    if func is F.layer_norm:
        shape = args[1] if len(args) > 1 else kwargs["normalized_shape"]
        return is_flat(given, tuple(range(-len(shape), 0)), 0.5)
    if func is F.group_norm:
        groups = args[1] if len(args) > 1 else kwargs["num_groups"]
        return is_flat(given.reshape(given.shape[0], groups, -1), (2,), 0.5)
    return is_flat(given, tuple(range(2, given.dim())), 0.5)


def is_flat(given: Tensor, axes: tuple[int, ...], share: float) -> bool:
    """Tell whether at least a share of the groups that a norm averages over is constant.

    Args:
        given: A norm's input.
        axes: The axes it averages over.
        share: How many groups have to be constant; 0 for any.

    Example:
        >>> is_flat(torch.tensor([[1.0, 2.0], [1.0, 3.0]]), (0,), 0.0)
        True
        >>> is_flat(torch.tensor([[1.0, 2.0], [1.0, 3.0]]), (0,), 0.9)
        False
    """
    values = given.detach()
    if not values.numel() or not axes:
        return False
    high, low = values.amax(dim=axes), values.amin(dim=axes)
    flat = (high - low) <= FLAT * torch.finfo(values.dtype).eps * torch.maximum(high.abs(), low.abs())
    return bool(flat.any()) if share == 0 else bool(flat.double().mean() >= share)
