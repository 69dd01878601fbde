"""Plots: they take a tidy frame and an ``Axes``, and return the ``Axes``. One style file; no statistics, no torch."""

from zeroinit.bench.plots.collapse import collapse_chart
from zeroinit.bench.plots.curves import accuracy_curves
from zeroinit.bench.plots.finals import final_accuracies
from zeroinit.bench.plots.gradients import gradient_quantiles
from zeroinit.bench.plots.steps import step_curves
from zeroinit.bench.plots.style import STYLE, color_of, new_figure, new_grid, new_panels, new_rows, save_figure
from zeroinit.bench.plots.wakeup import wake_up_chart, wake_up_legend

__all__ = [
    "STYLE",
    "accuracy_curves",
    "collapse_chart",
    "color_of",
    "final_accuracies",
    "gradient_quantiles",
    "new_figure",
    "new_grid",
    "new_panels",
    "new_rows",
    "save_figure",
    "step_curves",
    "wake_up_chart",
    "wake_up_legend",
]
