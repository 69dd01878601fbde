"""Figure 3: the headline. Zero weights with random biases on MNIST, one hidden layer."""

from zeroinit.bench.catalogue.parts import TRAIN, baseline, comparison_claims, trio
from zeroinit.bench.labels import BASELINE, NORMAL, PYTORCH, UNIFORM
from zeroinit.bench.spec import Figure, Run

__all__ = ["FIGURE_3"]

FIGURE_3 = Figure(
    name="fig3",
    title="MNIST FNN: zero weights with random biases against the default",
    question=TRAIN,
    curves=(baseline(10), *trio(Run(model="mnist_fnn", epochs=10))),
    published_results={BASELINE: 0.925, PYTORCH: 0.976, NORMAL: 0.971, UNIFORM: 0.972},
    inspected=True,
    sentences=(
        f"On the MNIST dense net zero weights with normal biases end at {{{NORMAL}}}, with uniform biases at "
        f"{{{UNIFORM}}}. PyTorch's default ends at {{{PYTORCH}}}.",
    ),
    claims=comparison_claims("C1", "MNIST FNN"),
)
