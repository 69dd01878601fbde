"""Distributions by update step: marks of quantiles on a signed logarithmic scale that includes zero."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import color_of

__all__ = ["QUANTILE_COLUMNS", "gradient_quantiles"]

QUANTILE_COLUMNS = ("label", "step", "is_zero", "q0", "q5", "q25", "q50", "q75", "q95", "q100")

_REACHES = (("q0", "q100", 0.8), ("q5", "q95", 2.2), ("q25", "q75", 6.5))
"""Bars from thin (all values) to thick (the middle half): lower end, upper end, width in points."""


def gradient_quantiles(
    frame: pd.DataFrame,
    axes: Axes,
    *,
    labels: Sequence[str] | None = None,
    smallest: float = 1e-6,
    title: str = "",
    ylabel: str = "",
) -> Axes:
    """Draw one mark per label and step: a box over the middle half, lines over 90 % and over all, a tick at the median.

    A hollow circle on the line of zero says that every entry is exactly zero.

    Args:
        frame: One row per label and step, with the columns ``QUANTILE_COLUMNS``; rows with NaN are left out.
        axes: Where to draw.
        labels: All labels, in the order of their marks; those of the frame if ``None``.
        smallest: Values nearer to zero than this are drawn on a linear scale.
        title: Above the axes.
        ylabel: Name of what is measured.

    Returns:
        The same axes.

    Raises:
        InputError: A column is missing or there is no row.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> row = {"label": "Normal", "step": 1, "is_zero": True} | dict.fromkeys(QUANTILE_COLUMNS[3:], 0.0)
        >>> gradient_quantiles(pd.DataFrame([row]), new_figure()[1], title="Layer 1").get_title(loc="left")
        'Layer 1'
    """
    with styled(frame, QUANTILE_COLUMNS):
        chosen = list(dict.fromkeys(frame["label"])) if labels is None else list(labels)
        axes.set_yscale("symlog", linthresh=smallest, linscale=0.6)
        axes.axhline(0, color="#8a8a8a", linewidth=0.8, zorder=1)
        for label in chosen:
            _draw(frame[frame["label"] == label], axes, label, chosen)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(frame["step"].min() - 0.6, frame["step"].max() + 0.6)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value, smallest)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="x", visible=False)
        axes.set_title(title)
        axes.set_xlabel("Update step")
        axes.set_ylabel(ylabel)
    return axes


def _draw(rows: pd.DataFrame, axes: Axes, label: str, labels: list[str]) -> None:
    color = color_of(label, labels)
    shift = 0.34 * (labels.index(label) - (len(labels) - 1) / 2)
    zero, other = rows[rows["is_zero"]], rows[~rows["is_zero"]].dropna()
    for low, high, width in _REACHES:
        alpha = 0.45 if width > 5 else 1.0
        axes.vlines(other["step"] + shift, other[low], other[high], color=color, linewidth=width, alpha=alpha, zorder=2)
    tick: dict[str, Any] = {"marker": "_", "markersize": 8, "markeredgewidth": 1.4, "linestyle": "none"}
    axes.plot(other["step"] + shift, other["q50"], color=color, zorder=4, label=f"_{label}: median", **tick)
    axes.plot([], [], color=color, linewidth=6.5, alpha=0.6, label=label)  # for the legend
    circle: dict[str, Any] = {"marker": "o", "markersize": 5.5, "linestyle": "none", "markerfacecolor": "#ffffff"}
    if len(zero):
        axes.plot(zero["step"] + shift, [0.0] * len(zero), color=color, zorder=3, label=f"{label}: exactly 0", **circle)


def _power(value: float, smallest: float) -> str:
    """Write every second power of ten with its sign, and zero. Values too near to zero get no label.

    Example:
        >>> _power(-0.01, 1e-6), _power(0.0, 1e-6), _power(1e-6, 1e-6)
        ('$-10^{-2}$', '0', '')
    """
    if value == 0:
        return "0"
    exponent = round(math.log10(abs(value)))
    return f"${'-' if value < 0 else ''}10^{{{exponent}}}$" if exponent % 2 == 0 and abs(value) > smallest else ""
