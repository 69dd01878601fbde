"""Figure 9: as figure 3, for a CNN with max pooling and batch norm on CIFAR-10. Its baseline has 15 epochs."""

from zeroinit.experiments.catalogue.parts import baseline, comparison_claims, trio
from zeroinit.experiments.labels import BASELINE, NORMAL, PYTORCH, UNIFORM
from zeroinit.experiments.spec import Figure, Run

__all__ = ["FIGURE_9"]

FIGURE_9 = Figure(
    name="fig9",
    title="CIFAR-10 CNN: zero weights with random biases against the default",
    curves=(baseline(15, "cifar10"), *trio(Run(dataset="cifar10", model="cifar_cnn", epochs=20))),
    published_results={BASELINE: 0.37, PYTORCH: 0.795, NORMAL: 0.70, UNIFORM: 0.69},
    claims=comparison_claims("C7", "CIFAR-10 CNN"),
)
