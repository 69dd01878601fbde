"""View: when does each layer get its first gradient, and is it a signal or rounding?"""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.plots import INK, new_grid, wake_up_chart, wake_up_legend
from zeroinit.bench.reporting.analysis import CurveSummary, FigureSummary
from zeroinit.bench.reporting.views.view import Cell, Heading, Table, View, text
from zeroinit.bench.store import Result

__all__ = ["CAUSES", "VIEW", "draw", "gradient_sizes", "has_gradient", "table", "wake_causes", "wake_frame"]

AGREE, SHRINK = 2.0, 1e3
"""A first gradient is a signal if float32 and float64 agree within the first factor, rounding if float64's is smaller
by the second at least."""

CAUSES = ("signal", "rounding", "unclear", "never")


def gradient_sizes(result: Result) -> tuple[list[str], np.ndarray]:
    """Return the names of the weights, from input to output, and their largest absolute gradients (layers, steps)."""
    assert result.recorded is not None
    weights = {name: entry for name, entry in result.recorded["parameters"].items() if len(entry["shape"]) >= 2}
    sizes = [[np.nan if size is None else size for size in entry["max_abs"]] for entry in weights.values()]
    return list(weights), np.array(sizes, dtype=float)


def has_gradient(result: Result) -> np.ndarray:
    """Tell for each weight and update step (layers, steps) whether any entry of the gradient differs from zero."""
    return gradient_sizes(result)[1] != 0


def wake_causes(single: Result, double: Result) -> list[tuple[str, int | None, str]]:
    """Judge the first gradient of each weight by the same run in two precisions.

    Args:
        single: In float32.
        double: The same run in float64, from the same initial values.

    Returns:
        From input to output the name, the first step with a gradient in float32 (``None`` if there is none) and one of
        ``CAUSES``: ``"signal"`` if float64 has its first gradient at the same step, with the same size within a factor
        of 2. ``"rounding"`` if float64's gradient is at most a thousandth at that step (or exactly zero). Otherwise
        ``"unclear"``.
    """
    names, sizes = gradient_sizes(single)
    exact = gradient_sizes(double)[1]
    judged: list[tuple[str, int | None, str]] = []
    for name, row, reference in zip(names, sizes, exact, strict=True):
        steps = np.flatnonzero(row)
        if not len(steps):
            judged.append((name, None, "never"))
            continue
        first = int(steps[0])
        size, true = row[first], reference[first]
        is_first = not reference[:first].any()
        if is_first and size <= AGREE * true and true <= AGREE * size:
            cause = "signal"
        else:
            cause = "rounding" if size >= SHRINK * true else "unclear"
        judged.append((name, first + 1, cause))
    return judged


def precision_pairs(summary: FigureSummary) -> list[tuple[CurveSummary, CurveSummary]]:
    """Pair each curve in float32 with the same curve in float64; curves without a pair are left out."""
    by_run = {entry.curve.run: entry for entry in summary.curves}
    pairs = ((entry, by_run.get(replace(entry.curve.run, precision="float64"))) for entry in summary.curves)
    return [(single, double) for single, double in pairs if double is not None and double is not single]


def wake_frame(summary: FigureSummary) -> pd.DataFrame:
    """Return one row per variant, seed and weight.

    Columns: ``variant``, ``seed``, ``layer`` (from 1), ``name``, ``step`` (NaN if the weight never gets a gradient),
    ``cause`` and ``num_steps``.
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


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw for each variant when each weight gets its first gradient, and its cause, for the first seed."""
    frame = wake_frame(summary)
    variants = list(dict.fromkeys(frame["variant"]))
    columns = min(3, max(1, len(variants)))
    rows = max(1, -(-len(variants) // columns))
    figure, grid = new_grid(rows, columns, 3.4 * columns, 3.6 * rows, heading.title, heading.note)
    panels = [axes for row in grid for axes in row]
    for place, (axes, variant) in enumerate(zip(panels, variants, strict=False)):
        part = frame[frame["variant"] == variant]
        wake_up_chart(part[part["seed"] == part["seed"].min()], axes, title=variant)
        is_lowest = place + columns >= len(variants)
        axes.tick_params(labelbottom=is_lowest)
        axes.xaxis.label.set_visible(is_lowest)
    for axes in panels[len(variants) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel("Layers, from input to output")
    figure.legend(handles=wake_up_legend(), loc="outside lower left", ncols=4, frameon=False, labelcolor=INK)
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per variant and seed: how many first gradients have which cause, and the step of the last one."""
    names = ("Seed", "By signal", "By rounding", "Unclear", "Never", "Last one at step")
    rows = []
    for (variant, seed), layers in wake_frame(summary).groupby(["variant", "seed"], sort=False):
        counts = [int((layers["cause"] == cause).sum()) for cause in CAUSES]
        last = layers["step"].max()
        numbers = [seed, *counts, "–" if last != last else int(last)]
        rows.append((text(variant), *(Cell(str(number)) for number in numbers)))
    return Table((text("Variant"), *(Cell(name) for name in names)), tuple(rows))


VIEW = View(
    draw,
    table,
    "A signal: the first gradient is the same in float32 and float64 within a factor of 2, at the same step. "
    "Rounding: it is smaller by a factor of 1,000 at least in float64, or zero. The drawing shows the first seed.",
)
