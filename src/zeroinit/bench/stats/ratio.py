"""A ratio of two means over the same seeds, with an interval."""

import math

import numpy as np
from scipy import special

from zeroinit._common import InputError
from zeroinit.bench.stats.estimate import Estimate, Values, check_level, checked_values

__all__ = ["ratio_interval"]


def ratio_interval(numerators: Values, denominators: Values, level: float = 0.95) -> Estimate:
    """Return the mean of one quantity as a share of the mean of another, with a jackknife t interval.

    Means are divided, not seeds: a seed with a denominator near zero does no harm.

    Args:
        numerators: One finite number per seed.
        denominators: As many, of the same seeds.
        level: The nominal coverage.

    Returns:
        The ratio; with one seed it has no interval. Both ends are infinite if the data do not bound the ratio: leaving
            out one seed makes the denominators' mean zero or changes its sign.

    Raises:
        InputError: Not one finite number per seed each, a denominator with mean zero, or a level outside (0, 1).

    Source:
        Tukey 1958; Efron and Stein 1981, "The jackknife estimate of variance".

    Example:
        >>> print(ratio_interval([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]))
        0.5000 [0.5000, 0.5000]
    """
    check_level(level)
    above, below = checked_values(numerators, "numerators"), checked_values(denominators, "denominators")
    if len(above) != len(below) or below.mean() == 0:
        raise InputError(
            f"denominators: {len(below)} with mean {below.mean():g}; must be as many as the {len(above)} numerators, "
            "with a mean other than 0"
        )
    num_seeds, value = len(above), float(above.mean() / below.mean())
    if num_seeds == 1:
        return Estimate(value, math.nan, math.nan, 1, level, "jackknife (no interval: one seed)")
    rest = below.sum() - below
    if (rest * below.mean() <= 0).any():
        return Estimate(value, -math.inf, math.inf, num_seeds, level, "jackknife (unbounded: the denominator may be 0)")
    left_out = (above.sum() - above) / rest
    variance = (num_seeds - 1) / num_seeds * np.square(left_out - left_out.mean()).sum()
    half_width = float(special.stdtrit(num_seeds - 1, (1 + level) / 2) * math.sqrt(variance))
    return Estimate(value, value - half_width, value + half_width, num_seeds, level, "jackknife")
