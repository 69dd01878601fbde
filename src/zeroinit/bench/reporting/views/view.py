"""What a view is: how the results of a figure are drawn, put into a table and explained."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.stats import Estimate

__all__ = ["Cell", "Draw", "Heading", "Table", "View", "estimate_frame", "text"]


@dataclass(frozen=True)
class Cell:
    """The text of one cell. Numbers stand on the right; notable cells are marked."""

    text: str
    is_number: bool = True
    is_notable: bool = False


@dataclass(frozen=True)
class Table:
    """Headings and rows of as many cells."""

    headings: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text(content: object) -> Cell:
    """Return a cell that stands on the left."""
    return Cell(str(content), is_number=False)


def estimate_frame(
    estimates: Iterable[tuple[str, Estimate]], published: Mapping[str, float | None] | None = None
) -> pd.DataFrame:
    """Return one row per estimate: label, mean, low, high, the published value (NaN where there is none), and seeds.

    Example:
        >>> estimate_frame([("Normal", Estimate(0.9, 0.8, 1.0, 3))], {"Normal": 0.97}).to_dict("records")
        [{'label': 'Normal', 'mean': 0.9, 'low': 0.8, 'high': 1.0, 'published': 0.97, 'seeds': 3}]
    """
    known = published or {}
    rows = [
        (label, each.value, each.low, each.high, math.nan if known.get(label) is None else known[label], each.num_seeds)
        for label, each in estimates
    ]
    return pd.DataFrame(rows, columns=["label", "mean", "low", "high", "published", "seeds"])


@dataclass(frozen=True)
class Heading:
    """What stands above a drawing: its title, and a line in gray, empty if nothing is to be said."""

    title: str
    note: str = ""


Draw = Callable[[FigureSummary, Heading, str], Figure]


@dataclass(frozen=True)
class View:
    """How the results of a figure are shown.

    Attributes:
        draw: ``(summary, heading, profile) -> figure``.
        table: ``(summary, profile, protocol) -> table``.
        note: What you have to know to read the view; empty if nothing.
        details: A second drawing, for those who want to know more.
    """

    draw: Draw
    table: Callable[[FigureSummary, str, str], Table]
    note: str = ""
    details: Draw | None = None
