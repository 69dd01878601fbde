"""A comparison as text, CSV, LaTeX, BibTeX, JSON and a drawing."""

import csv
import dataclasses
import io
import json
import math
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zeroinit._common import InputError, jsonable, lookup, write_atomically
from zeroinit.bench.comparison.citing import bibliography
from zeroinit.bench.comparison.looks import level_of
from zeroinit.bench.comparison.results import Comparison, Row
from zeroinit.bench.plots import final_accuracies, new_figure, save_figure
from zeroinit.bench.stats import Estimate, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FORMATS", "draw", "save", "sentence", "to_dict", "write"]

WIDTH = 80
ENDINGS = {"text": "txt", "csv": "csv", "latex": "tex", "bibtex": "bib", "json": "json"}
"""Of the files that ``save`` writes, beside the drawing."""

OF_START_AND_END = (
    "plateau: updates before the mean loss of ten is 10 % below that of guessing, median over seeds.",
    "effective rank: of the weights at the end, as a share of the largest, mean over weights.",
)
"""What the columns of the second table hold."""

FAR = 10
"""Margins: a difference beyond is an arrow with its number at the edge of the drawing."""


def percent(estimate: Estimate) -> str:
    """Write an accuracy in percent.

    Example:
        >>> percent(Estimate(0.974, 0.972, 0.976, 5)), percent(Estimate(0.974, math.nan, math.nan, 1))
        ('97.4 ± 0.2', '97.4')
    """
    half = 100 * (estimate.high - estimate.value)
    return f"{100 * estimate.value:.1f}" + ("" if math.isnan(half) else f" ± {half:.1f}")


def points(estimate: Estimate | None) -> str:
    """Write a difference in points with its interval.

    Example:
        >>> points(Estimate(-0.005, -0.009, -0.001, 5))
        '-0.5 [-0.9, -0.1]'
    """
    if estimate is None:
        return ""
    value, low, high = (100 * number for number in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f}" + ("" if math.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")


def _p(value: float) -> str:
    return "" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _count(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:g}"


def _rate(row: Row) -> str:
    return f"{row.rate:g}{'*' if row.is_at_end else ''}"


def sentence(comparison: Comparison, row: Row) -> str:
    """Say of one entry its accuracy, that of the reference, and the verdict."""
    reference = comparison.rows[0]
    num_seeds = len(row.accuracies)
    count = "one seed" if num_seeds == 1 else f"{num_seeds} seeds"
    numbers = f"{row.entry}: {percent(row.accuracy)} % against {percent(reference.accuracy)} %"
    margin = f"{100 * comparison.protocol.margin:g}"
    words = {"better": "better than", "worse": "worse than", "as good": f"as good as, within ±{margin} points of,"}
    if row.verdict in words:
        return f"{numbers}: {words[row.verdict]} {reference.entry} ({count})."
    if row.verdict == "one seed":
        return f"{numbers}: one seed decides nothing."
    more = (
        f"; about {row.more_seeds} more would decide it" if row.more_seeds else "; no reasonable number would decide it"
    )
    return f"{numbers}: undecided with {count}{more}."


def notes(comparison: Comparison) -> list[str]:
    """Say what the columns hold."""
    protocol, rows = comparison.protocol, comparison.rows[1:]
    levels = ", ".join(f"{100 * level_of(look):g} %" for look in sorted({row.look for row in rows}))
    looks = max((row.look for row in rows), default=0)
    test = (
        f" p: paired t test, corrected for {len(rows)} {'entry' if len(rows) == 1 else 'entries'} (Holm) and for "
        f"adding seeds later (look {looks}, decided at {levels})."
    )
    found = [
        f"± and brackets: 95 % intervals.{test if rows else ''}",
        f"epoch: the first with {100 * protocol.target:g} % of the test images right, median over seeds. An epoch has "
        f"{protocol.steps_per_epoch} updates.",
    ]
    if any(row.is_at_end for row in comparison.rows):
        found.append("*: the best rate is at the end of the extended grid; --lr-grid tries others.")
    diverged = [f"{row.entry} {row.num_diverged}" for row in comparison.rows if row.num_diverged]
    if diverged:
        found.append(f"diverged runs, which count with their last accuracy: {', '.join(diverged)}.")
    return found


