"""Predicted against seen values: rank correlation and R^2, with intervals over groups of rows."""

from collections.abc import Callable

import numpy as np
import scipy

from zeroinit._common import InputError
from zeroinit._shapes import Float, Shaped
from zeroinit.bench.stats.estimate import Estimate

__all__ = ["determination", "grouped_bootstrap", "rank_correlation"]

Rows = Float[np.ndarray, " rows"]


def rank_correlation(predicted: Rows, seen: Rows) -> float:
    """Return Spearman's rank correlation; equal values share their mean rank. NaN if one side is constant.

    Example:
        >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3]))
        1.0
    """
    if np.ptp(predicted) == 0 or np.ptp(seen) == 0:
        return float("nan")
    return round(float(np.corrcoef(scipy.stats.rankdata(predicted), scipy.stats.rankdata(seen))[0, 1]), 12)


def determination(predicted: Rows, seen: Rows) -> float:
    """Return R^2: the share of the variance that predictions explain as they are; negative if worse than the mean.

    Example:
        >>> determination(np.array([0.0, 1.0]), np.array([0.0, 1.0])), determination(np.ones(2), np.array([0.0, 2.0]))
        (1.0, 0.0)
    """
    spread = float(((seen - seen.mean()) ** 2).sum())
    return 1.0 - float(((seen - predicted) ** 2).sum()) / spread if spread else float("nan")


def grouped_bootstrap(
    statistic: Callable[[Rows, Rows], float],
    predicted: Rows,
    seen: Rows,
    groups: Shaped[np.ndarray, " rows"],
    generator: np.random.Generator,
    level: float = 0.95,
    num_resamples: int = 2000,
) -> Estimate:
    """Return a statistic of pairs with the percentile bootstrap interval over groups of rows that belong together.

    Args:
        statistic: Of predicted and seen values.
        predicted: One value per row.
        seen: Likewise.
        groups: Which group a row belongs to: whole groups are drawn.
        generator: Where the draws come from.
        level: The nominal coverage.
        num_resamples: How many resamples; those where the statistic is NaN are left out.

    Returns:
        The estimate; ``num_seeds`` is the number of groups, and the ends are NaN with fewer than three.

    Raises:
        InputError: Rows of different numbers, or none.
    """
    if not len(predicted) == len(seen) == len(groups) > 0:
        raise InputError(
            f"predicted, seen, groups: have {len(predicted)}, {len(seen)} and {len(groups)} rows; need as many of "
            "each, at least one"
        )
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    value = statistic(predicted, seen)
    if len(members) < 3:
        return Estimate(value, float("nan"), float("nan"), len(members), level, "bootstrap (no interval: few groups)")
    found = []
    for _ in range(num_resamples):
        rows = np.concatenate([members[each] for each in generator.integers(len(members), size=len(members))])
        found.append(statistic(predicted[rows], seen[rows]))
    low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), len(members), level, "percentile bootstrap over groups")
