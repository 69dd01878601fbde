"""The figures of the paper and further studies, one file each.

To add one: write a file that makes a ``Figure`` and add one line to ``FIGURES``.
"""

from zeroinit.bench.catalogue.paper.fig3 import FIGURE_3
from zeroinit.bench.catalogue.paper.fig4 import FIGURE_4
from zeroinit.bench.catalogue.paper.fig5 import FIGURE_5
from zeroinit.bench.catalogue.paper.fig6 import FIGURE_6
from zeroinit.bench.catalogue.paper.fig7 import FIGURE_7
from zeroinit.bench.catalogue.paper.fig8 import FIGURE_8
from zeroinit.bench.catalogue.paper.fig9 import FIGURE_9
from zeroinit.bench.catalogue.paper.fig10 import FIGURE_10
from zeroinit.bench.catalogue.paper.fig11 import FIGURE_11
from zeroinit.bench.catalogue.paper.fig12 import FIGURE_12
from zeroinit.bench.catalogue.studies.explorations import EXPLORATIONS
from zeroinit.bench.catalogue.studies.first_gradients import FIRST_GRADIENTS
from zeroinit.bench.catalogue.studies.full_width import FULL_WIDTH
from zeroinit.bench.catalogue.studies.gap import GAP
from zeroinit.bench.catalogue.studies.large_bias import LARGE_BIAS, LARGE_BIAS_CNN
from zeroinit.bench.catalogue.studies.large_bias_grid import LARGE_BIAS_GRID
from zeroinit.bench.catalogue.studies.plateau import PLATEAU
from zeroinit.bench.catalogue.studies.precision import PRECISION
from zeroinit.bench.catalogue.studies.recommended import RECOMMENDED
from zeroinit.bench.catalogue.studies.remaining import REMAINING
from zeroinit.bench.catalogue.studies.residual import RESIDUAL
from zeroinit.bench.catalogue.studies.starts import STARTS, STARTS_CNN
from zeroinit.bench.catalogue.studies.three_starts import THREE_STARTS
from zeroinit.bench.catalogue.studies.transfer import TRANSFER
from zeroinit.bench.spec import Figure

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
        STARTS,
        STARTS_CNN,
        PLATEAU,
        FIRST_GRADIENTS,
        THREE_STARTS,
        PRECISION,
        GAP,
        LARGE_BIAS,
        LARGE_BIAS_CNN,
        LARGE_BIAS_GRID,
        RECOMMENDED,
        FULL_WIDTH,
        TRANSFER,
        RESIDUAL,
        REMAINING,
        *EXPLORATIONS,
    )
}
