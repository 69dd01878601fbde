"""Figure 8: as figure 3, for three hidden layers on CIFAR-10."""

from zeroinit.experiments.catalogue.parts import BASELINE, NORMAL, PYTORCH, UNIFORM, baseline, comparison_claims, trio
from zeroinit.experiments.spec import Figure, Run

__all__ = ["FIGURE_8"]

FIGURE_8 = Figure(
    name="fig8",
    title="CIFAR-10 FNN: zero weights with random biases against the default",
    curves=(baseline(15, "cifar10"), *trio(Run(dataset="cifar10", model="cifar_fnn", epochs=15))),
    published_results={BASELINE: 0.372, PYTORCH: 0.485, NORMAL: 0.488, UNIFORM: 0.490},
    claims=comparison_claims("C6", "CIFAR-10 FNN"),
)
