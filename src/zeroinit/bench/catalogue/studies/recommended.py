"""Study: does a zero start train as well as PyTorch's default, from zero weights?

A zero start (``zeroinit.zero_start_``) sets weights to zero, and biases and the beta of norms to N(0, 1) × 0.1. During
the first k updates norms act as affine maps, and random signs multiply the gradient per example and position. Then the
moments are reset, and each weight becomes orthogonal in the default's size. After update k training is as usual. For
n layers in one chain k is 2 (n + 1), at least 10.

All choices were made on validation accuracy with seeds 100 and 101, which are not used here, and never on test images.
docs/results/what_did_not_work.md lists every try.

Hypothesis, written down before the runs: the final test accuracy is not below that of PyTorch's default by .003 or more
on MNIST and .01 on CIFAR-10. There are ten seeds, for the CIFAR-10 CNN three. The CNNs are of reduced size. The MNIST
CNN has 12,000 training images and 6 epochs. The CIFAR-10 CNN has a quarter of its width, 12,000 images and 12 epochs.

Two networks were added on 2026-11-25, with the same hypothesis, before any of their runs:

* The MNIST CNN with all images, the first 4 of the 15 epochs of figure 5, ten seeds. With 12,000 images ten seeds had
  left -.0015 [-.0041, +.0012]. With all images accuracy varies less.
* The first of the 30 epochs of figure 11, with the ResNet-50 at a quarter of its width, three seeds. This is about as
  much as a processor can do, and probably too little to resolve a difference of .01.

On 2026-11-26 the CIFAR-10 CNN's default and zero start got ten seeds instead of three.

A control was added after the zero start had beaten the default on the CIFAR-10 CNN. It is part of no claim: PyTorch's
default, made orthogonal after its first update, three seeds. It shows how much of the gain comes from orthogonal
weights.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.networks import QUARTER_CNN, RESNET, SMALL_CNN, Network, network_claims, network_curves
from zeroinit.bench.labels import NORMAL, PYTORCH, ZERO_START
from zeroinit.bench.spec import Curve, Figure, Run

__all__ = ["RECOMMENDED"]

NETWORKS = {
    "MNIST FNN": Network(Run(), 2),
    "CIFAR-10 FNN": Network(Run(dataset="cifar10", model="cifar_fnn", epochs=15), 4),
    "MNIST CNN": Network(SMALL_CNN, 3),
    "CIFAR-10 CNN": Network(QUARTER_CNN, 9, has_norms=True),
    "MNIST CNN, all images": Network(Run(model="mnist_cnn", epochs=4), 3),
    "CIFAR-10 ResNet-50": Network(replace(RESNET, model="resnet50_quarter", epochs=1), 54, has_norms=True, chain=7),
}

MARGINS = {"mnist": 0.003, "cifar10": 0.01}

QUICK = tuple(
    f"{network}: {name}"
    for network in ("MNIST FNN", "CIFAR-10 FNN", "MNIST CNN", "CIFAR-10 CNN")
    for name in (PYTORCH, NORMAL, ZERO_START)
)
"""What the quick profile has: it makes both sizes of the MNIST CNN the same run, and has no time for a ResNet-50."""


RECOMMENDED = Figure(
    name="recommended",
    title="A zero start against PyTorch's default and the paper's start",
    curves=(
        *(curve for name, of in NETWORKS.items() for curve in network_curves(name, of)),
        *(
            Curve(f"{name}: default, orthogonal", replace(NETWORKS[name].run, remedy="weight_orthogonal:1"))
            for name in ("CIFAR-10 FNN", "CIFAR-10 CNN")
        ),
    ),
    claims=tuple(
        claim
        for network, of in NETWORKS.items()
        for claim in network_claims(
            network, network.lower().replace(",", "").replace(" ", "-"), ("R1", "R2"), margin=MARGINS[of.run.dataset]
        )
    ),
    in_paper=False,
    view="gaps",
    subsets={"quick": QUICK},
)
