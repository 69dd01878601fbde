"""How numbers are written for readers: accuracies in percent, their differences in points, others as they are."""

import math

from zeroinit._common import counted
from zeroinit.bench.spec import Claim
from zeroinit.bench.stats import Estimate

__all__ = ["POINTS", "write_difference", "write_estimate", "write_interval", "write_margin", "write_share"]

POINTS = ("final_accuracy", "position_spread")
"""Measures that are differences of shares: written in points."""

USUAL = 0.95
"""The level of an interval that is not named."""


def write_share(estimate: Estimate) -> str:
    """Write an accuracy or another share in percent with its interval.

    Example:
        >>> write_share(Estimate(0.963, 0.958, 0.968, 5)), write_share(Estimate(0.963, 0.95, 0.97, 5))
        ('96.3 ± 0.5 %', '96.3 % [95.0, 97.0]')
    """
    value, spread = _parts(estimate, 1)
    if not spread:
        return f"{value} %"
    return f"{value} % {spread}" if spread.startswith("[") else f"{value} {spread} %"


def write_difference(estimate: Estimate) -> str:
    """Write a difference of accuracies in points, without the unit: two digits of its interval, at least one decimal.

    Example:
        >>> write_difference(Estimate(-0.0055, -0.0068, -0.0042, 5)), write_difference(Estimate(0.12, 0.0, 0.24, 3))
        ('-0.55 ± 0.13', '12.0 ± 12.0')
        >>> write_difference(Estimate(0.366, math.nan, math.nan, 1))
        '36.6 (one seed, no interval)'
    """
    half = 50 * (estimate.high - estimate.low)
    is_clear = math.isfinite(half) and half > 1e-9
    value, spread = _parts(estimate, max(1, 1 - math.floor(math.log10(half))) if is_clear else 1)
    return f"{value} {spread or '(one seed, no interval)'}"


def write_interval(estimate: Estimate) -> str:
    """Write the ends of an accuracy's interval in percent, without the unit.

    Example:
        >>> write_interval(Estimate(0.963, 0.95, 0.97, 5)), write_interval(Estimate(0.963, math.nan, math.nan, 1))
        ('[95.0, 97.0]', 'one seed')
    """
    return "one seed" if math.isnan(estimate.low) else f"[{100 * estimate.low:z.1f}, {100 * estimate.high:z.1f}]"


def _parts(estimate: Estimate, decimals: int) -> tuple[str, str]:
    """Return a value times 100 and what stands behind it: ``±``, or both ends if they are not as far from it."""
    value, low, high = (100 * number for number in (estimate.value, estimate.low, estimate.high))
    number = f"{value:z.{decimals}f}"
    if not math.isfinite(high - low):
        return number, ""
    if math.isclose(value - low, high - value, abs_tol=1e-6):
        return number, f"± {high - value:.{decimals}f}"
    return number, f"[{low:z.{decimals}f}, {high:z.{decimals}f}]"


def write_estimate(claim: Claim, estimate: Estimate) -> str:
    """Write what a claim rests on: its estimate in its unit, the interval, and the interval's level if not 95 %.

    Example:
        >>> claim = Claim("C1-test", "one beats two", "greater", "one", "two")
        >>> write_estimate(claim, Estimate(0.02, -0.01, 0.05, 5))
        '2.0 ± 3.0 points'
        >>> write_estimate(claim, Estimate(0.02, -0.02, 0.06, 5, 0.975))
        '2.0 ± 4.0 points (at 97.5 %)'
    """
    level = "" if estimate.level == USUAL else f" (at {100 * estimate.level:.1f} %)"
    if claim.kind == "every_seed":
        return f"{round(estimate.value * estimate.num_seeds)} of {counted(estimate.num_seeds, 'seed')}{level}"
    if claim.measure not in POINTS:
        return f"{estimate}{level}"
    value, bracket, rest = write_difference(estimate).partition(" (")
    return f"{value} points{bracket}{rest}{level}"


def write_margin(claim: Claim, margin: float) -> str:
    """Write the margin of a claim in its unit.

    Example:
        >>> write_margin(Claim("C1-test", "one beats two", "greater", "one", "two"), 0.003)
        '0.3 points'
    """
    return f"{100 * margin:g} point{'' if margin == 0.01 else 's'}" if claim.measure in POINTS else f"{margin:g}"
