"""Partitions of the units of a layer into groups of equal rows: by hash, never pair by pair."""

import numpy as np
import torch
from torch import Tensor

from zeroinit._shapes import Int64, Shaped

__all__ = ["first_signs", "group_equal_rows", "group_mirrored_rows", "num_groups", "refine", "without_singles"]

Labels = Int64[np.ndarray, " units"]

CHUNK = 1 << 19
"""Elements hashed at a time, so that a large layer needs little memory."""
NUM_DIRECTIONS = 3
FEW, MANY = 16, 2**14
"""Columns that are looked at first, in layers of so many values."""


def group_equal_rows(rows: Shaped[Tensor, "units features"], factors: Shaped[Tensor, " units"] | None = None) -> Labels:
    """Label rows so that two rows have the same label if and only if they are equal, value by value.

    Rows are hashed to 64 bits, so that a million rows take a moment; zero and minus zero are equal.

    Args:
        rows: One row for each unit, of a floating-point type.
        factors: What each row is multiplied with before; 1 by default.

    Returns:
        Labels from 0, by first appearance.

    Example:
        >>> group_equal_rows(torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]])).tolist()
        [0, 1, 0]
    """
    rows = rows.detach()
    if rows.shape[1] == 0:
        return np.zeros(len(rows), dtype=np.int64)
    if rows.shape[1] > FEW and len(rows) * rows.shape[1] > MANY:  # rows that differ in a few columns are not equal
        labels = group_equal_rows(rows[:, :FEW], factors)
        if len(rows) == 0 or labels[-1] == len(rows) - 1:
            return labels
    multipliers = _multipliers(rows.shape[1], rows.device)
    step = max(1, CHUNK // rows.shape[1])
    pieces = [None] * len(rows.split(step)) if factors is None else factors.split(step)
    hashes = [
        (_bits(part if factor is None else part * factor[:, None]) * multipliers).sum(1)
        for part, factor in zip(rows.split(step), pieces, strict=True)
    ]
    return _relabel_in_order(torch.cat(hashes).cpu().numpy())


def first_signs(rows: Shaped[Tensor, "units features"]) -> Shaped[Tensor, " units"]:
    """Return the sign of each row's first entry that is not zero; 0 for a row of zeros.

    Example:
        >>> first_signs(torch.tensor([[0.0, -2.0], [1.0, -1.0], [0.0, 0.0]])).tolist()
        [-1.0, 1.0, 0.0]
    """
    if rows.shape[1] == 0:
        return rows.new_zeros(len(rows))
    signs = rows[:, 0].sign()
    step = max(1, CHUNK // rows.shape[1])
    for at in torch.nonzero(signs == 0)[:, 0].split(step):
        some = rows[at]
        first = (some != 0).to(torch.uint8).argmax(dim=1, keepdim=True)
        signs[at] = some.gather(1, first)[:, 0].sign()
    return signs


def group_mirrored_rows(rows: Shaped[Tensor, "units features"]) -> Labels:
    """Label rows so that two rows have the same label if and only if they are equal or each other's negative.

    Args:
        rows: One row for each unit.

    Example:
        >>> group_mirrored_rows(torch.tensor([[1.0, -2.0], [0.0, 1.0], [-1.0, 2.0]])).tolist()
        [0, 1, 0]
    """
    signs = torch.where(first_signs(rows) < 0, -1.0, 1.0).to(rows.dtype)
    return group_equal_rows(rows, signs)


def refine(labels: Labels, rows: Shaped[Tensor, "units features"], tolerance: float) -> Labels:
    """Split groups whose rows differ by more than rounding.

    Rows are compared through three random directions: two neighbors along one of them belong together if they are
    no farther apart than ``tolerance`` times the larger of their norms. Only groups of several units are looked at.

    Args:
        labels: The partition so far.
        rows: One row for each unit, of a floating-point type.
        tolerance: Relative distance that still counts as equal.

    Returns:
        Labels from 0 of a partition at least as fine.

    Example:
        >>> rows = torch.tensor([[1.0, 2.0], [1.0, 2.0 + 1e-6], [1.0, 3.0]])
        >>> refine(np.zeros(3, dtype=np.int64), rows, 1e-5).tolist()
        [0, 0, 1]
    """
    several = without_singles(labels)
    if not len(several) or rows.shape[1] == 0:
        return labels
    taken = rows.detach()
    if len(several) < len(rows):
        taken = taken[torch.from_numpy(several).to(rows.device)]
    along, norms = (each.cpu().numpy() for each in _along(taken))
    if not np.isfinite(along).all():
        return labels
    groups = labels[several]
    for direction in along.T:
        order = np.lexsort((direction, groups))
        sorted_groups, sorted_values, sorted_norms = groups[order], direction[order], norms[order]
        gaps = np.diff(sorted_values) > tolerance * np.maximum(sorted_norms[1:], sorted_norms[:-1])
        starts = np.concatenate([[False], (np.diff(sorted_groups) != 0) | gaps])
        groups = np.empty_like(groups)
        groups[order] = np.cumsum(starts)
    result = labels.copy()
    result[several] = labels.max() + 1 + groups
    return _relabel_in_order(result)


def without_singles(labels: Labels) -> Int64[np.ndarray, " several"]:
    """Return the positions of the units that share their label with another.

    Example:
        >>> without_singles(np.array([0, 1, 0, 2])).tolist()
        [0, 2]
    """
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[inverse] > 1)


def num_groups(labels: Labels) -> int:
    """Return the number of groups, for units the number of distinct ones.

    Example:
        >>> num_groups(np.array([0, 1, 0]))
        2
    """
    return len(np.unique(labels))


def _along(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return products with a few directions and norms, in float64, a few columns at a time."""
    directions = _directions(rows.shape[1], rows.device)
    if rows.numel() <= CHUNK:
        wide = rows.double()
        return wide @ directions, wide.norm(dim=1)
    along = torch.zeros(len(rows), NUM_DIRECTIONS, dtype=torch.float64, device=rows.device)
    squares = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    step = max(1, CHUNK // len(rows))
    for part, towards in zip(rows.split(step, dim=1), directions.split(step), strict=True):
        wide = part.double()
        along += wide @ towards
        squares += wide.square_().sum(dim=1)
    return along, squares.sqrt()


def _bits(rows: Tensor) -> Tensor:
    """Return the bits of a float tensor as int64, minus zero as zero."""
    kinds = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}
    return (rows + 0.0).contiguous().view(kinds[rows.element_size()]).to(torch.int64)


def _multipliers(count: int, device: torch.device) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    drawn = torch.randint(-(2**63), 2**63 - 1, (count,), dtype=torch.int64, generator=generator, device="cpu")
    return (drawn | 1).to(device)


def _directions(count: int, device: torch.device) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(1)
    drawn = torch.randn(count, NUM_DIRECTIONS, dtype=torch.float64, generator=generator, device="cpu")
    return drawn.to(device)


def _relabel_in_order(labels: np.ndarray) -> Labels:
    """Number groups by their first unit."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int64)
