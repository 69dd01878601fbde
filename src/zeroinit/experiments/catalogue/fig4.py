"""Figure 4: the scale of the biases, MNIST FNN."""

from zeroinit.experiments.catalogue.parts import scale_claims, scales
from zeroinit.experiments.spec import Figure, Run

__all__ = ["FIGURE_4"]

FIGURE_4 = Figure(
    name="fig4",
    title="MNIST FNN: normal biases, scaled up and down",
    curves=scales(Run(model="mnist_fnn", epochs=10)),
    published_results={"Normal": 0.971, "Normal ×0.01": 0.971, "Normal ×100": 0.86},
    claims=scale_claims("C2", "MNIST FNN"),
)
