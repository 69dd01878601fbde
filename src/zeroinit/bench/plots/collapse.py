"""Predicted against seen values: points on the diagonal are predicted well."""

import pandas as pd
from matplotlib.axes import Axes

from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import color_of

__all__ = ["COLLAPSE_COLUMNS", "collapse_chart"]

COLLAPSE_COLUMNS = ("label", "predicted", "seen")


def collapse_chart(frame: pd.DataFrame, axes: Axes, *, quantity: str) -> Axes:
    """Draw one point per row, predicted against seen, and the diagonal. Points of the last label are filled.

    Args:
        frame: Columns ``label``, ``predicted`` and ``seen``.
        axes: Where to draw.
        quantity: Name of the predicted quantity.

    Returns:
        The same axes.

    Raises:
        InputError: A column is missing or there is no row.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> frame = pd.DataFrame({"label": ["fit", "held out"], "predicted": [0.1, 0.2], "seen": [0.1, 0.3]})
        >>> collapse_chart(frame, new_figure()[1], quantity="Loss").get_xlabel()
        'Loss, predicted'
    """
    with styled(frame, COLLAPSE_COLUMNS):
        labels = list(dict.fromkeys(frame["label"]))
        low = min(frame["predicted"].min(), frame["seen"].min(), 0.0)
        high = max(frame["predicted"].max(), frame["seen"].max())
        axes.plot([low, high], [low, high], color="#8a8a8a", linewidth=0.8, label="_diagonal")
        for label in labels:
            part, color = frame[frame["label"] == label], color_of(label, labels)
            face = color if label == labels[-1] else "none"
            axes.scatter(part["predicted"], part["seen"], s=22, facecolors=face, edgecolors=color, label=label)
        axes.set(xlabel=f"{quantity}, predicted", ylabel=f"{quantity}, seen")
        axes.legend(loc="upper left")
    return axes
