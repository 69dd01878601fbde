"""Student's t interval: the default, right for few seeds."""

import numpy as np
from scipy import special

from zeroinit._shapes import Float
from zeroinit.bench.stats.estimate import Estimate, Values, estimate_mean, standard_errors


def mean_interval(values: Values, level: float = 0.95) -> Estimate:
    """Return the mean of ``values`` with Student's t interval.

    On normal samples it covers the true mean at exactly its level from two seeds on. On very skewed ones it covers
    less: see :func:`bootstrap_t_interval`.

    Args:
        values: One finite number per seed.
        level: The nominal coverage, between 0 and 1.

    Returns:
        The estimate. One seed gives no interval (both ends NaN, ``method`` says so); no spread gives an interval of
        width zero.

    Raises:
        InputError: ``values`` is empty, not one-dimensional or not finite, or ``level`` is outside (0, 1).

    Source:
        Student, "The probable error of a mean", Biometrika 6, 1908.

    Example:
        >>> print(mean_interval([0.970, 0.972, 0.971, 0.969, 0.973]))
        0.9710 [0.9690, 0.9730]
        >>> print(mean_interval([0.970]))
        0.9700 (one seed, no interval)
    """
    return estimate_mean(values, None, level, bounds=t_bounds, method="t")


def t_bounds(
    values: Float[np.ndarray, "seeds columns"], generator: np.random.Generator | None, level: float
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    """Return Student's t interval of each column's mean.

    Args:
        values: At least two rows.
        generator: Ignored; here so that every rule has the same signature.
        level: The nominal coverage.

    Returns:
        The lower and the upper ends, one per column.
    """
    mean = values.mean(axis=0)
    half_width = special.stdtrit(len(values) - 1, (1 + level) / 2) * standard_errors(values)
    return mean - half_width, mean + half_width
