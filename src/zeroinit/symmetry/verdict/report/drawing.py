"""The wake-up chart: parameters by steps."""

from typing import TYPE_CHECKING

import numpy as np

from zeroinit._imports import import_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from zeroinit.symmetry.verdict.report.report import SymmetryReport  # for checkers alone: the report calls this file

__all__ = ["draw_wake_up"]

MOST_ROWS = 60
LEAST = -12


def draw_wake_up(report: "SymmetryReport", axes: "Axes | None" = None) -> "Axes":
    """Draw the size of each weight's gradient at each step; blank where it is zero.

    Args:
        report: What ``inspect`` returned.
        axes: Where to draw; a new figure if ``None``.

    Returns:
        The axes, input at the top, at most 60 weights.
    """
    plt = import_extra("matplotlib.pyplot", "bench")
    shown = [each for each in report.parameters if len(each.shape) > 1 and each.reason != "frozen"]
    shown = (shown or list(report.parameters))[:MOST_ROWS]
    sizes = np.array([each.gradients for each in shown], dtype=float).reshape(len(shown), -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.where(sizes > 0, np.clip(np.log10(sizes), LEAST, None), np.nan)
    if axes is None:
        _, axes = plt.subplots(figsize=(2 + 0.4 * sizes.shape[1], 1 + 0.25 * len(shown)), layout="constrained")
    extent = (0.5, sizes.shape[1] + 0.5, len(shown) - 0.5, -0.5)
    image = axes.imshow(decades, aspect="auto", interpolation="nearest", cmap="viridis", extent=extent)
    axes.set_yticks(range(len(shown)), [each.name for each in shown], fontsize="small", parse_math=False)
    axes.set_xlabel("update step")
    axes.set_title(f"{report.model}: first gradients of the weights", fontsize="medium", parse_math=False)
    axes.figure.colorbar(image, ax=axes, label="log10 of the largest gradient")
    return axes
