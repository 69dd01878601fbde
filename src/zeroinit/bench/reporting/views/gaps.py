"""View: how far from PyTorch's default does each start end, and how much of the gap does it close?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.labels import NORMAL, PYTORCH, split_label
from zeroinit.bench.plots import final_accuracies, new_rows, step_curves
from zeroinit.bench.reporting.analysis import CurveSummary, FigureSummary
from zeroinit.bench.reporting.views.view import Cell, Table, View, estimate_frame, text
from zeroinit.bench.stats import Estimate, mean_interval, ratio_interval

__all__ = ["DIFFERENCE", "VIEW", "Gap", "draw", "gap_frame", "gaps", "rank_frame", "table"]

DIFFERENCE = "Final test accuracy minus that of PyTorch's default"


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
    """Return one row per curve: label (its name), mean, low, high of the difference, and no published value."""
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


def draw(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw for each network the differences from PyTorch's default and, if recorded, its first weight's ranks."""
    found = gaps(summary)
    networks = list(dict.fromkeys(gap.network for gap in found))
    longest = max((sum(gap.network == network for gap in found) for network in networks), default=1)
    ratios = [1] if rank_frame(found).empty else [3, 2]
    figure, rows = new_rows(max(1, len(networks)), ratios, 4.2 + 2.7 * len(ratios), 1.2 + 0.3 * longest, title)
    for row, network in zip(rows, networks, strict=False):
        group = [gap for gap in found if gap.network == network]
        labels = [gap.name for gap in group]
        final_accuracies(gap_frame(group), row[0], xlabel=DIFFERENCE, bounded=False)
        row[0].axvline(0, color="#222222", linewidth=0.8)
        row[0].set_title(network, loc="left")
        ranks = rank_frame(group)
        for axes in row[1:]:
            axes.set_visible(not ranks.empty)
            if not ranks.empty:
                step_curves(ranks, axes, labels=labels, ylabel="Effective rank, first weight")
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: accuracy, difference from the default, share of the gap that is closed, ranks."""
    names = ("Accuracy", "Minus default", "Gap closed", "Rank, step 2", "10", "100", "End", "Seeds")
    rows = []
    for gap in gaps(summary):
        cells = (
            f"{gap.summary.estimate.value:.4f}",
            "–" if gap.name == PYTORCH else str(gap.difference),
            _share_closed(gap),
            *(_rank_at(gap, step) for step in (2, 10, 100, None)),
            str(gap.difference.num_seeds),
        )
        rows.append((text(gap.network), text(gap.name), *(Cell(cell) for cell in cells)))
    return Table((text("Network"), text("Start"), *(Cell(name) for name in names)), tuple(rows))


def _share_closed(gap: Gap) -> str:
    if gap.closed is None:
        return "–"
    is_single = gap.closed.low != gap.closed.low
    interval = "(one seed, no interval)" if is_single else f"[{gap.closed.low:.2f}, {gap.closed.high:.2f}]"
    return f"{gap.closed.value:.2f} {interval}"


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
    "is gone, 1 for all of it, with a jackknife interval. Rank: effective rank of the first weight before the "
    "update of that step, mean over the seeds.",
)
