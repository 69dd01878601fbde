"""Signal or rounding: every decision about a gradient, from numbers alone, is made here.

Source: a gradient that exists only through rounding shrinks with machine epsilon, so float32 and float64 are compared.
Rounding in float32 is about 1e-7 of what is added up. A norm over a constant channel divides by the root of its
epsilon: rounding grows 300 times as large.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["APART", "FAINT", "SMALL", "is_rounding", "row_sizes", "told_from_course", "told_from_rounding"]

APART = 1e4
"""A float32 gradient so many times larger than the float64 one is rounding."""
FAINT = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Rounding is smaller than this share of the largest gradient of the model, by precision."""
SMALL = FAINT[torch.float32]
"""A float32 gradient below this share of the largest gradient of the model may be rounding."""
UNDERFLOW = 1e-30
"""Below this a float64 gradient may have no counterpart in float32."""
RANDOM, STEADY = 0.5, 0.9
"""Cosines between the gradients of two steps: of rounding, which is drawn anew, and of a signal."""
FEWEST_VALUES = 32
"""A vector of so many values has a cosine above ``RANDOM`` by chance in less than one of 200 pairs."""


def row_sizes(gradient: Tensor) -> Tensor:
    """Return the largest absolute value in each entry of the first axis (rows,).

    Example:
        >>> row_sizes(torch.tensor([[1.0, -2.0], [0.0, 0.5]])).tolist()
        [2.0, 0.5]
    """
    count = gradient.shape[0] if gradient.dim() else 1
    if not gradient.numel():
        return torch.zeros(count, device=gradient.device)
    rows = gradient.detach().reshape(count, -1)
    if rows.is_complex():
        return rows.abs().amax(dim=1)
    return torch.maximum(rows.amax(dim=1), -rows.amin(dim=1))


def is_rounding(double: np.ndarray, single: np.ndarray, largest: float) -> np.ndarray:
    """Tell which gradients are rounding alone, from their sizes in both precisions.

    Args:
        double: Sizes in float64 (rows,).
        single: Sizes in float32 (rows,).
        largest: The largest gradient of the model in float64.

    Example:
        >>> is_rounding(np.array([3e-14, 0.1, 1e-17, 1e-35]), np.array([2e-7, 0.1, 0.0, 0.0]), largest=1.0).tolist()
        [True, False, True, False]
    """
    faint = (double > 0) & (double < FAINT[torch.float64] * largest)
    return faint & ((single > APART * double) | ((single == 0) & (double > UNDERFLOW)))


def told_from_rounding(double: np.ndarray, single: np.ndarray, largest: float) -> str:
    """Tell from one gradient in both precisions whether it is ``"rounding"`` or ``"signal"`` in all of its rows.

    Args:
        double: Sizes in float64 (rows,).
        single: Sizes in float32 (rows,).
        largest: The largest gradient of the model in float64.

    Returns:
        Nothing where rows differ.

    Example:
        >>> told_from_rounding(np.array([1e-17, 0.0]), np.array([1e-9, 0.0], dtype=np.float32), 1.0)
        'rounding'
        >>> told_from_rounding(np.array([1e-9, 0.0]), np.array([1e-9, 0.0], dtype=np.float32), 1.0)
        'signal'
    """
    false = is_rounding(double, single, largest)
    if (false | (double == 0)).all():
        return "rounding"
    return "" if false.any() or ((single > 0) & (double == 0)).any() else "signal"


def told_from_course(gradients: list[Tensor | None]) -> str:
    """Tell from a vector's gradients step by step whether they are ``"rounding"`` or ``"signal"``.

    A signal changes little in an update on the same batch. Rounding is drawn anew.

    Args:
        gradients: One for each step (values,); ``None`` where it is not known.

    Returns:
        Nothing where that is open.

    Example:
        >>> told_from_course([torch.tensor([1.0, 2.0])] * 3)
        'signal'
        >>> told_from_course([torch.tensor([1.0, 2.0])] * 2)
        ''
    """
    seen = [each.double() for each in gradients if each is not None]
    if len(seen) < len(gradients) or len(seen) < 3:
        return ""
    cosines = [float(F.cosine_similarity(one, next_, dim=0)) for one, next_ in pairwise(seen)]
    if min(cosines) > STEADY:
        return "signal"
    return "rounding" if len(seen[0]) >= FEWEST_VALUES and max(map(abs, cosines)) < RANDOM else ""
