"""View: one difference from PyTorch's default for each network, and their mean."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.labels import PYTORCH
from zeroinit.bench.plots import final_accuracies, new_figure
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views.gaps import DIFFERENCE, Gap, gap_frame, gaps, table
from zeroinit.bench.reporting.views.view import View
from zeroinit.bench.stats import mean_interval

__all__ = ["VIEW", "difference_frame", "draw"]


def difference_frame(found: list[Gap]) -> pd.DataFrame:
    """Return one row for each curve besides the default, and a last one for the mean over networks.

    Columns as of ``gap_frame``. The label of a network's first curve is the network; further ones have their name
    behind it. The mean is over first curves and over the seeds that all networks have.
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


def draw(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw one difference from PyTorch's default for each network, and their mean."""
    frame = difference_frame(gaps(summary))
    figure, axes = new_figure(7.2, 1.4 + 0.24 * len(frame))
    final_accuracies(frame, axes, xlabel=DIFFERENCE, bounded=False)
    axes.axvline(0, color="#222222", linewidth=0.8)
    axes.set_title(title, loc="left")
    return figure


VIEW = View(
    draw,
    table,
    "Differences are paired by seed. All networks: the mean over them, with an interval over the seeds.",
)
