"""The size of weights beside PyTorch's default, and weights of which all directions are equally large."""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["FAINT", "default_size", "is_faint", "polar_factor"]

FAINT = 2e-4
"""Half-way, weights below this share of PyTorch's default show that steps shrink from layer to layer."""


def default_size(weight: Tensor) -> float:
    """Return the root mean square of PyTorch's default for a weight (out, in, ...): 1 / sqrt(3 fan_in).

    Example:
        >>> default_size(torch.zeros(7, 3, 2, 2))
        0.16666666666666666
    """
    return float((3 * weight[0].numel()) ** -0.5)


def is_faint(weights: Iterable[Tensor]) -> bool:
    """Tell whether one of the weights has moved, and is smaller than 1/5000 of PyTorch's default.

    The gradient of a layer is a product of all small weights above it. Adam's steps have one size in all layers. Steps
    of SGD shrink from layer to layer, so the first layers hardly move, and weights learn one or two directions.

    Example:
        >>> is_faint([torch.full((2, 3), 0.1), torch.full((2, 3), 1e-6)])
        True
    """
    kept = [weight.detach() for weight in weights if weight.numel()]
    return any(0 < float(each.float().abs().max()) < torch.inf and _share(each) < FAINT for each in kept)


def _share(weight: Tensor) -> float:
    return float(weight.double().square().mean().sqrt()) / default_size(weight)


def polar_factor(weight: Tensor) -> Tensor:
    """Return the matrix with orthonormal rows or columns that is nearest to a weight: all singular values become 1.

    Directions smaller than float32 rounding of the largest one are left out. No new directions are added.

    Args:
        weight: At least two axes; all but the first count as one.

    Returns:
        A tensor of the shape and type of ``weight``.

    Source:
        Higham 1986, "Computing the polar decomposition".

    Example:
        >>> polar_factor(torch.diag(torch.tensor([3.0, 1e-3, 0.0]))).diagonal()
        tensor([1., 1., 0.])
    """
    left, values, right = torch.linalg.svd(weight.detach().flatten(1).double(), full_matrices=False)
    kept = (values > torch.finfo(torch.float32).eps * values.max()).to(left.dtype)
    return ((left * kept) @ right).reshape(weight.shape).to(weight.dtype)
