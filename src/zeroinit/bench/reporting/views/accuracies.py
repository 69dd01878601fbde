"""View: how well does each curve train? Test accuracy by epoch, and the final ones beside the published."""

import math

import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.labels import split_label
from zeroinit.bench.plots import FEW, accuracy_curves, final_accuracies, name_curves, new_rows, text_width
from zeroinit.bench.profiles import PROFILES, PROTOCOLS
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views.view import Cell, Heading, Table, View, estimate_frame, text
from zeroinit.bench.reporting.wording import write_interval

__all__ = ["NOTABLE", "VIEW", "draw", "final_frame", "table"]

NOTABLE = 0.01
"""From this difference from the published accuracy on, the report has to explain it."""

MOST_LINES = 1000
"""More thin lines than this in one panel hide each other, and take most of the time of a report."""


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw test accuracy by epoch, and the final ones beside the published; one row of panels for each network."""
    labels = [entry.curve.label for entry in summary.curves]
    groups = _groups(labels)
    finals = final_frame(summary, with_published=PROFILES[profile].is_paper)
    named = {label: split_label(label)[1] or label for label in labels}
    names = 0.45 + max(text_width(name) for name in named.values())
    rows_of = max(len(group) for group in groups.values())
    height = max(2.9, 0.75 + 0.3 * rows_of)
    crowd = max(_num_lines(summary, group) for group in groups.values())
    hidden = f"{crowd:,} single runs would hide each other; only means and intervals are drawn." * (crowd > MOST_LINES)
    note = f"{heading.note} {hidden}"
    figure, rows = new_rows(len(groups), [4.6, names, 2.8], 8.0 + names, height, heading.title, note.strip())
    for (network, group), (left, _, right) in zip(groups.items(), rows, strict=True):
        frame, seeds, xlabel = _curve_frames(summary, group)
        for each in (frame, seeds):
            each["label"] = each["label"].map(named)
        accuracy_curves(frame, left, seeds=seeds, labels=list(named.values()), title=network, xlabel=xlabel)
        left.sharey(rows[0][0])
        final_accuracies(_ordered(finals, group, named), right, labels=list(named.values()))
        right.sharex(rows[0][2])
        right.tick_params(axis="y", labelleft=False, length=0)
    for group, (left, middle, _) in zip(groups.values(), rows, strict=True):
        ends = _ordered(finals, group, named)
        heights = {label: (len(ends) - 0.5 - place) / (len(ends) + 0.1) for place, label in enumerate(ends["label"])}
        means = dict(zip(ends["label"], ends["mean"], strict=True))
        last = {named[label]: means[named[label]] for label in group}
        name_curves(middle, left, last, labels=list(named.values()), heights=heights)
    return figure


def _ordered(finals: pd.DataFrame, group: list[str], named: dict[str, str]) -> pd.DataFrame:
    """Return the rows of a group, the highest mean first, with the names that stand beside them."""
    rows = finals[finals["label"].isin(group)]
    rows = rows.iloc[(-rows["mean"]).argsort(kind="stable")]
    return rows.assign(label=rows["label"].map(named))


def _groups(labels: list[str]) -> dict[str, list[str]]:
    """Return the labels by their network; all of them under one empty name unless each has a network."""
    if not all(split_label(label)[1] for label in labels):
        return {"": labels}
    found: dict[str, list[str]] = {}
    for label in labels:
        found.setdefault(split_label(label)[0], []).append(label)
    return found


def _num_lines(summary: FigureSummary, group: list[str]) -> int:
    return sum(len(entry.results) for entry in summary.curves if entry.curve.label in group)


def _curve_frames(summary: FigureSummary, group: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return means (with bands from five seeds on), single seeds if they are few, and the name of the horizontal axis.

    Where one curve has twice the epochs of another, each stands over its own share of training.
    """
    frame = summary.frame[summary.frame["label"].isin(group)].copy()
    rows, are_few = [], _num_lines(summary, group) <= MOST_LINES
    for entry in summary.curves:
        if entry.curve.label in group:
            if len(entry.results) < FEW:
                frame.loc[frame["label"] == entry.curve.label, ["low", "high"]] = math.nan
            for seed, result in entry.results.items() if are_few else ():
                history = result.history["test_accuracy"]
                rows += [(entry.curve.label, seed, epoch, each) for epoch, each in enumerate(history, start=1)]
    seeds = pd.DataFrame(rows, columns=["label", "seed", "epoch", "accuracy"])
    lengths = frame.groupby("label")["epoch"].max()
    if lengths.max() < 2 * lengths.min():
        return frame, seeds, "Epoch"
    for each in (frame, seeds):
        each["epoch"] = 100 * each["epoch"] / each["label"].map(lengths)
    return frame, seeds, "Share of its own training (%)"


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: final accuracy with its interval, the first epoch; beside the paper's, if any."""
    is_paper, published = PROFILES[profile].is_paper, summary.figure.published_results
    names = ["Paper" if is_paper else "Paper (other data)"] if published else []
    interval = text(f"95 % interval ({PROTOCOLS[protocol].interval})")
    after = ["Ours − paper, points"] if published else []
    left, right = map(Cell, [*names, "Ours"]), map(Cell, [*after, "Epoch 1", "Seeds"])
    headings = (text("Final test accuracy, %"), *left, interval, *right)
    rows = []
    for entry in summary.curves:
        difference = entry.difference if is_paper else None
        paper = Cell("–" if entry.published is None else f"{100 * entry.published:.1f}")
        gap = Cell("–") if difference is None else Cell(signed(difference), is_notable=abs(difference) > NOTABLE)
        rows.append(
            (
                text(entry.curve.label),
                *([paper] if published else []),
                Cell(f"{100 * entry.estimate.value:.1f}"),
                text(write_interval(entry.estimate)),
                *([gap] if published else []),
                Cell(f"{100 * entry.first:.1f}"),
                Cell(f"{len(entry.results)}" + (f", {entry.num_diverged} diverged" if entry.num_diverged else "")),
            )
        )
    return Table(headings, tuple(rows))


def signed(value: float) -> str:
    """Write a difference of accuracies in points with its sign; no minus zero.

    Example:
        >>> signed(0.0214), signed(-0.0001)
        ('+2.1', '+0.0')
    """
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def final_frame(summary: FigureSummary, *, with_published: bool) -> pd.DataFrame:
    """Return one row per curve: label, mean, low, high and the published value (NaN where there is none)."""
    published = {entry.curve.label: entry.published for entry in summary.curves if with_published}
    return estimate_frame(((entry.curve.label, entry.estimate) for entry in summary.curves), published)


VIEW = View(draw, table)
