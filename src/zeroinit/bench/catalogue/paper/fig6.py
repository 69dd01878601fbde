"""Figure 6: the scale of the biases, MNIST CNN."""

from zeroinit.bench.catalogue.parts import DOWNSCALED, SCALE, UPSCALED, scale_claims, scales
from zeroinit.bench.labels import NORMAL
from zeroinit.bench.spec import Claim, Figure, Run

__all__ = ["FIGURE_6"]

FIGURE_6 = Figure(
    name="fig6",
    title="MNIST CNN: normal biases, scaled up and down",
    question=SCALE,
    curves=scales(Run(model="mnist_cnn", epochs=15)),
    published_results={NORMAL: 0.975, DOWNSCALED: 0.975, UPSCALED: 0.10},
    claims=(
        *scale_claims("C4", "MNIST CNN"),
        Claim(
            "C4-upscaled-never-learns",
            "MNIST CNN: with biases ×100 the network does not rise above the share of the most frequent class",
            "not_above",
            UPSCALED,
            margin=0.02,
        ),
    ),
)
