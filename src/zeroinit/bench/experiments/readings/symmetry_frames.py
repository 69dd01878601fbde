"""From recorded symmetries to what is shown: how alike units and positions are while networks train, and at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zeroinit.bench.experiments.analysis import CurveSummary, FigureSummary
from zeroinit.bench.experiments.labels import split_label
from zeroinit.bench.experiments.readings.symmetries import (
    activation_rank,
    distinct_share,
    has_positions,
    position_spread_at,
    weight_rank_at,
)
from zeroinit.bench.stats import Estimate, mean_interval

__all__ = ["Remaining", "remaining", "symmetry_frame"]


@dataclass(frozen=True)
class Remaining:
    """What is alike in one curve's networks after training; estimates over its seeds.

    Attributes:
        network: As in the label, before the colon.
        name: What stands after it.
        warnings: Codes of the inspector's warnings, of any seed.
        distinct: Share of units that are no copy of another of their layer.
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
    """List what is left of symmetry, one entry for each curve with networks that were inspected at the end."""
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
    """Return how alike weights are by step, means over weights and seeds.

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
