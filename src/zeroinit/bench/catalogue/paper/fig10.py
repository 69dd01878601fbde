"""Figure 10: zero weights and zero biases on CIFAR-10: symmetry is never broken."""

from zeroinit.bench.catalogue.parts import EVERYTHING_ZERO, baseline, zero_claims
from zeroinit.bench.labels import BASELINE
from zeroinit.bench.spec import Curve, Figure, Run

__all__ = ["FIGURE_10"]

FNN_ZERO, CNN_ZERO = "FNN zero", "CNN zero"

FIGURE_10 = Figure(
    name="fig10",
    title="CIFAR-10: zero weights and zero biases",
    question=EVERYTHING_ZERO,
    curves=(
        baseline(5, "cifar10"),
        Curve(FNN_ZERO, Run(dataset="cifar10", model="cifar_fnn", initializer="zero", epochs=5)),
        Curve(CNN_ZERO, Run(dataset="cifar10", model="cifar_cnn", initializer="zero", epochs=5)),
    ),
    published_results={BASELINE: 0.362, FNN_ZERO: 0.10, CNN_ZERO: 0.10},
    claims=zero_claims("C8", {"CIFAR-10 FNN": FNN_ZERO, "CIFAR-10 CNN": CNN_ZERO}),
    remarks=(
        "Logistic regression jumps by 2 points from one epoch to the next (seed 0: 37.6 %, 36.3 %, 38.3 % at epochs "
        "3 to 5). So its final accuracy depends on where the run stops.",
    ),
)
