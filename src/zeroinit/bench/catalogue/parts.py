"""What several figures share: curves with the paper's labels, and claims of the same form."""

from collections.abc import Sequence
from dataclasses import replace

from zeroinit.bench.labels import BASELINE, NORMAL, PYTORCH, UNIFORM
from zeroinit.bench.spec import Claim, Curve, Run

__all__ = [
    "CLOSE",
    "DOWNSCALED",
    "EVERYTHING_ZERO",
    "GRADIENTS",
    "HARMLESS",
    "LABELS",
    "SCALE",
    "TRAIN",
    "UPSCALED",
    "baseline",
    "comparison_claims",
    "trio",
]

TRAIN, SCALE = "Do they train?", "How large may biases be?"
EVERYTHING_ZERO, GRADIENTS = "What if everything is zero?", "Which layers get a gradient, and when?"
"""What figures of the paper ask."""

CLOSE = 0.01
HARMLESS = 0.005
UNSTABLE = 0.02
DOWNSCALED, UPSCALED = f"{NORMAL} ×0.01", f"{NORMAL} ×100"
LABELS = {"pytorch": PYTORCH, "normal_bias": NORMAL, "uniform_bias": UNIFORM}
"""The paper's three starts, by initializer."""

WORDS = {NORMAL: "normal", UNIFORM: "uniform"}
"""What ids of claims call a start."""


def baseline(epochs: int, dataset: str = "mnist") -> Curve:
    """Return logistic regression, which always has PyTorch's default."""
    return Curve(BASELINE, Run(dataset=dataset, model="logistic_regression", epochs=epochs))


def trio(run: Run, initializers: Sequence[str] = tuple(LABELS)) -> tuple[Curve, ...]:
    """Return the same run under PyTorch's default, normal and uniform biases."""
    return tuple(Curve(LABELS[name], replace(run, initializer=name)) for name in initializers)


def close_claim(claim: str, network: str, label: str) -> Claim:
    """Return the claim that zero weights come close to PyTorch's default."""
    return Claim(
        f"{claim}-{WORDS[label]}-close-to-pytorch",
        f"{network}: zero weights with {WORDS[label]} biases come close to PyTorch's default",
        "close",
        label,
        PYTORCH,
        margin=CLOSE,
    )


def gap_claim(claim: str, network: str, label: str) -> Claim:
    """Return the claim that a gap to PyTorch's default remains."""
    return Claim(
        f"C11-{claim}-{WORDS[label]}-gap",
        f"{network}: PyTorch's default stays ahead of zero weights with {WORDS[label]} biases",
        "greater",
        PYTORCH,
        label,
    )


def comparison_claims(claim: str, network: str) -> tuple[Claim, ...]:
    """Return the claims of figures 3, 5, 8 and 9: above logistic regression, close to PyTorch, a gap remains."""
    claims = []
    for label in (NORMAL, UNIFORM):
        above = Claim(
            f"{claim}-{WORDS[label]}-beats-baseline",
            f"{network}: zero weights with {WORDS[label]} biases beat logistic regression",
            "greater",
            label,
            BASELINE,
        )
        claims += [above, close_claim(claim, network, label), gap_claim(claim, network, label)]
    return tuple(claims)


def scales(run: Run) -> tuple[Curve, ...]:
    """Return the same run with normal biases at the paper's three scales."""
    run = replace(run, initializer="normal_bias")
    return (Curve(NORMAL, run), Curve(DOWNSCALED, replace(run, scale=0.01)), Curve(UPSCALED, replace(run, scale=100.0)))


def scale_claims(claim: str, network: str) -> tuple[Claim, ...]:
    """Return the claims of figures 4 and 6: scaling up harms, scaling down does not."""
    return (
        Claim(
            f"{claim}-upscaled-harms",
            f"{network}: biases ×100 do clear harm",
            "greater",
            NORMAL,
            UPSCALED,
            margin=UNSTABLE,
        ),
        Claim(
            f"{claim}-downscaled-harmless",
            f"{network}: biases ×0.01 do no harm",
            "not_worse",
            DOWNSCALED,
            NORMAL,
            margin=HARMLESS,
        ),
    )


def zero_claims(claim: str, networks: dict[str, str]) -> tuple[Claim, ...]:
    """Return the claims of figures 7 and 10 for each network (its label): below the baseline, at one class."""
    claims = []
    for network, label in networks.items():
        word = network.lower().replace(" ", "-")
        claims += [
            Claim(
                f"{claim}-{word}-below-baseline",
                f"{network}: with zero weights and zero biases logistic regression stays ahead",
                "greater",
                BASELINE,
                label,
            ),
            Claim(
                f"{claim}-{word}-one-class",
                f"{network}: with zero weights and zero biases it does not rise above the share of the most frequent "
                "class",
                "not_above",
                label,
                margin=0.001,
            ),
        ]
    return tuple(claims)
