"""View: how far from PyTorch's default does each start end, and how much of the gap does it close?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zeroinit.bench.labels import NORMAL, PYTORCH, split_label
from zeroinit.bench.plots import (
    INK,
    color_of,
    final_accuracies,
    is_named,
    name_curves,
    new_panels,
    new_rows,
    reach_of,
    step_curves,
)
from zeroinit.bench.reporting.analysis import CurveSummary, FigureSummary
from zeroinit.bench.reporting.views.view import Cell, Heading, Table, View, estimate_frame, text
from zeroinit.bench.reporting.wording import write_difference, write_share
from zeroinit.bench.stats import Estimate, mean_interval, ratio_interval

__all__ = ["DIFFERENCE", "VIEW", "Gap", "draw", "draw_panels", "gap_frame", "gaps", "rank_frame", "table"]

DIFFERENCE = "Points above PyTorch's default"


@dataclass(frozen=True)
class Gap:
    """One curve of one network against PyTorch's default of the same network.

    Attributes:
        network: As in the label, before the colon.
        name: What stands after it.
        summary: The curve's results.
        difference: Final test accuracy minus that of the default, paired by seed.
        closed: How much of the gap between normal biases and the default the curve closes: 1 is all. ``None`` if one of
            the two is missing or there is no gap.
    """

    network: str
    name: str
    summary: CurveSummary
    difference: Estimate
    closed: Estimate | None


def gaps(summary: FigureSummary) -> list[Gap]:
    """List every curve whose network has PyTorch's default for the same seeds."""
    by_label = {entry.curve.label: entry for entry in summary.curves}
    found = []
    for label, entry in by_label.items():
        network, name = split_label(label)
        default, normal = (by_label.get(f"{network}: {other}") for other in (PYTORCH, NORMAL))
        common = sorted(set(entry.final) & set(default.final)) if default else []
        if default and common:
            difference = mean_interval([entry.final[seed] - default.final[seed] for seed in common])
            found.append(Gap(network, name, entry, difference, _closed(entry, default, normal)))
    return found


def _closed(entry: CurveSummary, default: CurveSummary, normal: CurveSummary | None) -> Estimate | None:
    if normal is None or entry in (default, normal):
        return None
    seeds = sorted(set(entry.final) & set(default.final) & set(normal.final))
    gap = np.array([default.final[seed] - normal.final[seed] for seed in seeds])
    gained = np.array([entry.final[seed] - normal.final[seed] for seed in seeds])
    return ratio_interval(gained, gap) if seeds and gap.mean() > 0 else None


def gap_frame(found: list[Gap]) -> pd.DataFrame:
    """Return one row per curve: label (its name), mean, low, high of the difference, no published value, seeds."""
    return estimate_frame((gap.name, gap.difference) for gap in found)


