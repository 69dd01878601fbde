"""Figure 7: zero weights and zero biases on MNIST: symmetry is never broken."""

from zeroinit.bench.catalogue.parts import EVERYTHING_ZERO, baseline, zero_claims
from zeroinit.bench.labels import BASELINE
from zeroinit.bench.spec import Curve, Figure, Run

__all__ = ["FIGURE_7"]

FNN_ZERO, CNN_ZERO = "FNN zero", "CNN zero"

FIGURE_7 = Figure(
    name="fig7",
    title="MNIST: zero weights and zero biases",
    question=EVERYTHING_ZERO,
    curves=(
        baseline(5),
        Curve(FNN_ZERO, Run(model="mnist_fnn", initializer="zero", epochs=5)),
        Curve(CNN_ZERO, Run(model="mnist_cnn", initializer="zero", epochs=5)),
    ),
    published_results={BASELINE: 0.92, FNN_ZERO: 0.113, CNN_ZERO: 0.113},
    sentences=(f"All zero: the dense net on MNIST stays at {{{FNN_ZERO}}}, the CNN at {{{CNN_ZERO}}}.",),
    inspected=True,
    claims=zero_claims("C5", {"MNIST FNN": FNN_ZERO, "MNIST CNN": CNN_ZERO}),
)
