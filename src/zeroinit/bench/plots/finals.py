"""Final accuracies or differences side by side: a dot with its interval for each, and the published value beside it."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import FEW, SOFT, color_of
from zeroinit.bench.plots.ticks import in_percent, points

__all__ = ["FINAL_COLUMNS", "final_accuracies", "reach_of"]

FINAL_COLUMNS = ("label", "mean", "low", "high", "published", "seeds")

OUTLIERS = 2.0
"""Means farther from the middle half than this number of interquartile ranges do not stretch the axis."""


def final_accuracies(
    frame: pd.DataFrame,
    axes: Axes,
    *,
    xlabel: str = "Final test accuracy (%)",
    bounded: bool = True,
    is_share: bool = True,
    title: str = "",
    labels: Sequence[str] | None = None,
    reach: tuple[float, float] | None = None,
) -> Axes:
    """Draw one dot and interval per row, the first on top; an open diamond marks the published value.

    Dots of fewer than five seeds are hollow. The number of seeds stands at the right edge.

    Args:
        frame: One row per curve, with the columns ``label``, ``mean``, ``low``, ``high``, ``published`` and ``seeds``;
            NaN bounds draw no interval, a NaN published value no diamond. With a column ``row``, all labels of a row
            stand on it, one above the other.
        axes: Where to draw.
        xlabel: Name of what is measured.
        bounded: Cut intervals at 0 and 1.
        is_share: Write the axis in percent or points.
        title: Above the axes.
        labels: All labels, for their colors; those of the frame if ``None``.
        reach: Ends of the axis. What lies beyond is an arrow, with numbers if it is a mean.

    Returns:
        The same axes.

    Raises:
        InputError: A column is missing or there is no row.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> row = {"label": "Normal", "mean": 0.9, "low": 0.8, "high": 1.0, "published": 0.97, "seeds": 5}
        >>> [label.get_text() for label in final_accuracies(pd.DataFrame([row]), new_figure()[1]).get_yticklabels()]
        ['Normal']
    """
    with styled(frame, FINAL_COLUMNS):
        _draw(frame, axes, bounded, list(dict.fromkeys(frame["label"])) if labels is None else list(labels), reach)
        if is_share:
            in_percent(axes.xaxis)
        axes.set(xlabel=xlabel, title=title)
        axes.grid(axis="y", visible=False)
    return axes


def reach_of(frame: pd.DataFrame) -> tuple[float, float] | None:
    """Return the ends of an axis that shows most rows well; ``None`` if it can show all of them.

    The axis ends where outliers begin, by the interquartile range of the means. It shows half of all intervals whole.

    Example:
        >>> wide = pd.DataFrame({"mean": [-0.2, 0.0, 0.0, 0.2, -9.0], "low": [-1.0] * 4 + [-9.9], "high": [1.0] * 5})
        >>> reach_of(wide), reach_of(wide[:4])
        ((-1.0, 1.0), None)
    """
    low, high = frame["low"].fillna(frame["mean"]), frame["high"].fillna(frame["mean"])
    first, third = frame["mean"].quantile(0.25), frame["mean"].quantile(0.75)
    far = OUTLIERS * (third - first)
    fences = min(first - far, low.median()), max(third + far, high.median())
    ends = min(max(fences[0], low.min()), 0.0), max(min(fences[1], high.max()), 0.0)
    if high.max() - low.min() <= 2.5 * (ends[1] - ends[0]):
        return None
    return round(float(ends[0]), 6), round(float(ends[1]), 6)


def _draw(frame: pd.DataFrame, axes: Axes, bounded: bool, labels: list[str], reach: tuple[float, float] | None) -> None:
    rows = list(dict.fromkeys(frame["row" if "row" in frame else "label"]))
    num_starts = frame["label"].nunique() if "row" in frame else 0
    apart = 0.64 / max(num_starts, 1)
    if reach:
        axes.set_xlim(reach)
    for place, entry in enumerate(frame.to_dict("records")):
        height = float(place)
        if num_starts:
            own = list(frame["label"][frame["row"] == entry["row"]])
            height = rows.index(entry["row"]) + apart * (own.index(entry["label"]) - (len(own) - 1) / 2)
        _mark(
            axes,
            entry,
            height,
            color_of(entry["label"], labels),
            bounded,
            f"curve-{labels.index(entry['label'])}-final",
        )
        axes.annotate(
            str(entry["seeds"]),
            (1, height),
            (9, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=8 if num_starts > 1 else 9,
            color=SOFT,
        )
    axes.annotate("seeds", (1, 1), (3, 2), xycoords="axes fraction", textcoords="offset points", fontsize=8, color=SOFT)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.6)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, handletextpad=0.2)


def _mark(axes: Axes, entry: dict[Any, Any], height: float, color: str, bounded: bool, gid: str) -> None:
    mean, low, high = entry["mean"], entry["low"], entry["high"]
    first, last = axes.get_xlim() if axes.get_autoscalex_on() is False else (-math.inf, math.inf)
    if not first <= mean <= last:
        _arrow(axes, (mean, low, high), height, color, first if mean < first else last)
        return
    if not math.isnan(low):
        bounds = [max(low, first, 0.0 if bounded else -math.inf), min(high, last, 1.0 if bounded else math.inf)]
        axes.plot(bounds, [height, height], color=color, linewidth=1.8, solid_capstyle="butt", gid=gid)
        for end, marker, is_beyond in ((first, "<", low < first), (last, ">", high > last)):
            if is_beyond:
                axes.plot([end], [height], marker, color=color, markersize=6, clip_on=False)
    face: dict[str, Any] = {"markerfacecolor": "#ffffff", "markeredgewidth": 1.5} if entry["seeds"] < FEW else {}
    axes.plot([mean], [height], "o", color=color, markersize=6, gid=gid, **face)
    if not math.isnan(entry["published"]):
        label = "_" if axes.get_legend_handles_labels()[1] else "the paper's"
        diamond: dict[str, Any] = {"color": "#ffffff", "markeredgecolor": SOFT, "markersize": 5}
        axes.plot([entry["published"]], [height - 0.22], "D", label=label, gid=gid, **diamond)


def _arrow(axes: Axes, values: tuple[float, float, float], height: float, color: str, edge: float) -> None:
    """Draw an arrow at an edge of the axis, with the numbers that lie beyond it."""
    is_left = edge == axes.get_xlim()[0]
    axes.plot([edge], [height], "<" if is_left else ">", color=color, markersize=6, clip_on=False)
    axes.annotate(
        points(*values),
        (edge, height),
        (7 if is_left else -7, 0),
        textcoords="offset points",
        ha="left" if is_left else "right",
        va="center",
        fontsize=8.5,
        color=color,
    )