def rank_frame(found: list[Gap]) -> pd.DataFrame:
    """Return the effective rank of each network's first weight by step, mean over seeds; empty without recorded ranks.

    Columns: ``label``, ``step`` (the update before which it is measured), ``value``.
    """
    rows = []
    for gap in found:
        records = [result.recorded for result in gap.summary.results.values() if result.recorded]
        records = [recorded for recorded in records if "steps" in recorded]
        if not records:
            continue
        steps = records[0]["steps"]
        ranks = [next(iter(recorded["parameters"].values()))["weight_rank"] for recorded in records]
        mean = np.mean([each[: len(steps)] for each in ranks], axis=0)
        rows += [(gap.name, step, rank) for step, rank in zip(steps, mean, strict=True)]
    return pd.DataFrame(rows, columns=["label", "step", "value"])


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw the differences from PyTorch's default: on one axis, or beside the first weight's ranks if recorded."""
    found = gaps(summary)
    if not rank_frame(found).empty:
        return _draw_ranks(found, heading)
    frame = gap_frame([gap for gap in found if gap.name != PYTORCH])
    frame["row"] = [gap.network for gap in found if gap.name != PYTORCH]
    return draw_panels(frame, {"": list(dict.fromkeys(frame["row"]))}, heading)


def draw_panels(frame: pd.DataFrame, panels: dict[str, list[str]], heading: Heading) -> Figure:
    """Draw differences from PyTorch's default in points: a row for each network, a color for each start.

    Args:
        frame: As for ``final_accuracies``, with the column ``row``.
        panels: The rows of each panel, by its title; a row's text loses the title.
        heading: What stands above.
    """
    labels = list(dict.fromkeys(frame["label"]))
    most = max((len(rows) for rows in panels.values()), default=1)
    height = 1.1 + (0.22 + 0.16 * max(1, len(labels))) * max(1, most)
    figure, axes = new_panels([1] * len(panels), 2.8 + 3.4 * len(panels), height, heading.title, heading.note)
    for ax, (title, rows) in zip(axes, panels.items(), strict=True):
        part = frame[frame["row"].isin(rows)].copy()
        if part.empty:
            continue
        part["row"] = part["row"].str.removeprefix(f"{title}, ")
        final_accuracies(part, ax, xlabel=DIFFERENCE, bounded=False, labels=labels, title=title, reach=reach_of(frame))
        ax.axvline(0, color=color_of(PYTORCH, []), linewidth=0.8)
    dots = [Line2D([], [], color=color_of(label, labels), marker="o", markersize=6) for label in labels]
    for ax in axes[1:]:
        ax.sharex(axes[0])
    figure.legend(dots, labels, loc="outside lower left", ncols=max(1, len(labels)), frameon=False, labelcolor=INK)
    return figure


def _draw_ranks(found: list[Gap], heading: Heading) -> Figure:
    """Draw for each network the differences of all starts, and its first weight's rank; a few starts are named."""
    networks = list(dict.fromkeys(gap.network for gap in found))
    longest = max(sum(gap.network == network for gap in found) for network in networks)
    figure, rows = new_rows(len(networks), [3, 2, 1.3], 11.0, 1.2 + 0.26 * longest, heading.title, heading.note)
    labels = list(dict.fromkeys(gap.name for gap in found))
    for (left, middle, right), network in zip(rows, networks, strict=True):
        group = [gap for gap in found if gap.network == network]
        frame, ranks = gap_frame(group), rank_frame(group)
        final_accuracies(
            frame, left, xlabel=DIFFERENCE, bounded=False, labels=labels, title=network, reach=reach_of(frame)
        )
        left.axvline(0, color=color_of(PYTORCH, []), linewidth=0.8)
        if ranks.empty:
            middle.set_visible(False)
            right.set_visible(False)
            continue
        step_curves(ranks, middle, labels=labels, ylabel="Effective rank, first weight")
        ends = ranks.groupby("label", sort=False)["value"].last()
        name_curves(right, middle, {name: end for name, end in ends.items() if is_named(name)}, labels=labels)
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: accuracy, difference from the default, share of the gap that is closed, ranks."""
    found = gaps(summary)
    steps = {} if rank_frame(found).empty else {"Rank, step 2": 2, "10": 10, "100": 100, "End": None}
    rows = []
    for gap in found:
        cells = (
            write_share(gap.summary.estimate),
            "–" if gap.name == PYTORCH else write_difference(gap.difference),
            _share_closed(gap),
            *(_rank_at(gap, step) for step in steps.values()),
            str(gap.difference.num_seeds),
        )
        rows.append((text(gap.network), text(gap.name), *(Cell(cell) for cell in cells)))
    names = ("Accuracy", "Minus default, points", "Gap closed", *steps, "Seeds")
    return Table((text("Network"), text("Start"), *(Cell(name) for name in names)), tuple(rows))


def _share_closed(gap: Gap) -> str:
    if gap.closed is None:
        return "–"
    value, low, high = (100 * number for number in (gap.closed.value, gap.closed.low, gap.closed.high))
    return f"{value:z.0f} % {'(one seed, no interval)' if low != low else f'[{low:z.0f}, {high:z.0f}]'}"


def _rank_at(gap: Gap, step: int | None) -> str:
    """Return the mean effective rank of the first weight at a step, or at the end; a dash if it was not recorded."""
    found = []
    for result in gap.summary.results.values():
        recorded = result.recorded or {}
        if step in recorded.get("steps", []) or (step is None and "steps" in recorded):
            ranks = next(iter(recorded["parameters"].values()))["weight_rank"]
            found.append(ranks[-1] if step is None else ranks[recorded["steps"].index(step)])
    return f"{sum(found) / len(found):.1f}" if found else "–"


VIEW = View(
    draw,
    table,
    "Differences are paired by seed. Closed: the share of the gap between normal biases and PyTorch's default that "
    "is gone, 100 % for all of it, with a jackknife interval. Rank: effective rank of the first weight before the "
    "update of that step, mean over the seeds.",
)
