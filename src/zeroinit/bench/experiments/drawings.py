"""How a figure is shown: a drawing, a table and a note. To add one: one line in ``DRAWINGS``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zeroinit.bench.experiments.analysis import FigureSummary, final_frame
from zeroinit.bench.experiments.readings.bias_grid import read_grid
from zeroinit.bench.experiments.readings.gaps import difference_frame, gap_frame, gaps, rank_frame
from zeroinit.bench.experiments.readings.gradient_frames import READINGS, quantile_frame, wake_frame
from zeroinit.bench.experiments.readings.mechanisms import mechanism_losses
from zeroinit.bench.experiments.readings.symmetry_frames import symmetry_frame
from zeroinit.bench.experiments.spec import PROFILES
from zeroinit.bench.experiments.tables import (
    Table,
    accuracy_table,
    gap_table,
    gradient_table,
    grid_table,
    mechanism_table,
    symmetry_table,
    wake_table,
)
from zeroinit.bench.plots import (
    accuracy_curves,
    collapse_chart,
    final_accuracies,
    gradient_quantiles,
    new_figure,
    new_grid,
    new_panels,
    new_rows,
    step_curves,
    wake_up_chart,
    wake_up_legend,
)

__all__ = ["DRAWINGS", "Drawing"]

DIFFERENCE = "Final test accuracy minus that of PyTorch's default"
SYMMETRIES = {"position_spread": "Position spread", "weight_rank": "Rank over the largest possible"}
"""What is drawn of symmetries, by the name of the measure."""
MOST_STEPS = 5
"""Update steps in the drawing of gradients, as in the paper."""


@dataclass(frozen=True)
class Drawing:
    """How the results of a figure are shown.

    Attributes:
        draw: ``(summary, title, profile) -> figure``.
        table: ``(summary, profile, protocol) -> table``.
        note: What the reader has to know to read it; empty if nothing.
    """

    draw: Callable[[FigureSummary, str, str], Figure]
    table: Callable[[FigureSummary, str, str], Table]
    note: str = ""


def draw_accuracies(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw test accuracy by epoch, and the final ones beside the published."""
    figure, (left, right) = new_panels([5, 3])
    accuracy_curves(summary.frame, left, title=title)
    final_accuracies(final_frame(summary, with_published=PROFILES[profile].is_paper), right)
    return figure


