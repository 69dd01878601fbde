"""View: what do scaled biases cost in a new setting, as predicted and as seen?"""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit._common import derive_seed
from zeroinit.bench.catalogue.grid import REFERENCES, part_of
from zeroinit.bench.plots import collapse_chart, final_accuracies, new_panels
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.predictor import MECHANISTIC, expected_accuracy, fit_predictor, quantities
from zeroinit.bench.reporting.views.view import Cell, Heading, Table, View, estimate_frame, text
from zeroinit.bench.reporting.wording import write_difference
from zeroinit.bench.spec import Run
from zeroinit.bench.stats import Estimate, determination, grouped_bootstrap, mean_interval, rank_correlation

__all__ = [
    "FIT",
    "HELD_OUT",
    "VIEW",
    "GridSummary",
    "draw",
    "loss_frame",
    "read_grid",
    "reference_differences",
    "runs_of",
    "seed_agreement",
    "table",
]

FIT, HELD_OUT = "fit", "held out"
FOLDS = 10
NUM_RESAMPLES = 1000
SIMPLE = MECHANISTIC | {"scale of hidden biases": "hidden", "scale of output biases": "output"}
"""Predictors that are one quantity: its name and its column."""
POINTS = "accuracy, points"

Rows = tuple[tuple[str, Run, float], ...]
"""Label, settings and mean final accuracy of each run."""


def runs_of(summary: FigureSummary) -> Rows:
    """List the runs of a figure with their mean final accuracies."""
    return tuple(
        (entry.curve.label, entry.curve.run, float(np.mean(list(entry.final.values())))) for entry in summary.curves
    )


def loss_frame(runs: Rows) -> pd.DataFrame:
    """Return one row per run: part, context, name, whether it was drawn, accuracy, loss, and its quantities.

    The loss is the best mean accuracy of the references of its context minus its own. Contexts that lack a reference
    are left out.
    """
    rows = []
    for label, run, accuracy in runs:
        part, context, name = part_of(label)
        row = {"part": part, "context": context, "name": name, "drawn": name not in REFERENCES, "accuracy": accuracy}
        rows.append(row | quantities(run))
    frame = pd.DataFrame(rows)
    references = frame[~frame["drawn"]].groupby(["part", "context"])["accuracy"]
    best, count = references.max(), references.size()
    keys = list(zip(frame["part"], frame["context"], strict=True))
    complete = [count.get(key, 0) == len(REFERENCES) for key in keys]
    frame["loss"] = [best.get(key, np.nan) for key in keys] - frame["accuracy"]
    return frame[complete].reset_index(drop=True)


@dataclass(frozen=True)
class GridSummary:
    """The result of the grid.

    Attributes:
        frame: The drawn settings: ``loss``, ``predicted``, ``part`` and quantities. Predictions of the fitting set
            come from predictors that have not seen their context.
        correlations: By part, then by predictor, rank correlation with the loss.
        explained: By part, R^2 of the predictor.
        differences: By part, then by fixed start, accuracy of ``auto`` minus its own.
    """

    frame: pd.DataFrame
    correlations: dict[str, dict[str, Estimate]]
    explained: dict[str, Estimate]
    differences: dict[str, dict[str, Estimate]]


def read_grid(summary: FigureSummary) -> GridSummary | None:
    """Fit the predictor on the fitting set and apply it to both; ``None`` with fewer than ten contexts to fit on."""
    return _read(runs_of(summary))


@lru_cache(maxsize=2)  # the drawing and the table both need the summary
def _read(runs: Rows) -> GridSummary | None:
    if not runs:
        return None
    whole = loss_frame(runs)
    fitting = whole[whole["part"] == FIT]
    if fitting["context"].nunique() < 10:
        return None
    expected = pd.Series(np.nan, index=whole.index)
    held_out = whole["part"] == HELD_OUT
    expected[held_out] = expected_accuracy(fit_predictor(fitting), whole[held_out])
    for fold in range(FOLDS):
        own = (whole["part"] == FIT) & (whole["context"] % FOLDS == fold)
        others = fitting[fitting["context"] % FOLDS != fold]
        expected[own] = expected_accuracy(fit_predictor(others), whole[own])
    best = expected.where(~whole["drawn"]).groupby([whole["part"], whole["context"]]).transform("max")
    whole["predicted"] = best - expected
    drawn = whole[whole["drawn"] & whole["predicted"].notna()]
    correlations: dict[str, dict[str, Estimate]] = {}
    explained: dict[str, Estimate] = {}
    for part, rows in drawn.groupby("part"):
        found = {"predictor": _estimate(rank_correlation, rows, "predicted")}
        found |= {name: _estimate(rank_correlation, rows, column) for name, column in SIMPLE.items()}
        correlations[str(part)], explained[str(part)] = found, _estimate(determination, rows, "predicted")
    differences = {part: reference_differences(whole, part) for part in correlations}
    return GridSummary(drawn, correlations, explained, differences)


