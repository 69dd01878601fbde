"""Figure 5: as figure 3, for the CNN. The paper trained its baseline for 10 epochs and the rest for 15."""

from zeroinit.bench.catalogue.parts import TRAIN, baseline, comparison_claims, trio
from zeroinit.bench.labels import BASELINE, NORMAL, PYTORCH, UNIFORM
from zeroinit.bench.spec import Figure, Run

__all__ = ["FIGURE_5"]

FIGURE_5 = Figure(
    name="fig5",
    title="MNIST CNN: zero weights with random biases against the default",
    question=TRAIN,
    curves=(baseline(10), *trio(Run(model="mnist_cnn", epochs=15))),
    published_results={BASELINE: 0.925, PYTORCH: 0.977, NORMAL: 0.973, UNIFORM: 0.963},
    claims=comparison_claims("C3", "MNIST CNN"),
)