def draw_gradients(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw the weight gradients of each layer at each step: above as they are, below as the paper read them."""
    frame = quantile_frame(summary, MOST_STEPS)
    labels, layers = list(dict.fromkeys(frame["label"])), sorted(set(frame["layer"]))
    figure, grid = new_grid(len(READINGS), len(layers), 2.6 * len(layers), 6.6, title)
    for row, reading in zip(grid, READINGS.values(), strict=True):
        for axes, layer in zip(row, layers, strict=True):
            part = frame[(frame["reading"] == reading) & (frame["layer"] == layer)]
            place = {layers[0]: " (input)", layers[-1]: " (output)"}.get(layer, "")
            gradient_quantiles(part, axes, labels=labels, title=f"Layer {layer}{place}" if row is grid[0] else "")
            axes.label_outer()
        row[0].set_ylabel(reading.capitalize())
    handles = [line for line in grid[0][0].lines if not str(line.get_label()).startswith("_")]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)
    return figure


def draw_wake_up(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw for each variant when each weight gets its first gradient and by what; the first seed that is there."""
    frame = wake_frame(summary)
    variants = list(dict.fromkeys(frame["variant"]))
    columns = min(3, max(1, len(variants)))
    rows = max(1, -(-len(variants) // columns))
    figure, grid = new_grid(rows, columns, 3.4 * columns, 3.6 * rows, title)
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
    figure.legend(handles=wake_up_legend(), loc="outside lower left", ncols=4, frameon=False)
    return figure


def draw_differences(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw one difference from PyTorch's default for each network, and their mean."""
    frame = difference_frame(gaps(summary))
    figure, axes = new_figure(7.2, 1.4 + 0.24 * len(frame))
    final_accuracies(frame, axes, xlabel=DIFFERENCE, bounded=False)
    axes.axvline(0, color="#222222", linewidth=0.8)
    axes.set_title(title, loc="left")
    return figure


def draw_mechanisms(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw the final accuracies of all combinations and cures, and the loss that each mechanism is charged with."""
    figure, (left, right) = new_panels([3, 2], height=5.2)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    final_accuracies(final_frame(summary, with_published=False), left)
    losses = mechanism_losses(summary)
    if losses:
        rows = [(name, each.loss.value, each.loss.low, each.loss.high, np.nan) for name, each in losses.items()]
        frame = pd.DataFrame(rows, columns=["label", "mean", "low", "high", "published"])
        final_accuracies(frame, right, xlabel="Loss charged to it (Shapley)", bounded=False)
        right.set_xlim(left=min(0.0, right.get_xlim()[0]))
    return figure


def draw_collapse(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw seen against predicted losses, held-out settings filled, and the rank correlation of each predictor."""
    figure, (left, right) = new_panels([3, 2], height=5.2)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    reading = read_grid(summary)
    if reading is None:
        left.set_title("Too few contexts are stored to fit the predictor", loc="left")
        return figure
    points = reading.frame.rename(columns={"part": "label", "loss": "seen"})
    collapse_chart(points, left, quantity="Loss of accuracy")
    part = list(reading.correlations)[-1]
    rows = [(name, each.value, each.low, each.high, np.nan) for name, each in reading.correlations[part].items()]
    frame = pd.DataFrame(rows, columns=["label", "mean", "low", "high", "published"])
    final_accuracies(frame, right, xlabel=f"Rank correlation with the loss, {part}", bounded=False)
    right.axvline(0, color="#222222", linewidth=0.8)
    return figure


def draw_gaps(summary: FigureSummary, title: str, profile: str) -> Figure:
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


def draw_symmetries(summary: FigureSummary, title: str, profile: str) -> Figure:
    """Draw for each network how much weights vary over positions, and the rank they have, by update step."""
    frame = symmetry_frame(summary)
    networks, labels = list(dict.fromkeys(frame["network"])), list(dict.fromkeys(frame["label"]))
    figure, rows = new_rows(max(1, len(networks)), [1, 1], 9.6, 3.2, title)
    for row, network in zip(rows, networks, strict=False):
        for axes, (measure, ylabel) in zip(row, SYMMETRIES.items(), strict=True):
            part = frame[(frame["network"] == network) & (frame["measure"] == measure)]
            step_curves(part, axes, labels=labels, ylabel=ylabel)
        row[0].set_title(network, loc="left")
    handles = rows[0][0].lines
    figure.legend(handles=handles, loc="outside lower left", ncols=max(1, len(handles)), frameon=False)
    return figure


DRAWINGS: dict[str, Drawing] = {
    "accuracies": Drawing(draw_accuracies, accuracy_table),
    "gradients": Drawing(
        draw_gradients,
        gradient_table,
        "Box: middle half of the entries; thick line: 90 %; thin line: all; tick: median. Each quantile is its median "
        "over the seeds. A hollow circle: every entry is exactly zero, in every seed. Below: the same for the bin "
        "edges of TensorBoard's histograms, which is what the paper's figure shows; they grow by 10 % from 1e-12 on, "
        "whatever the gradients are.",
    ),
    "wake_up": Drawing(
        draw_wake_up,
        wake_table,
        "A signal: the first gradient is the same in float32 and float64 within a factor of 2, at the same step. "
        "Rounding: it is smaller by a factor of 1,000 at least in float64, or zero. The drawing shows the first seed.",
    ),
    "gaps": Drawing(
        draw_gaps,
        gap_table,
        "Differences are paired by seed. Closed: the share of the gap between normal biases and PyTorch's default that "
        "is gone, 1 for all of it, with a jackknife interval. Rank: effective rank of the first weight before the "
        "update of that step, mean over the seeds.",
    ),
    "symmetries": Drawing(
        draw_symmetries,
        symmetry_table,
        "Position spread: the share of a weight's squared norm that varies over the taps of its kernels, or over the "
        "positions of the map that a dense layer is on; 0 if the symmetry under translation is whole, 1 - 1/positions "
        "for entries drawn alone; mean over the weights that have positions. Rank: effective rank over the largest "
        "that the shape allows, mean over layers. Warnings, distinct units and activations: what the inspector says "
        "of the trained networks.",
    ),
    "differences": Drawing(
        draw_differences,
        gap_table,
        "Differences are paired by seed. All networks: the mean over them, with an interval over the seeds.",
    ),
    "collapse": Drawing(
        draw_collapse,
        grid_table,
        "Loss: the best accuracy of biases ×1, ×0.1, ×1 with output biases 0 and scale='auto' in the same context, "
        "minus that of the setting. Held-out contexts were not used to choose or to fit the predictor; on the fitting "
        "set each tenth of the contexts is predicted from the others. Equal values share their mean rank. Intervals: "
        "percentile bootstrap over contexts, t for differences of accuracies.",
    ),
    "mechanisms": Drawing(
        draw_mechanisms,
        mechanism_table,
        "Each mechanism is switched on and off on its own; the loss of all three together is divided among them by "
        "Shapley values, whose sum it is. Intervals over the seeds that all eight combinations have.",
    ),
}
