"""Drawing: tidy frames and an ``Axes`` go in, the ``Axes`` comes out. One style file; no statistics, no torch."""

from zeroinit.plots.curves import accuracy_curves
from zeroinit.plots.finals import final_accuracies
from zeroinit.plots.style import STYLE, color_of, new_figure, new_panels, save_figure

__all__ = ["STYLE", "accuracy_curves", "color_of", "final_accuracies", "new_figure", "new_panels", "save_figure"]
