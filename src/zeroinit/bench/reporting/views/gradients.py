"""View: which gradients does each layer get in the first update steps?"""

from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.plots import (
    INK,
    color_of,
    first_gradient_grid,
    gradient_quantiles,
    new_grid,
    new_panels,
    text_width,
)
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views.view import Cell, Heading, Table, View, text
from zeroinit.bench.reporting.views.wake_up import gradient_sizes, has_gradient
from zeroinit.bench.store import QUANTILES

__all__ = ["VIEW", "draw", "draw_details", "quantile_frame", "table"]

MOST_STEPS = 5
"""Update steps that are drawn, as in the paper."""

DRAWN = {"quantiles": "entries of the gradient", "edges": "bin edges, as published"}
"""Titles of the drawn distributions, by the name of the recorded measure."""


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw for each curve which layer has a gradient at which step: filled where one has in every seed."""
    labels = [entry.curve.label for entry in summary.curves]
    received = [np.all([has_gradient(result) for result in entry.results.values()], axis=0) for entry in summary.curves]
    width = max(2.6, *(text_width(label, 11, "bold") + 0.5 for label in labels))
    height = 1.0 + 0.36 * max(len(each) for each in received)
    figure, panels = new_panels([1] * len(labels), 0.9 + width * len(labels), height, heading.title, heading.note)
    for axes, label, each in zip(panels, labels, received, strict=True):
        shown = each[:, :MOST_STEPS]
        first_gradient_grid(shown, axes, color=color_of(label, labels), title=label)
        names = [str(layer + 1) for layer in range(len(shown))]
        names[0], names[-1] = f"input {names[0]}", f"output {names[-1]}"
        axes.set_yticklabels(names)
        axes.tick_params(axis="y", labelleft=axes is panels[0])
    return figure


def draw_details(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw the weight gradients of each layer at each step: above the true ones, below as the paper read them."""
    frame = quantile_frame(summary, MOST_STEPS)
    labels, layers = list(dict.fromkeys(frame["label"])), sorted(set(frame["layer"]))
    figure, grid = new_grid(len(DRAWN), len(layers), 2.6 * len(layers), 6.6, heading.title, heading.note)
    for row, words in zip(grid, DRAWN.values(), strict=True):
        for axes, layer in zip(row, layers, strict=True):
            part = frame[(frame["measure"] == words) & (frame["layer"] == layer)]
            place = {layers[0]: " (input)", layers[-1]: " (output)"}.get(layer, "")
            gradient_quantiles(part, axes, labels=labels, title=f"Layer {layer}{place}" if row is grid[0] else "")
            axes.label_outer()
        row[0].set_ylabel(words.capitalize())
    handles = [line for line in grid[0][0].lines if not str(line.get_label()).startswith("_")]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, labelcolor=INK)
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve and weight: the first step with a gradient, for how many seeds, and its size."""
    headings = (text("Curve"), text("Weight"), *(Cell(name) for name in ("First step", "Largest entry then", "Seeds")))
    rows = []
    for entry in summary.curves:
        names = gradient_sizes(next(iter(entry.results.values())))[0]
        sizes = [gradient_sizes(result)[1] for result in entry.results.values()]
        for layer, name in enumerate(names):
            firsts = [first_nonzero(of_seed[layer]) for of_seed in sizes]
            then = [of_seed[layer][first - 1] for of_seed, first in zip(sizes, firsts, strict=True) if first]
            rows.append(
                (
                    text(entry.curve.label),
                    text(f"{name}, layer {layer + 1}"),
                    Cell(", ".join(sorted({str(first or "never") for first in firsts}))),
                    Cell(span(then)),
                    Cell(str(len(sizes))),
                )
            )
    return Table(headings, tuple(rows))


def first_nonzero(sizes) -> int:
    """Return the first step, from 1, with a size other than zero; 0 if there is none."""
    return next((step for step, size in enumerate(sizes, start=1) if size != 0), 0)


def span(values: list[float]) -> str:
    """Write the smallest and the largest value.

    Example:
        >>> span([0.5, 0.25]), span([2.0]), span([])
        ('0.25 to 0.5', '2', '–')
    """
    if not values:
        return "–"
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def quantile_frame(summary: FigureSummary, most_steps: int) -> pd.DataFrame:
    """Return one row per measure, curve, weight and step, each quantile its median over the seeds.

    Columns: ``measure``, ``label``, ``layer`` (from 1, at the input), ``name``, ``step``, ``is_zero`` (every entry, in
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
                for measure, words in DRAWN.items():
                    yield {"measure": words, **place, **_medians([each[measure][step] for each in of_seeds])}


def _medians(of_seeds: Sequence[Sequence[float | None]]) -> dict[str, float]:
    """Return each quantile's median over seeds; NaN where a seed has none."""
    medians = {}
    for share, values in zip(QUANTILES, zip(*of_seeds, strict=True), strict=True):
        known = [value for value in values if value is not None]
        medians[quantile_column(share)] = median(known) if len(known) == len(values) else np.nan
    return medians


VIEW = View(
    draw,
    table,
    "A filled cell: the layer's weight has a gradient at this update, in every seed. In the details, box: middle half "
    "of the entries; thick line: 90 %; thin line: all; tick: median. Each quantile is its median over the seeds. A "
    "hollow circle: every entry is exactly zero, in every seed. Below: the same for the bin edges of TensorBoard's "
    "histograms, which is what the paper's figure shows; they grow by 10 % from 1e-12 on, whatever the gradients are.",
    draw_details,
)
