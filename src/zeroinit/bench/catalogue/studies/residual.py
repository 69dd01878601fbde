"""Study: does a zero start train residual networks as well as PyTorch's default, from zero weights?

The paper's figure 11 has a ResNet-50 whose code left 52 of 54 weights at PyTorch's default. Here all of them are zero.
The data are the 8x8 digits, standardized, in batches of 32, 12 epochs. The networks are the paper's ResNet-50 at full
width and with a quarter of its channels, and a ResNet-18. With CIFAR-10 the ResNet-50 takes days on a processor.

A residual network has paths past its layers. So the last of a ResNet-50's 54 weights moves at update 7 (the study
``first_gradients``), that of a ResNet-18 at update 6. The zero start therefore has 16 and 14 steps. Norms are affine in
the first half of them, and weights become orthonormal half-way and at the end. This was chosen on validation accuracy
of the ResNet-50 at a quarter of the width, seeds 100 to 103. The ResNet-18 and the full width were not used.

Hypothesis, written down before the runs: the final test accuracy is not below that of PyTorch's default by .02 or more.
There are 450 test images and ten seeds (ResNet-50 of full width, ResNet-18: three). The margin is that of ``transfer``.
"Orthogonal once" is the zero start as it was before, with as many steps. It is part of no claim.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.networks import QUARTER_RESNET, Network, network_claims, network_curves, settings_of
from zeroinit.bench.labels import NORMAL, PYTORCH, ZERO_START
from zeroinit.bench.spec import Curve, Figure

__all__ = ["NETWORKS", "RESIDUAL"]

NETWORKS = {
    "ResNet-50, quarter": Network(QUARTER_RESNET, 54, has_norms=True, chain=7),
    "ResNet-50": Network(replace(QUARTER_RESNET, model="resnet50"), 54, has_norms=True, chain=7),
    "ResNet-18": Network(replace(QUARTER_RESNET, model="resnet18"), 21, has_norms=True, chain=6),
}

ONCE = "orthogonal once"
PARTS = ("affine_norms", "position_signs", "moment_reset", "weight_orthogonal")
MARGIN = 0.02


RESIDUAL = Figure(
    name="residual",
    title="Digits: residual networks with all weights at zero",
    curves=(
        *(curve for name, network in NETWORKS.items() for curve in network_curves(name, network)),
        Curve(f"ResNet-50, quarter: {ONCE}", replace(QUARTER_RESNET, **settings_of(PARTS, 7))),
    ),
    claims=tuple(
        claim
        for network in NETWORKS
        for claim in network_claims(
            network, network.lower().replace(", ", "-"), ("R4", "R5"), margin=MARGIN, where="Digits, "
        )
    ),
    in_paper=False,
    view="gaps",
    overrides={"quick": {"epochs": 2}},
    subsets={"quick": tuple(f"ResNet-50, quarter: {name}" for name in (PYTORCH, NORMAL, ZERO_START))},
)
