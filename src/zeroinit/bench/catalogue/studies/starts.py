"""Study: eight starts of a dense network and four of a CNN, each watched while gradients reach its layers.

The first command runs this study on the 8x8 digits. Hypotheses, written down before the runs, with five seeds: with
everything at zero the network stays at one class. Normal biases break the symmetry, give the layers their first
gradients one step after the other, and come close to PyTorch's default. Biases ×0.01 do no harm, and biases ×100 do. A
zero start is not worse than the default.
"""

from dataclasses import replace

from zeroinit.bench.catalogue.networks import zero_start
from zeroinit.bench.catalogue.parts import CLOSE, DOWNSCALED, HARMLESS, UNSTABLE, UPSCALED
from zeroinit.bench.labels import ALL_ZERO, BASELINE, NORMAL, PYTORCH, UNIFORM, ZERO_START
from zeroinit.bench.spec import Claim, Curve, Figure, Run

__all__ = ["STARTS", "STARTS_CNN"]

DENSE = Run(recorder="gradient_sizes")
CNN = Run(model="mnist_cnn", epochs=15, recorder="gradient_sizes")


def _starts(run: Run, num_layers: int) -> dict[str, Run]:
    normal = replace(run, initializer="normal_bias")
    return {
        ALL_ZERO: replace(run, initializer="zero"),
        NORMAL: normal,
        UNIFORM: replace(run, initializer="uniform_bias"),
        DOWNSCALED: replace(normal, scale=0.01),
        UPSCALED: replace(normal, scale=100.0),
        PYTORCH: run,
        ZERO_START: replace(run, **zero_start(num_layers)),
    }


def _claims(number: str, network: str) -> tuple[Claim, ...]:
    word = network.lower().replace(" ", "-")
    return (
        Claim(
            f"{number}1-{word}-all-zero-one-class",
            f"{network}: with all parameters zero it does not rise above the share of the most frequent class",
            "not_above",
            ALL_ZERO,
            margin=0.001,
        ),
        Claim(
            f"{number}2-{word}-normal-close",
            f"{network}: zero weights with normal biases come close to PyTorch's default",
            "close",
            NORMAL,
            PYTORCH,
            margin=CLOSE,
        ),
        Claim(
            f"{number}3-{word}-zero-start-as-good",
            f"{network}: a zero start is not worse than PyTorch's default",
            "not_worse",
            ZERO_START,
            PYTORCH,
            margin=CLOSE,
        ),
        Claim(
            f"{number}4-{word}-one-layer-per-step",
            f"{network}: with normal biases gradients reach the layers from the output to the input, one layer more "
            "per update step; with PyTorch's default all layers have them from the first",
            "every_seed",
            NORMAL,
            PYTORCH,
            measure="one_layer_per_step",
        ),
    )


STARTS = Figure(
    name="starts",
    title="Dense network: eight starts",
    curves=(
        Curve(BASELINE, replace(DENSE, model="logistic_regression")),
        *(Curve(label, run) for label, run in _starts(DENSE, num_layers=2).items()),
    ),
    claims=(
        *_claims("S", "Dense network"),
        Claim(
            "S5-dense-network-beats-baseline",
            "Dense network: zero weights with normal biases beat logistic regression",
            "greater",
            NORMAL,
            BASELINE,
        ),
        Claim(
            "S6-dense-network-upscaled-harms",
            "Dense network: biases ×100 do clear harm",
            "greater",
            NORMAL,
            UPSCALED,
            margin=UNSTABLE,
        ),
        Claim(
            "S7-dense-network-downscaled-harmless",
            "Dense network: biases ×0.01 do no harm",
            "not_worse",
            DOWNSCALED,
            NORMAL,
            margin=HARMLESS,
        ),
    ),
    sentences=(
        f"With all parameters zero the dense network scores {{{ALL_ZERO}}}; naming one class for all "
        "images scores {one class}.",
        f"Zero weights with normal biases score {{{NORMAL}}}, PyTorch's default {{{PYTORCH}}}, a zero start "
        f"{{{ZERO_START}}}, and biases ×100 {{{UPSCALED}}}.",
    ),
    in_paper=False,
    inspected=True,
)

STARTS_CNN = Figure(
    name="starts_cnn",
    title="CNN: four starts",
    curves=tuple(
        Curve(label, run)
        for label, run in _starts(CNN, num_layers=3).items()
        if label in (ALL_ZERO, NORMAL, PYTORCH, ZERO_START)
    ),
    claims=_claims("SC", "CNN"),
    sentences=(
        f"On the CNN zero weights with normal biases score {{{NORMAL}}}, PyTorch's default {{{PYTORCH}}}, and a zero "
        f"start {{{ZERO_START}}}.",
    ),
    in_paper=False,
)
