"""Study: may the paper's figures be run in bfloat16? Zero weights with normal biases, both precisions, paired by seed.

The forward and backward passes are in bfloat16, weights and updates in float32. In bfloat16 biases collide: of 512
normal draws about 416 stay distinct. Hypothesis, written down before the runs: nevertheless no final test accuracy
changes by .5 points or more.

On 2026-11-26 a GPU was available for 15 minutes. Before any run on it we decided two things. Figure 8's network gets 32
seeds (margin .5 points). Figures 9 to 11 run in bfloat16 and are labeled so, whatever comes out. The result is
undecided (docs/guides/gpu.md).
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
