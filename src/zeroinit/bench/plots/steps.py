"""A quantity by update step, on logarithmic scales."""

import pandas as pd
from matplotlib.axes import Axes

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import color_of

__all__ = ["STEP_COLUMNS", "step_curves"]

STEP_COLUMNS = ("label", "step", "value")


def step_curves(frame: pd.DataFrame, axes: Axes, *, labels: list[str], ylabel: str, title: str = "") -> Axes:
    """Draw one line per label; values of 0 (such as the rank of a zero weight) are left out.

    Args:
        frame: Columns ``label``, ``step`` (from 1) and ``value``.
        axes: Where to draw.
        labels: All labels of the figure, for their colors.
        ylabel: Name of what is measured.
        title: One line.

    Returns:
        The same axes.

    Raises:
        InputError: A column is missing or there is no row.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> frame = pd.DataFrame({"label": ["Normal"] * 2, "step": [2, 10], "value": [1.0, 2.1]})
        >>> len(step_curves(frame, new_figure()[1], labels=["Normal"], ylabel="Effective rank").lines)
        1
    """
    with styled(frame, STEP_COLUMNS):
        for label, part in frame[frame["value"] > 0].groupby("label", sort=False):
            axes.plot(part["step"], part["value"], "o-", color=color_of(str(label), labels), label=label, markersize=3)
        axes.set(xscale="log", yscale="log", title=title, xlabel="Update step", ylabel=ylabel)
    return axes
