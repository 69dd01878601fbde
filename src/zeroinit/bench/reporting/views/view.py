"""What a view is: how the results of a figure are drawn, put into a table and explained."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from zeroinit.bench.reporting.analysis import FigureSummary

__all__ = ["Cell", "Table", "View", "text"]


@dataclass(frozen=True)
class Cell:
    """A text; a number stands on the right, and what is notable is marked."""

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


@dataclass(frozen=True)
class View:
    """How the results of a figure are shown.

    Attributes:
        draw: ``(summary, title, profile) -> figure``.
        table: ``(summary, profile, protocol) -> table``.
        note: What the reader has to know to read it; empty if nothing.
    """

    draw: Callable[[FigureSummary, str, str], Figure]
    table: Callable[[FigureSummary, str, str], Table]
    note: str = ""
