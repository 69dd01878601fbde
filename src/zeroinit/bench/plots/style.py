"""One style for every figure: the style file, colors for every kind of color vision, a dark form, saving."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from zeroinit._common import write_atomically
from zeroinit.bench.labels import ALL_ZERO, BASELINE, NORMAL, PYTORCH, UNIFORM, ZERO_START, split_label

__all__ = [
    "EMPTY",
    "FEW",
    "INK",
    "OTHERS",
    "SOFT",
    "STYLE",
    "boxes_for_missing_glyphs",
    "color_of",
    "dark_rules",
    "in_dark",
    "is_named",
    "new_figure",
    "new_grid",
    "new_panels",
    "new_rows",
    "save_figure",
    "text_width",
]

STYLE = str(files("zeroinit.bench.plots").joinpath("zeroinit.mplstyle"))
FEW = 5
"""With fewer seeds marks are hollow, and curves have no band."""

INK, SOFT, OTHERS = "#222222", "#595959", "#8a8a8a"
EMPTY = "#eeeeee"
"""Of what has no gradient yet."""
_PAGE, _GRID = "#ffffff", "#dddddd"
_COLORS = ("#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#5B4B8A", "#0072B2", "#D55E00", "#009E73")
_FIXED = {
    BASELINE: "#777777",
    PYTORCH: INK,
    NORMAL: "#D55E00",
    UNIFORM: "#009E73",
    ZERO_START: "#0072B2",
    ALL_ZERO: "#8C6D31",
    "FNN zero": "#8C6D31",
    "CNN zero": "#CC79A7",
    f"{NORMAL} ×0.01": "#56B4E9",
    f"{NORMAL} ×100": "#CC79A7",
    "Biases ×1": "#D55E00",
    "Biases ×100": "#CC79A7",
    "default, orthogonal": "#E69F00",
    "default, orthonormal": "#E69F00",
}
"""The same start has one color in every figure."""

_DARK = {
    INK: "#e6edf3",
    SOFT: "#9fa9b3",
    OTHERS: "#7d8590",
    "#777777": "#a7afb8",
    _PAGE: "#0d1117",
    _GRID: "#30373f",
    EMPTY: "#2a313c",
    "#0072B2": "#56a8f5",
    "#D55E00": "#f08a4b",
    "#009E73": "#2fc79b",
    "#8C6D31": "#c9a66b",
    "#5B4B8A": "#a996e0",
}
"""What takes a color's place on a dark page."""


def color_of(label: str, labels: Sequence[str]) -> str:
    """Return the color of one of the drawn labels.

    Known starts have a fixed color. Others have one by their place. If there are more of these than colors, they are
    gray: then their names stand beside them. The network before a colon plays no part.

    Example:
        >>> labels = ["PyTorch's default", "mine"]
        >>> color_of("PyTorch's default", labels), color_of("mine", labels)
        ('#222222', '#CC79A7')
    """
    names = list(dict.fromkeys(split_label(each)[1] or each for each in labels))
    name = split_label(label)[1] or label
    if name in _FIXED:
        return _FIXED[name]
    free = [other for other in names if other not in _FIXED]
    taken = {_FIXED[other] for other in names if other in _FIXED}
    colors = [color for color in _COLORS if color not in taken]
    return OTHERS if len(free) > len(colors) else colors[free.index(name)]


def in_dark(color: str) -> str:
    """Return what takes a color's place on a dark page.

    Example:
        >>> in_dark(INK), in_dark("#E69F00")
        ('#e6edf3', '#E69F00')
    """
    return _DARK.get(color, color)


def is_named(label: str) -> bool:
    """Tell whether a start has a color of its own in every figure.

    Example:
        >>> is_named("MNIST FNN: zero start"), is_named("dropout")
        (True, False)
    """
    return (split_label(label)[1] or label) in _FIXED


@contextmanager
def boxes_for_missing_glyphs() -> Iterator[None]:
    """Draw a box for each character that the font lacks, without matplotlib's warning: names may be in any script."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ", UserWarning)
        yield


@boxes_for_missing_glyphs()
def text_width(text: str, size: float = 10.0, weight: str = "normal") -> float:
    """Return the width of a line in inches, without drawing it.

    Example:
        >>> 0.4 < text_width("PyTorch") < 0.7
        True
    """
    prop = matplotlib.font_manager.FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(TextPath((0, 0), text, prop=prop).get_extents().width) / 72 if text.strip() else 0.0


def new_figure(width: float = 6.4, height: float = 3.9, title: str = "", note: str = "") -> tuple[Figure, Axes]:
    """Return a figure of one axes in the project's style, drawn without a screen (size in inches)."""
    figure, rows = _new(1, [1], width, height, title, note)
    return figure, rows[0][0]


