"""Final accuracies side by side: a dot with its interval for each curve, and the published value beside it."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import color_of

__all__ = ["FINAL_COLUMNS", "final_accuracies"]

FINAL_COLUMNS = ("label", "mean", "low", "high", "published")


def final_accuracies(
    frame: pd.DataFrame, axes: Axes, *, xlabel: str = "Final test accuracy", bounded: bool = True
) -> Axes:
    """Draw one dot and interval per row, the first on top; an open diamond marks the published value.

    Args:
        frame: One row per curve, with the columns ``label``, ``mean``, ``low``, ``high`` and ``published``; NaN
            bounds draw no interval, a NaN published value no diamond.
        axes: Where to draw.
        xlabel: Name of what is measured.
        bounded: Cut intervals at 0 and 1.

    Returns:
        The same axes.

    Raises:
        InputError: A column is missing or there is no row.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> frame = pd.DataFrame({"label": ["Normal"], "mean": [0.9], "low": [0.8], "high": [1.0], "published": [0.97]})
        >>> [label.get_text() for label in final_accuracies(frame, new_figure()[1]).get_yticklabels()]
        ['Normal']
    """
    with styled(frame, FINAL_COLUMNS):
        _draw(frame, axes, bounded)
        axes.set_xlabel(xlabel)
        axes.grid(axis="y", visible=False)
    return axes


def _draw(frame: pd.DataFrame, axes: Axes, bounded: bool) -> None:
    labels = list(frame["label"])
    for place, row in enumerate(frame.to_dict("records")):
        color = color_of(row["label"], labels)
        if not math.isnan(row["low"]):
            bounds = [max(row["low"], 0.0), min(row["high"], 1.0)] if bounded else [row["low"], row["high"]]
            axes.plot(bounds, [place, place], color=color, linewidth=1.8, solid_capstyle="butt")
        axes.plot([row["mean"]], [place], "o", color=color, markersize=6)
        if not math.isnan(row["published"]):
            label = "_" if axes.get_legend_handles_labels()[1] else "the paper's"
            diamond: dict[str, Any] = {"color": "white", "markeredgecolor": "#444444", "markersize": 5}
            axes.plot([row["published"]], [place - 0.22], "D", label=label, **diamond)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.6)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
