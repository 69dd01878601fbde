"""Differences from PyTorch's default by network, paired by seed, and how much of a gap each remedy closes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from zeroinit.bench.experiments.analysis import CurveSummary, FigureSummary
from zeroinit.bench.experiments.labels import NORMAL, PYTORCH, split_label
from zeroinit.bench.stats import Estimate, mean_interval, ratio_interval

__all__ = ["Gap", "difference_frame", "gap_frame", "gaps", "rank_frame"]


@dataclass(frozen=True)
class Gap:
    """One curve of one network against PyTorch's default of the same network.

    Attributes:
        network: As in the label, before the colon.
        name: What stands after it.
        summary: The curve's results.
        difference: Final test accuracy minus that of the default, paired by seed.
        closed: How much of the gap between normal biases and the default it closes: 1 is all. ``None`` where one of
            them is missing or there is no gap.
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
    rows = [(gap.name, gap.difference.value, gap.difference.low, gap.difference.high, np.nan) for gap in found]
    return pd.DataFrame(rows, columns=["label", "mean", "low", "high", "published"])


def difference_frame(found: list[Gap]) -> pd.DataFrame:
    """Return one row for each curve besides the default, and a last one for the mean over networks.

    Columns as of ``gap_frame``. The label of a network's first curve is the network; further ones have their name
    behind it. The mean is that of first curves, over the seeds that all networks have.
    """
    others = [gap for gap in found if gap.name != PYTORCH]
    frame = gap_frame(others)
    firsts = list({gap.network: gap for gap in reversed(others)}.values())[::-1]
    frame["label"] = [gap.network if gap in firsts else f"{gap.network}, {gap.name}" for gap in others]
    if not others:
        return frame
    defaults = {gap.network: gap.summary.final for gap in found if gap.name == PYTORCH}
    seeds = sorted(set.intersection(*(set(gap.summary.final) & set(defaults[gap.network]) for gap in firsts)))
    if not seeds:
        return frame
    by_seed = [
        float(np.mean([gap.summary.final[seed] - defaults[gap.network][seed] for gap in firsts])) for seed in seeds
    ]
    mean = mean_interval(by_seed)
    frame.loc[len(frame)] = ["All networks", mean.value, mean.low, mean.high, np.nan]
    return frame


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
