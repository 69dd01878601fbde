"""View: how well does each curve train? Test accuracy by epoch, and the final ones beside the published."""

import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.plots import accuracy_curves, final_accuracies, new_panels
from zeroinit.bench.profiles import PROFILES, PROTOCOLS
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views.view import Cell, Table, View, estimate_frame, text

__all__ = ["NOTABLE", "VIEW", "draw", "final_frame", "table"]

NOTABLE = 0.01
"""From this difference from the published accuracy on, the report has to explain it."""


def draw(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw test accuracy by epoch, and the final ones beside the published."""
    figure, (left, right) = new_panels([5, 3])
    accuracy_curves(summary.frame, left, title=title)
    final_accuracies(final_frame(summary, with_published=PROFILES[profile].is_paper), right)
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: the paper's final accuracy, ours with its interval, the difference, the first epoch."""
    is_paper = PROFILES[profile].is_paper
    headings = (
        text("Final test accuracy"),
        Cell("Paper" if is_paper else "Paper (other data)"),
        Cell("Ours"),
        text(f"95 % interval ({PROTOCOLS[protocol].interval})"),
        *(Cell(name) for name in ("Ours − paper", "Epoch 1", "Seeds")),
    )
    rows = []
    for entry in summary.curves:
        estimate, difference = entry.estimate, entry.difference if is_paper else None
        is_single = estimate.low != estimate.low
        rows.append(
            (
                text(entry.curve.label),
                Cell("–" if entry.published is None else f"{entry.published:.3f}"),
                Cell(f"{estimate.value:.4f}"),
                text("one seed" if is_single else f"[{estimate.low:.4f}, {estimate.high:.4f}]"),
                Cell("–") if difference is None else Cell(signed(difference), is_notable=abs(difference) > NOTABLE),
                Cell(f"{entry.first:.3f}"),
                Cell(f"{len(entry.results)}" + (f", {entry.num_diverged} diverged" if entry.num_diverged else "")),
            )
        )
    return Table(headings, tuple(rows))


def signed(value: float) -> str:
    """Write a difference with its sign; no minus zero.

    Example:
        >>> signed(0.0214), signed(-0.0001)
        ('+0.021', '+0.000')
    """
    return f"{round(value, 3) + 0.0:+.3f}"


def final_frame(summary: FigureSummary, *, with_published: bool) -> pd.DataFrame:
    """Return one row per curve: label, mean, low, high and the published value (NaN where there is none)."""
    published = {entry.curve.label: entry.published for entry in summary.curves if with_published}
    return estimate_frame(((entry.curve.label, entry.estimate) for entry in summary.curves), published)


VIEW = View(draw, table)
