"""Accuracy by epoch: a thick line for the mean, a band for its interval, a thin line for each seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import color_of
from zeroinit.bench.plots.ticks import in_percent

__all__ = ["CURVE_COLUMNS", "accuracy_curves"]

CURVE_COLUMNS = ("label", "epoch", "mean", "low", "high")
APART = 2.4
"""Points between curves that would lie on each other."""


def accuracy_curves(
    frame: pd.DataFrame,
    axes: Axes,
    *,
    seeds: pd.DataFrame | None = None,
    labels: Sequence[str] | None = None,
    title: str = "",
    xlabel: str = "Epoch",
    ylabel: str = "Test accuracy (%)",
) -> Axes:
    """Draw one line per label, in the order in which the labels first appear, with a band from low to high.

    A curve that lies on another one is drawn beside it.

    Args:
        frame: One row per label and epoch, with the columns ``label``, ``epoch``, ``mean``, ``low`` and ``high``;
            NaN bounds draw no band.
        axes: Where to draw.
        seeds: One row per label, ``seed`` and epoch with its ``accuracy``: thin lines.
        labels: All labels, for their colors; those of the frame if ``None``.
        title: Above the axes.
        xlabel: Name of the column ``epoch``.
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
        chosen = list(dict.fromkeys(frame["label"])) if labels is None else list(labels)
        for label in dict.fromkeys(frame["label"]):
            place = chosen.index(label)
            rows = frame[frame["label"] == label].sort_values("epoch")
            if seeds is not None:
                _draw_seeds(seeds[seeds["label"] == label], axes, color_of(label, chosen), place)
            _draw(rows, axes, color_of(label, chosen), place)
        _part_equal_lines(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        in_percent(axes.yaxis)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return axes


def _draw(rows: pd.DataFrame, axes: Axes, color: str, place: int) -> None:
    marker = "o" if len(rows) <= 30 else ""
    (line,) = axes.plot(rows["epoch"], rows["mean"], color=color, label=rows["label"].iloc[0], marker=marker, zorder=3)
    line.set_gid(f"curve-{place}-mean")
    if rows["low"].notna().any():
        low, high = rows["low"].clip(0, 1), rows["high"].clip(0, 1)
        band = axes.fill_between(rows["epoch"], low, high, color=color, alpha=0.16, linewidth=0)
        band.set_gid(f"curve-{place}-band")


def _draw_seeds(rows: pd.DataFrame, axes: Axes, color: str, place: int) -> None:
    """Draw all seeds as one artist: hundreds of lines would take most of the time of a report."""
    rows = rows.sort_values("seed", kind="stable")
    ends = np.flatnonzero(np.diff(rows["seed"])) + 1
    lines = np.split(rows[["epoch", "accuracy"]].to_numpy(float), ends) if len(rows) else []
    look: dict[str, Any] = {"linewidths": 0.6, "alpha": 0.55 if len(lines) <= 10 else 0.25, "zorder": 2}
    seeds = LineCollection(lines, colors=color, label="_seed", capstyle="projecting", joinstyle="round", **look)
    if lines:
        axes.add_collection(seeds).set_gid(f"curve-{place}-seed")


def _part_equal_lines(axes: Axes) -> None:
    """Move each mean that lies on the means before it a little up, so that all of them can be seen."""
    means = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    span = axes.get_ylim()[1] - axes.get_ylim()[0]
    for place, line in enumerate(means):
        heights = np.asarray(line.get_ydata())
        others = [np.asarray(other.get_ydata()) for other in means[:place]]
        same = [each for each in others if len(each) == len(heights) and abs(each - heights).max() < 0.004 * span]
        if same:
            shift = ScaledTranslation(0, APART * len(same) / 72, axes.figure.dpi_scale_trans)
            line.set_transform(line.get_transform() + shift)
