"""Axes in percent or points, for values that are shares of 1."""

import math

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, NullFormatter

__all__ = ["in_percent", "plain_powers", "points"]


def in_percent(axis: Axis) -> None:
    """Write the values of an axis, shares of 1, in percent or points.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> axes = new_figure()[1]
        >>> in_percent(axes.xaxis)
        >>> axes.xaxis.get_major_formatter()(-0.025)
        '−2.5'
    """
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:z.6g}".replace("-", "−")))


def plain_powers(axis: Axis) -> None:
    """Write the powers of ten of a logarithmic axis as numbers.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> axes = new_figure()[1]
        >>> plain_powers(axes.xaxis)
        >>> axes.xaxis.get_major_formatter()(1000.0)
        '1,000'
    """
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def points(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """Write a difference in points with its sign, and half the length of its interval.

    Example:
        >>> points(-0.0533), points(0.0004, -0.0006, 0.0014)
        ('−5.3', '0.0 ± 0.1')
    """
    text = f"{100 * value:+z.1f}".replace("-", "−").replace("+0.0", "0.0")
    return text if math.isnan(high - low) else f"{text} ± {50 * (high - low):.1f}"
