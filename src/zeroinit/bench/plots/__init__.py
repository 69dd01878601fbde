"""Plots: they take a tidy frame and an ``Axes``, and return the ``Axes``. One style file; no statistics, no torch."""

from zeroinit.bench.plots.chart import chart_data
from zeroinit.bench.plots.collapse import collapse_chart
from zeroinit.bench.plots.curves import accuracy_curves
from zeroinit.bench.plots.finals import final_accuracies, reach_of
from zeroinit.bench.plots.gradients import gradient_quantiles
from zeroinit.bench.plots.names import leave_empty, name_curves
from zeroinit.bench.plots.steps import step_curves
from zeroinit.bench.plots.style import (
    FEW,
    INK,
    STYLE,
    boxes_for_missing_glyphs,
    color_of,
    dark_rules,
    is_named,
    new_figure,
    new_grid,
    new_panels,
    new_rows,
    save_figure,
    text_width,
)
from zeroinit.bench.plots.wakeup import first_gradient_grid, wake_up_chart, wake_up_legend

__all__ = [
    "FEW",
    "INK",
    "STYLE",
    "accuracy_curves",
    "boxes_for_missing_glyphs",
    "chart_data",
    "collapse_chart",
    "color_of",
    "dark_rules",
    "final_accuracies",
    "first_gradient_grid",
    "gradient_quantiles",
    "is_named",
    "leave_empty",
    "name_curves",
    "new_figure",
    "new_grid",
    "new_panels",
    "new_rows",
    "reach_of",
    "save_figure",
    "step_curves",
    "text_width",
    "wake_up_chart",
    "wake_up_legend",
]
