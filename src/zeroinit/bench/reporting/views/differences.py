"""View: one difference from PyTorch's default for each network, and their mean."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.labels import PYTORCH
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views.gaps import Gap, draw_panels, gap_frame, gaps, table
from zeroinit.bench.reporting.views.view import Heading, View
from zeroinit.bench.stats import mean_interval

__all__ = ["VIEW", "difference_frame", "draw"]

ALL = "All networks"


def difference_frame(found: list[Gap]) -> pd.DataFrame:
    """Return one row for each curve besides the default, and a last one for the mean over networks.

    Columns as in ``gap_frame``, and ``row``: the network. The mean is over first curves and over the seeds that all
    networks have.
    """
    others = [gap for gap in found if gap.name != PYTORCH]
    frame = gap_frame(others)
    frame["row"] = [gap.network for gap in others]
    if not others:
        return frame
    firsts = list({gap.network: gap for gap in reversed(others)}.values())[::-1]
    defaults = {gap.network: gap.summary.final for gap in found if gap.name == PYTORCH}
    seeds = sorted(set.intersection(*(set(gap.summary.final) & set(defaults[gap.network]) for gap in firsts)))
    if not seeds:
        return frame
    by_seed = [
        float(np.mean([gap.summary.final[seed] - defaults[gap.network][seed] for gap in firsts])) for seed in seeds
    ]
    mean = mean_interval(by_seed)
    frame.loc[len(frame)] = [firsts[0].name, mean.value, mean.low, mean.high, np.nan, len(seeds), ALL]
    return frame


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw one row for each network, in a panel for each kind of network (what stands before the first comma)."""
    frame = difference_frame(gaps(summary))
    panels: dict[str, list[str]] = {}
    for row in dict.fromkeys(frame["row"]):
        panels.setdefault(row.partition(", ")[0], []).append(row)
    means = panels.pop(ALL, [])
    if len(panels) <= 1 or any(rows == [title] for title, rows in panels.items()):
        panels = {"": [row for rows in panels.values() for row in rows]}
    last = list(panels)[-1]
    panels[last] = [*panels[last], *means]
    return draw_panels(frame, panels, heading)


VIEW = View(
    draw, table, "Differences are paired by seed. All networks: the mean over them, with an interval over the seeds."
)
