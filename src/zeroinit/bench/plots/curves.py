"""Accuracy by epoch: a line for the mean and a band for its interval."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import color_of

__all__ = ["CURVE_COLUMNS", "accuracy_curves"]

CURVE_COLUMNS = ("label", "epoch", "mean", "low", "high")


def accuracy_curves(frame: pd.DataFrame, axes: Axes, *, title: str = "", ylabel: str = "Test accuracy") -> Axes:
    """Draw one line per label, in the order in which the labels first appear, with a band from low to high.

    Args:
        frame: One row per label and epoch, with the columns ``label``, ``epoch``, ``mean``, ``low`` and ``high``;
            NaN bounds draw no band.
        axes: Where to draw.
        title: Above the axes.
        ylabel: Name of what is measured.

    Returns:
        The same axes.

    Raises:
        InputError: A column is missing or there is no row.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> frame = pd.DataFrame({"label": ["Normal"] * 2, "epoch": [1, 2], "mean": [0.8, 0.9], "low": [0.7, 0.8],
        ...     "high": [0.9, 1.0]})
        >>> [line.get_label() for line in accuracy_curves(frame, new_figure()[1]).lines]
        ['Normal']
    """
    with styled(frame, CURVE_COLUMNS):
        _draw(frame, axes)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(ylabel)
        axes.set_title(title)
        axes.legend(loc="best")
    return axes


def _draw(frame: pd.DataFrame, axes: Axes) -> None:
    labels = list(dict.fromkeys(frame["label"]))
    for label in labels:
        rows = frame[frame["label"] == label].sort_values("epoch")
        color = color_of(label, labels)
        marker = "o" if len(rows) <= 30 else ""
        axes.plot(rows["epoch"], rows["mean"], color=color, label=label, marker=marker)
        if rows["low"].notna().any():
            axes.fill_between(
                rows["epoch"], rows["low"].clip(0, 1), rows["high"].clip(0, 1), color=color, alpha=0.16, linewidth=0
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