def seed_agreement(summary: FigureSummary) -> dict[str, Estimate]:
    """Return by part the rank correlation of the losses of one seed with those of another, over all pairs of seeds.

    The agreement r bounds every predictor. A predictor that knew each mean would correlate with the losses of one seed
    by about sqrt(r). With the means of k seeds it would correlate by sqrt(k r / (1 + (k - 1) r)). Parts with one seed
    are left out.

    Source:
        Spearman 1910, Brown 1910 (reliability of a mean).
    """
    found = {}
    for part in (FIT, HELD_OUT):
        curves = [entry for entry in summary.curves if part_of(entry.curve.label)[0] == part]
        seeds = sorted(set.intersection(*(set(entry.final) for entry in curves))) if curves else []
        frames = [
            loss_frame(tuple((each.curve.label, each.curve.run, each.final[seed]) for each in curves)) for seed in seeds
        ]
        drawn = [frame[frame["drawn"]] for frame in frames]
        pairs = list(itertools.combinations(drawn, 2))
        if pairs and len(drawn[0]):
            one, other = (pd.concat([pair[side] for pair in pairs]) for side in (0, 1))
            paired = one[["context"]].assign(predicted=one["loss"].to_numpy(), loss=other["loss"].to_numpy())
            found[part] = _estimate(rank_correlation, paired, "predicted")
    return found


def _estimate(statistic, rows: pd.DataFrame, column: str) -> Estimate:
    generator = np.random.default_rng(derive_seed(0, f"bootstrap/{column}"))
    predicted, seen = rows[column].to_numpy(float), rows["loss"].to_numpy(float)
    return grouped_bootstrap(
        statistic, predicted, seen, rows["context"].to_numpy(), generator, num_resamples=NUM_RESAMPLES
    )


def reference_differences(frame: pd.DataFrame, part: str) -> dict[str, Estimate]:
    """Return for each fixed start the accuracy of ``auto`` minus its own, mean over the contexts of a part."""
    rows = frame[(frame["part"] == part) & ~frame["drawn"]]
    table = rows.pivot_table(index="context", columns="name", values="accuracy")
    if table.empty:
        return {}
    return {name: mean_interval((table["auto"] - table[name]).to_numpy()) for name in REFERENCES if name != "auto"}


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw seen against predicted losses, held-out settings filled, and the rank correlation of each predictor."""
    figure, (left, right) = new_panels([3, 2], 9.6, 5.0, heading.title, heading.note)
    grid = read_grid(summary)
    if grid is None:
        left.set_title("Too few contexts are stored to fit the predictor", loc="left")
        return figure
    points = grid.frame.rename(columns={"part": "label", "loss": "seen"})
    collapse_chart(points, left, quantity="Loss of accuracy")
    part = list(grid.correlations)[-1]
    frame = estimate_frame(grid.correlations[part].items())
    final_accuracies(frame, right, xlabel=f"Rank correlation with the loss, {part}", bounded=False, is_share=False)
    right.axvline(0, color="#222222", linewidth=0.8)
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per predictor with its rank correlations, and one per fixed start that ``auto`` is set against."""
    headings = (text("Part"), text("What"), text("Measure"), Cell("Value"), Cell("Contexts"))
    grid, rows = read_grid(summary), []
    if grid is None:
        return Table(headings, ())
    agreement = seed_agreement(summary)
    for part, found in grid.correlations.items():
        entries = [(name, "rank correlation with the loss", each) for name, each in found.items()]
        entries.insert(1, ("predictor", "R²", grid.explained[part]))
        entries += [(f"auto minus {name}", POINTS, each) for name, each in grid.differences.get(part, {}).items()]
        if part in agreement:
            entries.append(("another seed", "rank correlation of losses", agreement[part]))
        for what, measure, estimate in entries:
            value = write_difference(estimate) if measure == POINTS else str(estimate)
            rows.append((text(part), text(what), text(measure), Cell(value), Cell(str(estimate.num_seeds))))
    return Table(headings, tuple(rows))


VIEW = View(
    draw,
    table,
    "Loss: the best accuracy of biases ×1, ×0.1, ×1 with output biases 0 and scale='auto' in the same context, "
    "minus that of the setting. Held-out contexts were not used to choose or to fit the predictor; on the fitting "
    "set each tenth of the contexts is predicted from the others. Equal values share their mean rank. Intervals: "
    "percentile bootstrap over contexts, t for differences of accuracies.",
)