def new_panels(
    ratios: Sequence[float | int], width: float = 9.6, height: float = 3.9, title: str = "", note: str = ""
) -> tuple[Figure, list[Axes]]:
    """Return a figure of one row of axes with widths in these ratios (size in inches).

    Example:
        >>> len(new_panels([2, 1])[1])
        2
    """
    figure, rows = _new(1, ratios, width, height, title, note)
    return figure, rows[0]


def new_rows(
    rows: int, ratios: Sequence[float | int], width: float, row_height: float, title: str = "", note: str = ""
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of rows of axes with widths in these ratios, each with its own scales (size in inches).

    Example:
        >>> [len(row) for row in new_rows(2, [3, 2], 9.6, 3.0)[1]]
        [2, 2]
    """
    return _new(rows, ratios, width, row_height * rows, title, note)


def new_grid(
    rows: int, columns: int, width: float, height: float, title: str = "", note: str = ""
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of equal axes in rows and columns that share their scales (size in inches).

    Example:
        >>> figure, grid = new_grid(2, 3, 9.6, 5.0)
        >>> len(grid), len(grid[0])
        (2, 3)
    """
    return _new(rows, [1] * columns, width, height, title, note, sharex=True, sharey=True)


def _new(
    rows: int, ratios: Sequence[float | int], width: float, height: float, title: str, note: str, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure whose title and note stand above its axes, broken into lines that fit. ``height`` is theirs."""
    heads = [*_wrap(title, width - 0.2, 12, "bold")], [*_wrap(note, width - 0.2, 9.5, "normal")]
    head = 0.24 * len(heads[0]) + 0.2 * len(heads[1]) + (0.12 if title or note else 0.0)
    with plt.style.context(STYLE):
        figure = Figure(figsize=(width, height + head), layout="constrained")
        axes = figure.subplots(rows, len(ratios), width_ratios=list(ratios), squeeze=False, **shared)
        figure.get_layout_engine().set(rect=(0, 0, 1, height / (height + head)))  # type: ignore[union-attr, call-arg]
        place: dict[str, Any] = {"x": 0.1 / width, "ha": "left", "va": "top"}
        if title:
            top = 1 - 0.07 / (height + head)
            figure.suptitle("\n".join(heads[0]), y=top, fontsize=12, fontweight="bold", **place).set_in_layout(False)
        if note:
            below = 1 - (0.1 + 0.24 * len(heads[0])) / (height + head)
            figure.text(y=below, s="\n".join(heads[1]), fontsize=9.5, color=SOFT, in_layout=False, **place)
        return figure, [list(row) for row in axes]


def _wrap(text: str, width: float, size: float, weight: str) -> list[str]:
    """Break a text into lines of at most so many inches."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def dark_rules(prefix: str = "") -> str:
    """Return the style rules that give an SVG of ours its dark form, each selector with a prefix.

    Example:
        >>> '[style*="fill: #222222"]{fill:#e6edf3!important}' in dark_rules()
        True
    """
    return "".join(
        f'{prefix}[style*="{name}: {light.lower()}"]{{{name}:{dark}!important}}'
        for light, dark in _DARK.items()
        for name in ("fill", "stroke")
    )


def _without_strokes(defs: re.Match) -> str:
    """Take the stroke's color from shapes that are used; each use has it, where rules for a dark page reach it."""
    return re.sub(r'style="stroke: #[0-9a-f]{6}(?:; )?', 'style="', defs[0])


@boxes_for_missing_glyphs()
def save_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``<name>.svg``, which follows a reader's wish for a dark page, and ``<name>.png``.

    Equal figures give equal files. Each file is whole or absent.

    Returns:
        The two paths.

    Raises:
        InputError: The folder cannot be written to.
    """
    style = f"<style>@media (prefers-color-scheme: dark){{{dark_rules()}}}</style>"
    svg, png = io.BytesIO(), io.BytesIO()
    with plt.style.context(STYLE), matplotlib.rc_context({"savefig.bbox": None}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", metadata={"Software": None})
    text = re.sub(r"<defs>.*?</defs>", _without_strokes, svg.getvalue().decode(), flags=re.DOTALL)
    paths = folder / f"{name}.svg", folder / f"{name}.png"
    write_atomically(paths[0], re.sub(r"(<svg [^>]*>)", rf"\1\n {style}", text, count=1))
    write_atomically(paths[1], png.getvalue())
    return paths
