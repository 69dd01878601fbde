"""One style for every figure: the style file, colors for every kind of color vision, saving."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zeroinit._common import InputError

__all__ = ["STYLE", "color_of", "new_figure", "new_grid", "new_panels", "new_rows", "save_figure"]

STYLE = str(files("zeroinit.bench.plots").joinpath("zeroinit.mplstyle"))

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#5B4B8A")
_FIXED = {"Logistic regression": "#777777", "PyTorch default": "#222222"}


def color_of(label: str, labels: Sequence[str]) -> str:
    """Return the color of one of the drawn labels: gray and black for references, others by their place.

    Example:
        >>> color_of("PyTorch default", ["PyTorch default", "Normal"])
        '#222222'
    """
    if label in _FIXED:
        return _FIXED[label]
    free = [other for other in labels if other not in _FIXED]
    return _COLORS[free.index(label) % len(_COLORS)]


def new_figure(width: float = 6.4, height: float = 3.9) -> tuple[Figure, Axes]:
    """Return a figure of one axes in the project's style, drawn without a screen (size in inches)."""
    with plt.style.context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def new_panels(ratios: Sequence[float | int], width: float = 9.6, height: float = 3.9) -> tuple[Figure, list[Axes]]:
    """Return a figure of one row of axes with widths in these ratios (size in inches).

    Example:
        >>> len(new_panels([2, 1])[1])
        2
    """
    with plt.style.context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(1, len(ratios), width_ratios=list(ratios), squeeze=False)
        return figure, list(axes[0])


def new_rows(
    rows: int, ratios: Sequence[float | int], width: float, row_height: float, title: str = ""
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of rows of axes with widths in these ratios, each with its own scales (size in inches).

    Example:
        >>> [len(row) for row in new_rows(2, [3, 2], 9.6, 3.0)[1]]
        [2, 2]
    """
    with plt.style.context(STYLE):
        figure = Figure(figsize=(width, row_height * rows), layout="constrained")
        axes = figure.subplots(rows, len(ratios), width_ratios=list(ratios), squeeze=False)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        return figure, [list(row) for row in axes]


def new_grid(rows: int, columns: int, width: float, height: float, title: str = "") -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of equal axes in rows and columns that share their scales (size in inches).

    Example:
        >>> figure, grid = new_grid(2, 3, 9.6, 5.0)
        >>> len(grid), len(grid[0])
        (2, 3)
    """
    with plt.style.context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        return figure, [list(row) for row in axes]


def save_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``<name>.svg`` and ``<name>.png``; equal figures give equal files.

    Returns:
        The two paths.

    Raises:
        InputError: The folder cannot be written to.
    """
    paths = folder / f"{name}.svg", folder / f"{name}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with plt.style.context(STYLE), matplotlib.rc_context({"savefig.bbox": None}):
            figure.savefig(paths[0], metadata={"Date": None})
            figure.savefig(paths[1], metadata={"Software": None})
    except OSError as error:
        raise InputError(
            f"cannot write figures to {folder}: {error.strerror}; choose a folder that can be written to"
        ) from error
    return paths
