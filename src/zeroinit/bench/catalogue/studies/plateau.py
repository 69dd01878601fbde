"""Study: what does a batch norm do to zero weights, at a size that a processor can train?

Figure 9's network with a quarter of its channels and units, 12,000 training images, 12 epochs.

Hypotheses, written down before the runs, with three seeds and the margins of the claims:

* With beta = 0 nothing below the last norm has a gradient in exact arithmetic. So with a norm that does not round
  constant channels the network stays at one class. With torch's norm it escapes late, by rounding: the plateau.
* A random beta alone is no repair. It lets the first dense layer train, but no convolution. So with the exact norm all
  images still give one output.
* Norms that act as affine maps during the first 20 steps are a repair. Nine layers get their first gradients one after
  the other, and the plateau is gone. These gradients are a signal, so the exact norm makes no difference.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.networks import QUARTER_CNN
from zeroinit.bench.labels import PYTORCH
from zeroinit.bench.spec import Claim, Curve, Figure

__all__ = ["PLATEAU"]

ZERO_BETA = replace(QUARTER_CNN, initializer="normal_bias")
RANDOM_BETA = replace(ZERO_BETA, norm_aware=True)
SMALL = replace(RANDOM_BETA, scale=0.1)
REPAIRED = replace(SMALL, remedy="affine_norms", remedy_steps=20)

TORCH, EXACT = "torch's norm", "exact norm"
DEFAULT = f"{TORCH}: {PYTORCH}"
NORMAL, NORMAL_EXACT = (f"{norm}: normal biases, β = 0" for norm in (TORCH, EXACT))
RANDOM, RANDOM_EXACT = (f"{norm}: normal biases, random β" for norm in (TORCH, EXACT))
SMALLER = f"{TORCH}: normal biases ×0.1, random β"
REPAIR, REPAIR_EXACT = (f"{norm}: ×0.1, random β, norms affine at first" for norm in (TORCH, EXACT))


def one_class(claim: str, words: str, label: str) -> Claim:
    """Return the claim that a network never leaves the share of one class."""
    return Claim(
        claim, f"CIFAR-10 CNN (quarter): {words} it does not rise above one class", "not_above", label, "", 0.01
    )


PLATEAU = Figure(
    name="plateau",
    title="CIFAR-10 CNN (quarter width): plateau, exact norm and repair",
    curves=(
        Curve(DEFAULT, QUARTER_CNN),
        Curve(NORMAL, ZERO_BETA),
        Curve(NORMAL_EXACT, replace(ZERO_BETA, norm="exact")),
        Curve(RANDOM, RANDOM_BETA),
        Curve(RANDOM_EXACT, replace(RANDOM_BETA, norm="exact")),
        Curve(SMALLER, SMALL),
        Curve(REPAIR, REPAIRED),
        Curve(REPAIR_EXACT, replace(REPAIRED, norm="exact")),
    ),
    claims=(
        one_class("P1-zero-beta-exact-one-class", "with β = 0 and an exact norm", NORMAL_EXACT),
        one_class("P2-random-beta-exact-one-class", "with a random β alone and an exact norm", RANDOM_EXACT),
        Claim(
            "P3-rounding-escapes",
            "CIFAR-10 CNN (quarter): with β = 0 torch's batch norm beats the exact one, by rounding alone",
            "greater",
            NORMAL,
            NORMAL_EXACT,
            margin=0.02,
        ),
        Claim(
            "P4-repair-beats-zero-beta",
            "CIFAR-10 CNN (quarter): norms that act as affine maps at first beat β = 0",
            "greater",
            REPAIR,
            NORMAL,
        ),
        Claim(
            "P5-repair-is-signal",
            "CIFAR-10 CNN (quarter): after that repair an exact norm makes no difference",
            "close",
            REPAIR_EXACT,
            REPAIR,
            margin=0.02,
        ),
        Claim(
            "P6-repair-gap",
            "CIFAR-10 CNN (quarter): PyTorch's default stays ahead of the repair",
            "greater",
            DEFAULT,
            REPAIR,
        ),
    ),
    sentences=(
        f"With β = 0 torch's norm ends at {{{NORMAL}}} and an exact norm at {{{NORMAL_EXACT}}}.",
        f"With norms that are affine at first it is {{{REPAIR}}} and {{{REPAIR_EXACT}}}. PyTorch's default: "
        f"{{{DEFAULT}}}.",
    ),
    in_paper=False,
)
