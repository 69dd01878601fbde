"""Study: which layers get a gradient at which update, from three starts of the CIFAR-10 dense net.

Figure 12 has two of the starts. The third one is the reason for random biases: with everything at zero, the output bias
alone gets a gradient.

Hypothesis, written down before the runs: with everything at zero, no weight gets a gradient in the first five updates.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.paper.fig12 import FIGURE_12
from zeroinit.bench.labels import ALL_ZERO, NORMAL
from zeroinit.bench.spec import Claim, Curve, Figure

__all__ = ["THREE_STARTS"]

_NORMAL = next(curve.run for curve in FIGURE_12.curves if curve.label == NORMAL)

THREE_STARTS = Figure(
    name="three_starts",
    title="CIFAR-10 FNN: which layers get a gradient, from three starts",
    curves=(Curve(ALL_ZERO, replace(_NORMAL, initializer="zero")), *FIGURE_12.curves),
    view="gradients",
    in_paper=False,
    claims=(
        Claim(
            "W1-all-zero-no-gradient",
            "CIFAR-10 FNN: with all weights and biases at zero no weight gets a gradient in the first five updates",
            "every_seed",
            ALL_ZERO,
            measure="no_gradient",
        ),
    ),
)