def _text(comparison: Comparison) -> str:
    return "\n".join([*map(_filled, comparison.protocol.lines()), "", _table(comparison)])


def _filled(line: str) -> str:
    return textwrap.fill(line, WIDTH, break_long_words=False)


def _table(comparison: Comparison) -> str:
    """Write the table, the verdicts and the notes, without the protocol."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("entry", overflow="fold", max_width=24)
    for name in ("rate", "accuracy, %", "difference, points", "p", "epoch"):
        table.add_column(name, no_wrap=True, justify="left" if name == "rate" else "right")
    for row in comparison.rows:
        gap = "reference" if row.difference is None else points(row.difference)
        table.add_row(Text(row.entry), _rate(row), percent(row.accuracy), gap, _p(row.p_value), _count(row.first_epoch))
    has_records = bool(comparison.rows[0].plateaus)
    shown = [table, _start_and_end(comparison)] if has_records else [table]
    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, emoji=False)
    for each in shown:
        console.print(each, "")
    text = "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
    lines = [sentence(comparison, row) for row in comparison.rows[1:]]
    lines += ["", *notes(comparison), *(OF_START_AND_END if has_records else ())]
    lines += [f"failed: {problem}" for problem in comparison.problems]
    return "\n".join([text.rstrip(), "", *map(_filled, lines)])


def _start_and_end(comparison: Comparison) -> Table:
    """Return the second table: how each entry leaves the start, and what its weights are at the end."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("entry", overflow="fold", max_width=24)
    for name in ("plateau, updates", "effective rank, %"):
        table.add_column(name, no_wrap=True, justify="right")
    for row in comparison.rows:
        ranks = percent(mean_interval(list(row.ranks.values()))) if row.ranks else "–"
        table.add_row(Text(row.entry), _count(row.plateau), ranks)
    return table


def _records(comparison: Comparison) -> list[dict]:
    """Return the columns of the table as numbers, one row an entry; shares become percent and points."""
    records = []
    for row in comparison.rows:
        gap = row.difference or Estimate(math.nan, math.nan, math.nan, len(row.accuracies))
        records.append(
            {
                "entry": row.entry,
                "rate": row.rate,
                "rate_at_end": row.is_at_end,
                "seeds": len(row.accuracies),
                "accuracy": 100 * row.accuracy.value,
                "accuracy_low": 100 * row.accuracy.low,
                "accuracy_high": 100 * row.accuracy.high,
                "difference": 100 * gap.value,
                "difference_low": 100 * gap.low,
                "difference_high": 100 * gap.high,
                "p": row.p_value,
                "p_equivalent": row.p_equivalent,
                "verdict": row.verdict or "reference",
                "more_seeds": row.more_seeds,
                "reached_at_epoch": row.first_epoch,
                "plateau_updates": row.plateau,
                "effective_rank": 100 * float(np.mean(list(row.ranks.values()))) if row.ranks else None,
                "diverged": row.num_diverged,
            }
        )
    return records


def _csv(comparison: Comparison) -> str:
    records = jsonable(_records(comparison))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue().rstrip("\n")


def _escaped(text: str) -> str:
    r"""Write a text for LaTeX.

    Example:
        >>> print(_escaped("normal_bias*0.1"))
        normal\_bias*0.1
    """
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(each, f"\\{each}" if each in "_%&#${}" else each) for each in text)


