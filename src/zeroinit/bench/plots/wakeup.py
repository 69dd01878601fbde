"""The wake-up chart: layers by update steps, colored by the cause of the layer's first gradient."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from zeroinit._common import InputError
from zeroinit.bench.plots.frames import styled
from zeroinit.bench.plots.style import EMPTY, INK

__all__ = ["CAUSE_COLORS", "WAKE_COLUMNS", "first_gradient_grid", "wake_up_chart", "wake_up_legend"]

WAKE_COLUMNS = ("layer", "name", "step", "cause", "num_steps")
CAUSE_COLORS = {"signal": "#0072B2", "rounding": "#E69F00", "unclear": "#CC79A7", "never": "#ffffff"}
_MEANINGS = {
    "signal": "a signal, the same in float64",
    "rounding": "rounding, vanishes in float64",
    "unclear": "neither is clear",
    "later": "exactly zero so far",
}


def wake_up_chart(frame: pd.DataFrame, axes: Axes, *, title: str = "") -> Axes:
    """Draw one bar per layer, the input at the bottom: pale until the first gradient, then in the color of its cause.

    Args:
        frame: One row per layer, with the columns ``WAKE_COLUMNS``. ``layer`` counts from 1 at the input. ``step`` is
            the step of the first gradient, NaN if there is none. ``cause`` is a key of ``CAUSE_COLORS``. ``num_steps``
            is how many steps there were.
        axes: Where to draw.
        title: Above the axes.

    Returns:
        The same axes.

    Raises:
        InputError: A column is missing, there is no row, or a cause is unknown.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> frame = pd.DataFrame([(1, "stem", 3, "signal", 8)], columns=WAKE_COLUMNS)
        >>> len(wake_up_chart(frame, new_figure()[1]).patches)
        2
    """
    with styled(frame, WAKE_COLUMNS):
        unknown = sorted(set(frame["cause"]) - set(CAUSE_COLORS))
        if unknown:
            raise InputError(f"frame: has the causes {unknown}; must be of {list(CAUSE_COLORS)}")
        last = int(frame["num_steps"].max())
        begin = frame["step"].fillna(last + 1)
        colors = [CAUSE_COLORS[cause] for cause in frame["cause"]]
        axes.barh(frame["layer"], begin - 1, left=0.5, height=0.86, color=EMPTY)
        axes.barh(frame["layer"], last + 1 - begin, left=begin - 0.5, height=0.86, color=colors)
        axes.set_xlim(0.5, last + 0.5)
        axes.set_ylim(0.3, frame["layer"].max() + 0.7)
        axes.set_xticks([1, *range(4, last + 1, 4)])
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_title(title)
        axes.set_xlabel("Update step")
    return axes


def wake_up_legend() -> list[Patch]:
    """Return one patch for each color, with what it means."""
    return [Patch(color=CAUSE_COLORS.get(cause, EMPTY), label=text) for cause, text in _MEANINGS.items()]


def first_gradient_grid(received: np.ndarray, axes: Axes, *, color: str, title: str = "") -> Axes:
    """Draw one cell per layer and update step, the input at the bottom: filled where the layer has a gradient.

    Args:
        received: Whether a layer has a gradient at a step (layers, steps), the input first.
        axes: Where to draw.
        color: Of the filled cells.
        title: Above the axes.

    Returns:
        The same axes.

    Example:
        >>> from zeroinit.bench.plots import new_figure
        >>> len(first_gradient_grid(np.eye(2, dtype=bool), new_figure()[1], color="#0072B2").patches)
        4
    """
    num_layers, num_steps = received.shape
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    for (layer, step), has_gradient in np.ndenumerate(received):
        face = color if has_gradient else EMPTY
        cell = Rectangle((step + 0.55, layer + 0.55), 0.9, 0.9, facecolor=face, linewidth=0, gid=f"step-{step + 1}")
        axes.add_patch(cell)
    axes.set(xlim=(0.5, num_steps + 0.5), ylim=(0.5, num_layers + 0.5), xlabel="Update step")
    axes.set_xticks(range(1, num_steps + 1))
    axes.set_yticks(range(1, num_layers + 1))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return axes
