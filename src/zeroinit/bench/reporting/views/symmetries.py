"""View: how far do units and positions differ while networks train, and at the end?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.labels import split_label
from zeroinit.bench.plots import name_curves, new_rows, step_curves, text_width
from zeroinit.bench.reporting.analysis import CurveSummary, FigureSummary
from zeroinit.bench.reporting.symmetries import (
    activation_rank,
    distinct_share,
    has_positions,
    position_spread_at,
    weight_rank_at,
)
from zeroinit.bench.reporting.views.view import Cell, Heading, Table, View, text
from zeroinit.bench.reporting.wording import write_share
from zeroinit.bench.stats import Estimate, mean_interval

__all__ = ["VIEW", "Remaining", "draw", "remaining", "symmetry_frame", "table"]

SYMMETRIES = {"position_spread": "Position spread (%)", "weight_rank": "Rank (% of the largest possible)"}
"""Titles of the drawn measures."""


@dataclass(frozen=True)
class Remaining:
    """What is identical in one curve's networks after training; estimates over its seeds.

    Attributes:
        network: As in the label, before the colon.
        name: What stands after it.
        warnings: Codes of the inspector's warnings, over all seeds.
        distinct: Share of units that are identical to no other unit of their layer.
        weight_rank: Effective rank of weights over the largest that their shapes allow, mean over layers.
        activation_rank: The same of activations.
        spreads: Position spread by the name of the weight; see ``position_spread``.
    """

    network: str
    name: str
    warnings: tuple[str, ...]
    distinct: Estimate
    weight_rank: Estimate
    activation_rank: Estimate
    spreads: dict[str, Estimate]

    @property
    def mean_spread(self) -> float:
        """Mean of the position spreads; NaN without any."""
        return float(np.mean([each.value for each in self.spreads.values()])) if self.spreads else float("nan")

    @property
    def least_spread(self) -> tuple[str, Estimate] | None:
        """The weight that varies least over its positions."""
        return min(self.spreads.items(), key=lambda entry: entry[1].value, default=None)


def remaining(summary: FigureSummary) -> list[Remaining]:
    """List the symmetries that are left, one entry for each curve whose networks were inspected at the end."""
    found = []
    for entry in summary.curves:
        recorded = [each for each in _recorded(entry) if "layers" in each]
        if recorded:
            network, name = split_label(entry.curve.label)
            warnings = sorted({code for each in recorded for code in each["warnings"]})
            spreads = {
                weight: mean_interval([each["parameters"][weight]["position_spread"][-1] for each in recorded])
                for weight, first in recorded[0]["parameters"].items()
                if "position_spread" in first
            }
            distinct = mean_interval([distinct_share(each) for each in recorded])
            weights = mean_interval([weight_rank_at(each, -1) for each in recorded])
            activations = mean_interval([activation_rank(each) for each in recorded])
            found.append(Remaining(network, name, tuple(warnings), distinct, weights, activations, spreads))
    return found


def symmetry_frame(summary: FigureSummary) -> pd.DataFrame:
    """Return position spread and rank of the weights by step, means over weights and seeds.

    Columns: ``network``, ``label`` (the name of the curve), ``step`` (the update before which it is measured),
    ``measure`` (``"position_spread"``, or ``"weight_rank"`` over the largest possible) and ``value``.
    """
    rows = []
    for entry in summary.curves:
        recorded = list(_recorded(entry))
        steps: list[int] = min((each["steps"] for each in recorded), key=len, default=[])  # fewer if it diverged
        for place, step in enumerate(steps):
            spreads, ranks = ([of(each, place) for each in recorded] for of in (position_spread_at, weight_rank_at))
            for measure, values in (("position_spread", spreads), ("weight_rank", ranks)):
                rows.append((*split_label(entry.curve.label), step, measure, float(np.mean(values))))
    return pd.DataFrame(rows, columns=["network", "label", "step", "measure", "value"])


def _recorded(entry: CurveSummary) -> Iterator[dict[str, Any]]:
    """Yield what was recorded of each seed, if positions were."""
    for result in entry.results.values():
        if result.recorded and has_positions(result.recorded):
            yield result.recorded


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw for each network the position spread and the rank of its weights, by update step."""
    frame = symmetry_frame(summary)
    networks, labels = list(dict.fromkeys(frame["network"])), list(dict.fromkeys(frame["label"]))
    names = 0.4 + max((text_width(label) for label in labels), default=1.0)
    widths = [3.6, 3.6, names]
    figure, rows = new_rows(max(1, len(networks)), widths, 1.4 + sum(widths), 2.9, heading.title, heading.note)
    for row, network in zip(rows, networks, strict=False):
        for axes, (measure, ylabel) in zip(row, SYMMETRIES.items(), strict=False):
            part = frame[(frame["network"] == network) & (frame["measure"] == measure)]
            title = network if axes is row[0] else ""
            step_curves(part, axes, labels=labels, ylabel=ylabel, title=title, is_share=True)
        name_curves(row[2], row[1], dict(part.groupby("label", sort=False)["value"].last()), labels=labels)
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: what is identical after training."""
    names = ("Units distinct", "Rank of weights", "Rank of activations", "Position spread", "Least of a layer", "Seeds")
    rows = []
    for each in remaining(summary):
        least = each.least_spread
        cells = (
            ", ".join(each.warnings) or "none",
            *map(write_share, (each.distinct, each.weight_rank, each.activation_rank)),
            f"{100 * each.mean_spread:.1f} %",
            "–" if least is None else f"{least[0].removesuffix('.weight')}: {write_share(least[1])}",
            str(each.distinct.num_seeds),
        )
        rows.append((text(each.network), text(each.name), *(Cell(cell) for cell in cells)))
    headings = (text("Network"), text("Start"), Cell("Warnings"), *(Cell(name) for name in names))
    return Table(headings, tuple(rows))


VIEW = View(
    draw,
    table,
    "Position spread: the share of a weight's squared norm that varies over positions, mean over the weights that have "
    "positions. These are the positions of a kernel, or of the map that a dense layer reads. The spread is 0 % if the "
    "symmetry under translation is whole, and 1 - 1/positions for independent entries. Rank: effective rank over the "
    "largest that the shape allows, mean over layers. Warnings, distinct units and activations: from the inspector, "
    "for the trained networks.",
)
