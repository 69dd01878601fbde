"""Study: does a zero start also train as well as PyTorch's default in the paper's large networks, at full width?

The study ``recommended`` had them at a quarter of their width, with fewer images or epochs. Here the networks, images
and epochs are those of figures 9 and 11. Default and normal biases are the runs of these figures.

Hypothesis, written down on 2026-11-27 before any zero start of these networks: its final test accuracy is not below
PyTorch's default by .01 or more. Runs are in bfloat16, under the corrected protocol. The CNN gets five seeds;
default and normal biases had three already. The ResNet-50 gets as many as the time on a GPU gives; one seed decides
nothing. Nothing was chosen for these networks: the zero start's settings follow from their layers.

The CNN's zero start has run with five seeds, its default and normal biases with four. The ResNet-50's has not run yet.
"""

from zeroinit.bench.catalogue.networks import RESNET, Network, network_claims, network_curves
from zeroinit.bench.spec import Figure, Run

__all__ = ["FULL_WIDTH", "NETWORKS"]

NETWORKS = {
    "CIFAR-10 CNN": Network(Run(dataset="cifar10", model="cifar_cnn", epochs=20), 9, has_norms=True),
    "CIFAR-10 ResNet-50": Network(RESNET, 54, has_norms=True, chain=7),
}
MARGIN = 0.01

FULL_WIDTH = Figure(
    name="full_width",
    title="A zero start at full width, against PyTorch's default and the paper's start",
    curves=tuple(curve for name, of in NETWORKS.items() for curve in network_curves(name, of)),
    claims=tuple(
        claim
        for name in NETWORKS
        for claim in network_claims(name, f"full-{name.lower().replace(' ', '-')}", ("R4", "R5"), margin=MARGIN)
    ),
    in_paper=False,
    view="gaps",
)
