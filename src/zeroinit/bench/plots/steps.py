"""A quantity by update step, on a logarithmic scale of steps."""

import pandas as pd
from matplotlib.axes import Axes

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import OTHERS, color_of
from zeroinit.bench.plots.ticks import in_percent, plain_powers

__all__ = ["STEP_COLUMNS", "step_curves"]

STEP_COLUMNS = ("label", "step", "value")


def step_curves(
    frame: pd.DataFrame, axes: Axes, *, labels: list[str], ylabel: str, title: str = "", is_share: bool = False
) -> Axes:
    """Draw one line per label. Curves that the figure does not name are thin and gray.

    Args:
        frame: Columns ``label``, ``step`` (from 1) and ``value``.
        axes: Where to draw.
        labels: All labels of the figure, for their colors.
        ylabel: Name of what is measured.
        title: One line.
        is_share: Values are shares of 1, drawn from 0 to 100 % on a linear scale. Else the scale is logarithmic, and
            values of 0 (such as the rank of a zero weight) are left out.

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
        shown = frame if is_share else frame[frame["value"] > 0]
        for label, part in shown.groupby("label", sort=False):
            color = color_of(str(label), labels)
            (line,) = axes.plot(part["step"], part["value"], "o-", color=color, label=label, markersize=3, zorder=3)
            if color == OTHERS:
                line.set(linewidth=0.9, marker="", zorder=1)
        axes.set(xscale="log", title=title, xlabel="Update step", ylabel=ylabel)
        if is_share:
            axes.set_ylim(-0.03, 1.03)
            in_percent(axes.yaxis)
        else:
            axes.set_yscale("log")
            plain_powers(axes.yaxis)
        plain_powers(axes.xaxis)
    return axes
