"""Study: what symmetry is left after training from zero weights, as the inspector sees it.

Where a gap to PyTorch's default remains, or may remain, something may still be identical:

* units;
* directions: few of them, so the effective rank is low;
* positions: those of a kernel, or of the map that a dense layer reads. The position spread is then low.

The MNIST CNN has 12,000 images and 6 epochs, as in the study ``gap``. The ResNet-50 has a quarter of its channels, the
8x8 digits and 12 epochs, as in ``residual``. Three seeds.

Hypotheses, written down on 2026-11-25 before the runs, after a look at one seed of the MNIST CNN on digits:

* With a zero start the inspector has no warning after training, and no two units are identical.
* With a zero start the mean position spread is less than .1 below that of PyTorch's default. With the paper's start it
  is more than .1 below.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.networks import QUARTER_RESNET, SMALL_CNN, Network, network_curves
from zeroinit.bench.labels import NORMAL, PYTORCH, ZERO_START
from zeroinit.bench.spec import Claim, Figure

__all__ = ["REMAINING"]

NETWORKS = {
    "MNIST CNN": Network(SMALL_CNN, 3),
    "Digits ResNet-50, quarter": Network(QUARTER_RESNET, 54, has_norms=True, chain=7),
}

MARGIN = 0.1


def _claims(network: str, word: str) -> tuple[Claim, ...]:
    default, normal, ours = (f"{network}: {name}" for name in (PYTORCH, NORMAL, ZERO_START))
    return (
        Claim(
            f"S1-{word}-told-apart",
            f"{network}: trained from a zero start it has no identical units, and the inspector has no warning",
            "every_seed",
            ours,
            measure="no_identical_units",
        ),
        Claim(
            f"S2-{word}-recipe-positions",
            f"{network}: trained from a zero start weights vary over positions as those of PyTorch's default",
            "not_worse",
            ours,
            default,
            MARGIN,
            "position_spread",
        ),
        Claim(
            f"S3-{word}-normal-positions",
            f"{network}: trained from normal biases alone they vary less",
            "greater",
            default,
            normal,
            MARGIN,
            "position_spread",
        ),
    )


REMAINING = Figure(
    name="remaining",
    title="What symmetry is left after training from zero weights",
    curves=tuple(
        curve
        for name, network in NETWORKS.items()
        for curve in network_curves(name, network._replace(run=replace(network.run, recorder="symmetry")))
    ),
    claims=(*_claims("MNIST CNN", "mnist-cnn"), *_claims("Digits ResNet-50, quarter", "digits-resnet50")),
    in_paper=False,
    view="symmetries",
    overrides={"quick": {"epochs": 2}},
)
