"""Is one method better than another, or better than a threshold: t tests on values paired by seed."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import scipy
from scipy import special

from zeroinit._common import InputError, jsonable
from zeroinit._shapes import Float
from zeroinit.bench.stats.estimate import ROUND_OFF, Estimate, Values, checked_values
from zeroinit.bench.stats.t_interval import mean_interval


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """A mean difference with its interval and its t test.

    Attributes:
        estimate: The mean difference and its interval.
        p_value: Two-sided p-value against a difference of zero.
        p_greater: One-sided p-value; small where the difference is above zero.
        p_less: One-sided p-value; small where the difference is below zero.
    """

    estimate: Estimate
    p_value: float
    p_greater: float
    p_less: float

    def __str__(self) -> str:
        return f"{self.estimate}, p = {self.p_value:.3g}"

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain values, ready for JSON: what is not finite becomes ``None``."""
        return jsonable(dataclasses.asdict(self))


class PValues(NamedTuple):
    """The three p-values of a t test; all NaN for one seed."""

    two_sided: float
    greater: float
    less: float


def paired_difference(a: Values, b: Values, level: float = 0.95) -> PairedDifference:
    """Compare two methods that ran on the same seeds: the mean of ``a - b`` and its t test.

    Args:
        a: One finite number per seed.
        b: One finite number per seed, the same seeds in the same order.
        level: The nominal coverage of the interval, between 0 and 1.

    Returns:
        The mean difference, its interval and p-values. One seed gives NaN. Where all differences are equal the
        p-values are 0 or 1.

    Raises:
        InputError: ``a`` or ``b`` is empty, not one-dimensional or not finite, or they differ in length.

    Source:
        Student, "The probable error of a mean", Biometrika 6, 1908, section IX.

    Example:
        >>> print(paired_difference([0.98, 0.97, 0.99], [0.95, 0.95, 0.95]))
        0.0300 [0.0052, 0.0548], p = 0.0351
    """
    first, second = checked_values(a, "a"), checked_values(b, "b")
    if len(first) != len(second):
        raise InputError(
            f"a has {len(first)} values and b has {len(second)}: must be paired by seed; keep the seeds that both have"
        )
    return _difference(first - second, float(np.abs([first, second]).max()), level)


def one_sample(values: Values, threshold: float, level: float = 0.95) -> PairedDifference:
    """Compare the mean of ``values`` with a fixed number: the mean of ``values - threshold`` and its t test.

    Args:
        values: One finite number per seed.
        threshold: The number to compare with, such as the accuracy of chance.
        level: The nominal coverage of the interval, between 0 and 1.

    Returns:
        The mean difference, its interval and p-values, as in :func:`paired_difference`.

    Raises:
        InputError: ``values`` is empty, not one-dimensional or not finite, or ``threshold`` is not finite.

    Source:
        Student, "The probable error of a mean", Biometrika 6, 1908.

    Example:
        >>> print(one_sample([0.11, 0.09, 0.10, 0.11], threshold=0.10))
        0.0025 [-0.0127, 0.0177], p = 0.638
    """
    numbers = checked_values(values, "values")
    if not math.isfinite(threshold):
        raise InputError(f"threshold={threshold}: must be a finite number")
    return _difference(numbers - threshold, max(float(np.abs(numbers).max()), abs(threshold)), level)


def t_test(differences: Float[np.ndarray, " seeds"], threshold: float, scale: float) -> PValues:
    """Return the p-values of the mean difference against ``threshold``, without warnings where there is no spread.

    Args:
        differences: One difference per seed.
        threshold: The mean under the null hypothesis.
        scale: The size of the subtracted numbers. A difference below rounding at this size counts as zero.

    Returns:
        Two-sided, greater and less; NaN for one seed; 0 or 1 where all differences are equal.
    """
    if len(differences) == 1:
        return PValues(math.nan, math.nan, math.nan)
    if differences.std(ddof=1) > ROUND_OFF * scale:
        result = scipy.stats.ttest_1samp(differences, threshold)
        less, greater = (float(special.stdtr(len(differences) - 1, sign * result.statistic)) for sign in (1, -1))
        return PValues(float(result.pvalue), greater, less)
    distance = float(differences.mean()) - threshold
    above, below = distance > ROUND_OFF * scale, distance < -ROUND_OFF * scale
    return PValues(float(not (above or below)), float(not above), float(not below))


def _difference(differences: Float[np.ndarray, " seeds"], scale: float, level: float) -> PairedDifference:
    """Return the interval and the test of the mean difference against zero; rounding counts as no difference."""
    differences = np.where(np.abs(differences) <= ROUND_OFF * scale, 0.0, differences)
    p_values = t_test(differences, 0.0, scale)
    return PairedDifference(mean_interval(differences, level), p_values.two_sided, p_values.greater, p_values.less)
