"""What a drawing shows, as numbers: for a page on which a reader can point at it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from zeroinit.bench.plots.style import EMPTY, boxes_for_missing_glyphs

__all__ = ["chart_data"]

DIGITS = 5


def chart_data(figure: Figure) -> dict[str, list[dict[str, Any]]]:
    """Return the curves of each axes with their place in the SVG file, and the cells of each grid of first gradients.

    Returns:
        ``panels``: ``box`` (left, top, right, bottom in the file's units), ``limits`` of the horizontal axis,
        ``xlabel`` and ``curves``, each with the number of its start, its label and its points. ``grids``: the title,
        the number of layers, and how many of them have a gradient at each step.

    Example:
        >>> from zeroinit.bench.plots import accuracy_curves, new_figure
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"label": ["A"] * 2, "epoch": [1, 2], "mean": [0.5, 0.9], "low": 0.5, "high": 0.9})
        >>> figure, axes = new_figure()
        >>> chart_data(accuracy_curves(frame, axes).figure)["panels"][0]["curves"]
        [{'start': 0, 'label': 'A', 'x': [1, 2], 'y': [0.5, 0.9]}]
    """
    with boxes_for_missing_glyphs():
        figure.draw_without_rendering()
    panels = [_panel(figure, axes) for axes in figure.axes if _curves(axes)]
    return {"panels": panels, "grids": [_grid(axes) for axes in figure.axes if _cells(axes)]}


def _curves(axes: Axes) -> list[dict[str, Any]]:
    found = []
    for line in axes.lines:
        start, _, part = str(line.get_gid()).removeprefix("curve-").partition("-")
        if part == "mean":
            x, y = (np.round(np.asarray(each, float), DIGITS).tolist() for each in (line.get_xdata(), line.get_ydata()))
            x = [int(each) if each == int(each) else each for each in x]
            found.append({"start": int(start), "label": str(line.get_label()), "x": x, "y": y})
    return found


def _panel(figure: Figure, axes: Axes) -> dict[str, Any]:
    box, scale, height = axes.get_window_extent(), 72 / figure.dpi, 72 * figure.get_figheight()
    corners = (box.x0 * scale, height - box.y1 * scale, box.x1 * scale, height - box.y0 * scale)
    return {
        "box": [round(float(each), 2) for each in corners],
        "limits": [round(float(each), DIGITS) for each in axes.get_xlim()],
        "xlabel": axes.get_xlabel(),
        "curves": _curves(axes),
    }


def _cells(axes: Axes) -> dict[int, list[bool]]:
    found: dict[int, list[bool]] = {}
    for cell in axes.patches:
        if str(cell.get_gid()).startswith("step-"):
            step = int(str(cell.get_gid()).removeprefix("step-"))
            found.setdefault(step, []).append(to_hex(cell.get_facecolor()) != EMPTY)
    return found


def _grid(axes: Axes) -> dict[str, Any]:
    cells = _cells(axes)
    counts = [sum(cells[step]) for step in sorted(cells)]
    return {"title": axes.get_title(loc="left"), "layers": len(cells[1]), "received": counts}
