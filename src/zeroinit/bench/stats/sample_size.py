"""How many seeds a comparison needs before it is run."""

import math

import numpy as np
from scipy import stats

from zeroinit._common import InputError
from zeroinit._shapes import Float, Int

MAX_SEEDS = 100_000
MAX_EFFECT = 1e4
"""A larger gap, in standard deviations, counts as this one. Two seeds find it, and the distribution stays computable.
"""


def num_seeds_needed(gap: float, standard_deviation: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the fewest seeds with which a paired, two-sided t test finds ``gap`` with probability ``power``.

    Args:
        gap: The mean difference that should be found; its sign does not matter.
        standard_deviation: The standard deviation of the differences between pairs, not of one method's values.
        power: The probability of finding it, above ``alpha`` and below 1.
        alpha: The level of the test.

    Returns:
        The number of pairs, at least 2: exact (noncentral t distribution), counted up from 2.

    Raises:
        InputError: An argument breaks its rule, or more than 100 000 seeds would be needed.

    Source:
        Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd edition, 1988, chapter 2.

    Example:
        >>> num_seeds_needed(gap=0.01, standard_deviation=0.01)
        10
    """
    if not (math.isfinite(gap) and gap != 0):
        raise InputError(f"gap={gap}: must be finite and not 0; state the smallest difference that matters")
    if not 0 <= standard_deviation < math.inf:
        raise InputError(f"standard_deviation={standard_deviation}: must be finite and at least 0")
    if not 0 < alpha < power < 1:
        raise InputError(f"alpha={alpha}, power={power}: must satisfy 0 < alpha < power < 1, such as 0.05 and 0.8")
    effect = abs(gap) / max(standard_deviation, abs(gap) / MAX_EFFECT)
    start = 2
    while start <= MAX_SEEDS:
        num_pairs = np.arange(start, 2 * start)
        enough = np.flatnonzero(_power(num_pairs, effect, alpha) >= power)
        if enough.size:
            return int(num_pairs[enough[0]])
        start *= 2
    raise InputError(
        f"gap={gap}: needs more than {MAX_SEEDS} seeds at standard_deviation={standard_deviation}; "
        "look for a larger gap or reduce the spread"
    )


def _power(num_pairs: Int[np.ndarray, " sizes"], effect: float, alpha: float) -> Float[np.ndarray, " sizes"]:
    """Return the power of the paired t test for each number of pairs; ``effect`` is the gap over the spread.

    The square of a noncentral t is a noncentral F with one degree of freedom. The F holds both tails at once, and SciPy
    computes it everywhere. SciPy's noncentral t returns NaN far out.
    """
    freedom = num_pairs - 1
    return stats.ncf.sf(stats.f.isf(alpha, 1, freedom), 1, freedom, effect**2 * num_pairs)
