"""Study: may the paper's figures be run in bfloat16? Zero weights with normal biases, both precisions, paired by seed.

Hypothesis, written down before the runs: forward and backward passes in bfloat16, with float32 weights and updates,
change no final test accuracy by .5 points or more, although bfloat16 lets biases collide (of 512 normal draws about 416
stay distinct).

On 2026-11-26, before any run on a GPU, two things were decided because there were 15 minutes: 32 seeds of figure 8's
network (margin .5 points), and figures 9 to 11 in bfloat16 beside them, labelled so, whatever comes out. What came out
is undecided (docs/guides/gpu.md).
"""

from dataclasses import replace

from zeroinit.bench.catalogue.networks import RESNET
from zeroinit.bench.spec import Claim, Curve, Figure, Run

__all__ = ["PRECISION"]

NETWORKS = {
    "MNIST FNN": Run(model="mnist_fnn", epochs=10),
    "MNIST CNN": Run(model="mnist_cnn", epochs=15),
    "CIFAR FNN": Run(dataset="cifar10", model="cifar_fnn", epochs=15),
    "CIFAR CNN": Run(dataset="cifar10", model="cifar_cnn", epochs=20),
    "ResNet-50": RESNET,
}
MARGIN = 0.005

PRECISION = Figure(
    name="precision",
    title="bfloat16 against float32: zero weights with normal biases",
    curves=tuple(
        Curve(f"{network}, {precision}", replace(run, initializer="normal_bias", precision=precision))
        for network, run in NETWORKS.items()
        for precision in ("float32", "bf16")
    ),
    claims=tuple(
        Claim(
            f"P7-{network.lower().replace(' ', '-')}-bf16-is-float32",
            f"{network}: bfloat16 ends at the accuracy of float32",
            "close",
            f"{network}, bf16",
            f"{network}, float32",
            margin=MARGIN,
        )
        for network in NETWORKS
    ),
    in_paper=False,
)
