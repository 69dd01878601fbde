"""From recorded gradients to the frames that are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import pandas as pd

from zeroinit.bench.experiments.analysis import CurveSummary, FigureSummary
from zeroinit.bench.experiments.readings.gradients import gradient_sizes, wake_causes
from zeroinit.bench.experiments.recorders import QUANTILES

__all__ = ["READINGS", "precision_pairs", "quantile_frame", "wake_frame"]

READINGS = {"quantiles": "entries of the gradient", "edges": "bin edges, as published"}
"""What is drawn of a gradient's distribution, by the name of the recorded measure."""


def precision_pairs(summary: FigureSummary) -> list[tuple[CurveSummary, CurveSummary]]:
    """Pair the curves in float32 with those that differ from them in being float64 alone; leave out what has none."""
    by_run = {entry.curve.run: entry for entry in summary.curves}
    pairs = ((entry, by_run.get(replace(entry.curve.run, precision="float64"))) for entry in summary.curves)
    return [(single, double) for single, double in pairs if double is not None and double is not single]


def wake_frame(summary: FigureSummary) -> pd.DataFrame:
    """Return one row per variant, seed and weight.

    Columns: ``variant``, ``seed``, ``layer`` (from 1), ``name``, ``step`` (NaN
    if the weight never gets a gradient), ``cause`` and ``num_steps``.
    """
    rows = []
    for single, double in precision_pairs(summary):
        for seed in single.results:
            if seed not in double.results:
                continue
            judged = wake_causes(single.results[seed], double.results[seed])
            num_steps = gradient_sizes(single.results[seed])[1].shape[1]
            for layer, (name, step, cause) in enumerate(judged, start=1):
                row = (single.curve.label, seed, layer, name.removesuffix(".weight"), step, cause, num_steps)
                rows.append(row)
    frame = pd.DataFrame(rows, columns=["variant", "seed", "layer", "name", "step", "cause", "num_steps"])
    return frame.astype({"step": float})


def quantile_frame(summary: FigureSummary, most_steps: int) -> pd.DataFrame:
    """Return one row per reading, curve, weight and step, each quantile its median over the seeds.

    Columns: ``reading``, ``label``, ``layer`` (from 1, at the input), ``name``, ``step``, ``is_zero`` (every entry, in
    every seed) and one column for each of ``QUANTILES``, named ``q0``, ``q5``, ..., ``q100``.
    """
    return pd.DataFrame(_quantile_rows(summary, most_steps))


def quantile_column(share: float) -> str:
    """Name the column of one quantile.

    Example:
        >>> quantile_column(0.05)
        'q5'
    """
    return f"q{round(100 * share)}"


def _quantile_rows(summary: FigureSummary, most_steps: int) -> Iterator[dict]:
    for entry in summary.curves:
        entries = [result.recorded["parameters"] for result in entry.results.values() if result.recorded]
        weights = [name for name, first in entries[0].items() if len(first["shape"]) >= 2]
        for layer, name in enumerate(weights, start=1):
            of_seeds = [parameters[name] for parameters in entries]
            for step in range(min(most_steps, *(len(parameter["zeros"]) for parameter in of_seeds))):
                is_zero = all(parameter["zeros"][step] == 1 for parameter in of_seeds)
                place = {"label": entry.curve.label, "layer": layer, "name": name, "step": step + 1, "is_zero": is_zero}
                for measure, reading in READINGS.items():
                    yield {"reading": reading, **place, **_medians([each[measure][step] for each in of_seeds])}


def _medians(of_seeds: Sequence[Sequence[float | None]]) -> dict[str, float]:
    """Return each quantile's median over seeds; NaN where a seed has none."""
    medians = {}
    for share, values in zip(QUANTILES, zip(*of_seeds, strict=True), strict=True):
        known = [value for value in values if value is not None]
        medians[quantile_column(share)] = median(known) if len(known) == len(values) else np.nan
    return medians
