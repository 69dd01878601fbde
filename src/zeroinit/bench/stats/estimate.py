"""A mean with its interval, and the one place where values of seeds are checked."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from zeroinit._common import InputError, jsonable
from zeroinit._shapes import Float, Real

Values = Real[np.ndarray, " seeds"] | Sequence[float | int]
"""One number per seed."""

Bounds = Callable[[np.ndarray, np.random.Generator | None, float], tuple[np.ndarray, np.ndarray]]
"""A rule for intervals: ``(values [seeds columns], generator, level) -> (low [columns], high [columns])``."""

ROUND_OFF = 1e-12
"""A spread below this share of the largest value is rounding, not spread."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval.

    Attributes:
        value: The mean.
        low: Lower end of the interval; NaN with one seed, ``-inf`` where the method gives no bound.
        high: Upper end of the interval; NaN with one seed, ``inf`` where the method gives no bound.
        num_seeds: How many values the mean is over.
        level: The nominal coverage.
        method: The rule behind the interval, with a remark where it has none.

    Example:
        >>> print(Estimate(0.971, 0.9694, 0.9726, num_seeds=5))
        0.9710 [0.9694, 0.9726]
    """

    value: float
    low: float
    high: float
    num_seeds: int
    level: float = 0.95
    method: str = "t"

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:z.4f} (one seed, no interval)"
        decimals = _decimals(self.value, (self.high - self.low) / 2)
        return f"{self.value:z.{decimals}f} [{self.low:z.{decimals}f}, {self.high:z.{decimals}f}]"

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Return the fields as plain values, ready for JSON: an end that is not finite becomes ``None``.

        Example:
            >>> Estimate(0.5, float("nan"), float("nan"), num_seeds=1).to_dict()["low"] is None
            True
        """
        return jsonable(dataclasses.asdict(self))


def estimate_mean(
    values: Values, generator: np.random.Generator | None, level: float = 0.95, *, bounds: Bounds, method: str
) -> Estimate:
    """Return the mean of ``values`` with the interval that ``bounds`` puts around it.

    Args:
        values: One finite number per seed.
        generator: Where the draws come from; methods without draws ignore it.
        level: The nominal coverage, between 0 and 1.
        bounds: The rule for the interval.
        method: The rule's name.

    Returns:
        The estimate. One seed gives no interval: both ends are NaN and ``method`` says so.

    Raises:
        InputError: ``values`` is empty, not one-dimensional or not finite, or ``level`` is outside (0, 1).
    """
    numbers = checked_values(values, "values")
    check_level(level)
    num_seeds = len(numbers)
    value = float(numbers.mean())
    if num_seeds == 1:
        return Estimate(value, math.nan, math.nan, 1, level, f"{method} (no interval: one seed)")
    low, high = (float(end[0]) for end in bounds(numbers[:, None], generator, level))
    remark = "" if math.isfinite(high - low) else " (unbounded: too few distinct values)"
    return Estimate(value, low, high, num_seeds, level, method + remark)


def standard_errors(values: Float[np.ndarray, "seeds columns"]) -> Float[np.ndarray, " columns"]:
    """Return each column's standard error of the mean, exactly zero where the spread is only rounding.

    Args:
        values: At least two rows.

    Returns:
        One standard error per column.

    Example:
        >>> standard_errors(np.array([[0.0, 0.3], [2.0, 0.1 + 0.2]])).tolist()
        [1.0, 0.0]
    """
    spread = values.std(axis=0, ddof=1)
    spread[spread <= ROUND_OFF * np.abs(values).max(axis=0)] = 0.0
    return spread / math.sqrt(len(values))


def checked_values(values: object, argument: str) -> Float[np.ndarray, " seeds"]:
    """Return ``values`` as a float array after checking that it holds one finite number per seed.

    Args:
        values: What the user handed over.
        argument: The argument's name, for the error.

    Returns:
        The values, shape (seeds,).

    Raises:
        InputError: ``values`` is empty, not one-dimensional or not finite.
    """
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{argument}={values!r}: must hold numbers, one per seed") from error
    if numbers.ndim != 1 or numbers.size == 0:
        raise InputError(
            f"{argument} has shape {numbers.shape}: must have shape (seeds,) with at least one seed; "
            "select one metric at one epoch"
        )
    if not np.isfinite(numbers).all():
        seeds = np.flatnonzero(~np.isfinite(numbers)).tolist()
        raise InputError(
            f"{argument} has {numbers[seeds[0]]} at position {seeds[0]} ({len(seeds)} of {len(numbers)} not finite): "
            "must be finite; report the runs that diverged apart from the others"
        )
    return numbers


def check_level(level: float) -> None:
    """Raise unless ``level`` is a coverage between 0 and 1.

    Raises:
        InputError: ``level`` is outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"level={level}: must lie between 0 and 1, such as 0.95")


def _decimals(value: float, half_width: float) -> int:
    """Return how many decimals show two digits of the interval's half-width; at least 4, at most 12."""
    if not math.isfinite(half_width) or half_width <= ROUND_OFF * abs(value) or half_width == 0:
        return 4
    return min(max(1 - math.floor(math.log10(half_width)), 4), 12)