def _latex(comparison: Comparison) -> str:
    protocol = comparison.protocol
    lines = [r"% The rules need \usepackage{booktabs}.", r"\begin{tabular}{lrrrrl}", r"\toprule"]
    lines += [r"initializer & learning rate & accuracy in \% & difference in points & $p$ & verdict \\", r"\midrule"]
    for row in comparison.rows:
        accuracy = percent(row.accuracy).replace(" ± ", r" \pm ")
        gap = f"${points(row.difference)}$" if row.difference else "--"
        p = f"${_p(row.p_value)}$" if _p(row.p_value) else "--"
        cells = [
            rf"\texttt{{{_escaped(row.entry)}}}",
            f"{row.rate:g}",
            f"${accuracy}$",
            gap,
            p,
            row.verdict or "reference",
        ]
        lines.append(" & ".join(cells) + r" \\")
    network, *others = protocol.lines()
    caption = " ".join([f"The network {network}.", *(f"{line[0].upper()}{line[1:]}." for line in others)])
    lines += [r"\bottomrule", r"\end{tabular}", "", *(f"% {line}" for line in textwrap.wrap(caption, WIDTH - 2))]
    return "\n".join([*lines, *(f"% {line}" for note in notes(comparison) for line in textwrap.wrap(note, WIDTH - 2))])


def to_dict(comparison: Comparison) -> dict:
    """Return protocol, rows and what failed, with the accuracies of all seeds."""
    protocol = comparison.protocol
    return {
        "protocol": {
            "settings": protocol.run.settings,
            "entries": {entry.label: entry.settings for entry in protocol.entries},
            "learning_rates": list(protocol.rates),
            "seeds": list(protocol.seeds),
            "margin": protocol.margin,
            "target": protocol.target,
        },
        "rows": [dataclasses.asdict(row) for row in comparison.rows],
        "problems": list(comparison.problems),
    }


FORMATS: Mapping[str, Callable[[Comparison], str]] = {
    "text": _text,
    "table": _table,
    "csv": _csv,
    "latex": _latex,
    "bibtex": lambda comparison: bibliography(comparison.protocol.entries),
    "json": lambda comparison: json.dumps(jsonable(to_dict(comparison)), indent=1, allow_nan=False),
}


def write(comparison: Comparison, form: str) -> str:
    """Return a comparison in a format of ``FORMATS``."""
    return lookup(FORMATS, form, "format")(comparison)


def save(comparison: Comparison, folder: Path) -> Path:
    """Write a comparison in every format, and the drawing ``differences`` if there are any."""
    for form, ending in ENDINGS.items():
        write_atomically(folder / f"comparison.{ending}", write(comparison, form) + "\n")
    if len(comparison.rows) > 1:
        figure, axes = new_figure(7.2, 1.2 + 0.35 * len(comparison.rows))
        draw(comparison, axes)
        save_figure(figure, folder, "differences")
    return folder


def draw(comparison: Comparison, axes: "Axes | None") -> "Axes":
    """Draw the differences to the reference."""
    rows = comparison.rows[1:]
    gaps = [(row, row.difference) for row in rows if row.difference is not None]
    if not gaps:
        raise InputError("comparison: only its reference has results, so no difference can be drawn; see its problems")
    frame = pd.DataFrame(
        {
            "label": [row.entry for row, _ in gaps],
            "mean": [gap.value for _, gap in gaps],
            "low": [gap.low for _, gap in gaps],
            "high": [gap.high for _, gap in gaps],
            "published": math.nan,
            "seeds": len(comparison.protocol.seeds),
        }
    )
    axes = axes or new_figure(7.2, 1.2 + 0.35 * len(rows))[1]
    xlabel = f"Test accuracy minus {comparison.rows[0].entry}, in points"
    margin, reach = comparison.protocol.margin, None
    near = frame[frame["mean"].abs() <= FAR * margin]
    if len(near) < len(frame):  # an entry that fails must not hide the differences between those that work
        reach = (
            max(min([-2 * margin, *near["low"].dropna()]), -FAR * margin),
            min(max([2 * margin, *near["high"].dropna()]), FAR * margin),
        )
    final_accuracies(frame, axes, xlabel=xlabel, bounded=False, reach=reach)
    axes.axvspan(-margin, margin, color="#222222", alpha=0.08, linewidth=0)
    axes.axvline(0, color="#222222", linewidth=0.8)
    return axes
