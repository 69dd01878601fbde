"""The figures of the paper and further studies, one file each.

To add one: write a file that makes a ``Figure`` and add one line to ``FIGURES``.
"""

from zeroinit.bench.experiments.catalogue.explorations import EXPLORATIONS
from zeroinit.bench.experiments.catalogue.fig3 import FIGURE_3
from zeroinit.bench.experiments.catalogue.fig4 import FIGURE_4
from zeroinit.bench.experiments.catalogue.fig5 import FIGURE_5
from zeroinit.bench.experiments.catalogue.fig6 import FIGURE_6
from zeroinit.bench.experiments.catalogue.fig7 import FIGURE_7
from zeroinit.bench.experiments.catalogue.fig8 import FIGURE_8
from zeroinit.bench.experiments.catalogue.fig9 import FIGURE_9
from zeroinit.bench.experiments.catalogue.fig10 import FIGURE_10
from zeroinit.bench.experiments.catalogue.fig11 import FIGURE_11
from zeroinit.bench.experiments.catalogue.fig12 import FIGURE_12
from zeroinit.bench.experiments.catalogue.gap import GAP
from zeroinit.bench.experiments.catalogue.large_bias import LARGE_BIAS, LARGE_BIAS_CNN
from zeroinit.bench.experiments.catalogue.large_bias_grid import LARGE_BIAS_GRID
from zeroinit.bench.experiments.catalogue.plateau import PLATEAU
from zeroinit.bench.experiments.catalogue.precision import PRECISION
from zeroinit.bench.experiments.catalogue.recommended import RECOMMENDED
from zeroinit.bench.experiments.catalogue.remaining import REMAINING
from zeroinit.bench.experiments.catalogue.residual import RESIDUAL
from zeroinit.bench.experiments.catalogue.transfer import TRANSFER
from zeroinit.bench.experiments.catalogue.unlock import UNLOCK
from zeroinit.bench.experiments.spec import Figure

__all__ = ["FIGURES"]

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        FIGURE_3,
        FIGURE_4,
        FIGURE_5,
        FIGURE_6,
        FIGURE_7,
        FIGURE_8,
        FIGURE_9,
        FIGURE_10,
        FIGURE_11,
        FIGURE_12,
        PLATEAU,
        UNLOCK,
        PRECISION,
        GAP,
        LARGE_BIAS,
        LARGE_BIAS_CNN,
        LARGE_BIAS_GRID,
        RECOMMENDED,
        TRANSFER,
        RESIDUAL,
        REMAINING,
        *EXPLORATIONS,
    )
}
