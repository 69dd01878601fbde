"""Study: a ResNet-50 with all weights at zero. Which layers get a gradient, when, and is it a signal or rounding?

Each variant runs in float32 and in float64 from the same values. A first gradient that both precisions agree on is a
signal. One that shrinks with the machine epsilon is rounding. The study follows sections 6.1 and 6.2 of our notes on
the published code, which left 52 of 54 weight layers at PyTorch's default. There batch norm cancels what a bias does.
"""

from dataclasses import replace

from zeroinit.bench.spec import Claim, Curve, Figure, Run

__all__ = ["FIRST_GRADIENTS"]

STEPS = 12
RUN = Run(
    dataset="cifar10",
    model="resnet50",
    initializer="normal_bias",
    epochs=1,
    max_steps=STEPS,
    batch_size=16,
    pixels="cifar10",
    augmentation="crop_flip",
    num_validation=0,
    num_test=16,
    recorder="gradient_sizes",
)
RECOMMENDED = "×0.1, norms affine for 8 steps"
AFFINE = {"remedy": "affine_norms", "remedy_steps": STEPS}
VARIANTS: dict[str, dict] = {
    "β = 0": {},
    "β random": {"norm_aware": True},
    "β = 0, norms affine": AFFINE,
    "β random, norms affine": {"norm_aware": True, **AFFINE},
    RECOMMENDED: {"norm_aware": True, "scale": 0.1, "remedy": "affine_norms", "remedy_steps": 8},
    "Stem and head alone zero": {"include": "stem.conv, head"},
}


def _pair(label: str, settings: dict) -> tuple[Curve, Curve]:
    run = replace(RUN, **settings)
    return Curve(label, run), Curve(f"{label}, float64", replace(run, precision="float64"))


def _claim(id: str, statement: str, label: str, measure: str) -> Claim:
    return Claim(
        id, f"ResNet-50, all weights zero: {statement}", "every_seed", label, f"{label}, float64", measure=measure
    )


FIRST_GRADIENTS = Figure(
    name="first_gradients",
    title="ResNet-50 with zero weights: first gradients, and whether they are a signal",
    curves=tuple(curve for label, settings in VARIANTS.items() for curve in _pair(label, settings)),
    view="wake_up",
    in_paper=False,
    claims=(
        _claim(
            "U1-random-beta-head-alone",
            "a random β alone gives a signal to the head and to no other layer",
            "β random",
            "signal_in_last_alone",
        ),
        _claim(
            "U2-affine-norms-all-by-signal",
            "with norms that act as affine maps at first, every layer's first gradient is a signal",
            "β random, norms affine",
            "signal_everywhere",
        ),
        _claim(
            "U3-recommended-all-by-signal",
            "also with biases and β × 0.1 and norms affine for 8 steps, every layer's first gradient is a signal",
            RECOMMENDED,
            "signal_everywhere",
        ),
    ),
)
