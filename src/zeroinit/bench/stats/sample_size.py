"""How many seeds a comparison needs before it is run."""

import math

import numpy as np
import scipy

from zeroinit._common import InputError, real_number
from zeroinit._shapes import Float, Int

__all__ = ["check_power", "num_seeds_for_equivalence", "num_seeds_needed"]

MAX_SEEDS = 100_000
NUM_SPREADS = 512
"""Quantiles of the spread that a sample may show, over which a power is averaged."""

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
    _check(standard_deviation, power, alpha)
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


def num_seeds_for_equivalence(
    difference: float, standard_deviation: float, margin: float, power: float = 0.8, alpha: float = 0.05
) -> int:
    """Return the fewest seeds that decide with probability ``power`` whether a mean difference lies inside ``±margin``.

    Args:
        difference: The mean difference, inside or outside.
        standard_deviation: The standard deviation of the differences between pairs.
        margin: The largest difference that does not matter, above 0.
        power: The probability of a decision, for or against, above ``alpha`` and below 1.
        alpha: The level of the decision. Each of its one-sided tests has half of it, as in the verdicts of a report.

    Returns:
        The number of pairs, at least 2.

    Raises:
        InputError: An argument breaks its rule, or more than 100 000 seeds would be needed.

    Source:
        Schuirmann 1987, as in :func:`equivalence`; Phillips, "Power of the two one-sided tests procedure in
        bioequivalence", Journal of Pharmacokinetics and Biopharmaceutics 18, 1990.

    Example:
        >>> num_seeds_for_equivalence(0.0, standard_deviation=0.01, margin=0.01)
        13
    """
    if not (math.isfinite(difference) and 0 < margin < math.inf):
        raise InputError(f"difference={difference}, margin={margin}: must be finite, and the margin above 0")
    _check(standard_deviation, power, alpha)
    spread = max(standard_deviation, margin / MAX_EFFECT)

    def is_enough(num_pairs: int) -> bool:
        return _equivalence_power(num_pairs, difference / spread, margin / spread, alpha) >= power

    below, enough = 1, 2
    while enough <= MAX_SEEDS and not is_enough(enough):
        below, enough = enough, 2 * enough
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if is_enough(middle) else (middle, enough)
    if enough > MAX_SEEDS:
        raise InputError(
            f"difference={difference}: needs more than {MAX_SEEDS} seeds at margin={margin} and "
            f"standard_deviation={standard_deviation}; state another margin or reduce the spread"
        )
    return enough


def _check(standard_deviation: float, power: float, alpha: float) -> None:
    if not 0 <= standard_deviation < math.inf:
        raise InputError(f"standard_deviation={standard_deviation}: must be finite and at least 0")
    check_power(power, alpha)


def check_power(power: float, alpha: float = 0.05) -> None:
    """Refuse a probability with which nothing can be planned.

    Raises:
        InputError: Not ``0 < alpha < power < 1``.

    Example:
        >>> check_power(0.8)
    """
    real_number(alpha, "alpha", above=0, below=1)
    real_number(power, "power", above=alpha, below=1)


def _equivalence_power(num_pairs: int, difference: float, margin: float, alpha: float) -> float:
    """Return how often so many pairs decide for or against equivalence, with the spread as the unit."""
    freedom, levels = num_pairs - 1, (np.arange(NUM_SPREADS) + 0.5) / NUM_SPREADS
    half_width = scipy.stats.t.isf(alpha / 2, freedom) * np.sqrt(
        scipy.stats.chi2.ppf(levels, freedom) / freedom / num_pairs
    )
    scale = 1 / math.sqrt(num_pairs)
    inner, outer = np.maximum(margin - half_width, 0.0), margin + half_width
    inside = scipy.stats.norm.cdf(inner, difference, scale) - scipy.stats.norm.cdf(-inner, difference, scale)
    outside = scipy.stats.norm.sf(outer, difference, scale) + scipy.stats.norm.cdf(-outer, difference, scale)
    return float((inside + outside).mean())


def _power(num_pairs: Int[np.ndarray, " sizes"], effect: float, alpha: float) -> Float[np.ndarray, " sizes"]:
    """Return the power of the paired t test for each number of pairs; ``effect`` is the gap over the spread.

    The square of a noncentral t is a noncentral F with one degree of freedom. The F holds both tails at once, and SciPy
    computes it everywhere. SciPy's noncentral t returns NaN far out.
    """
    freedom = num_pairs - 1
    return scipy.stats.ncf.sf(scipy.stats.f.isf(alpha, 1, freedom), 1, freedom, effect**2 * num_pairs)
