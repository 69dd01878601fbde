"""Study: why do large biases destabilize training? MNIST FNN, zero weights, normal biases ×100.

Biases ×100 do three things at step 0. Each can be had without the others (``interventions.py``):

* *units*: the bias is far larger than w x can be. So an ELU unit is saturated (its gradient is e^b = 0) or the
  identity.
* *features*: f(b) is a constant, up to a few hundred, among the inputs of the next layer. In this one direction that
  layer's curvature is thousands of times the curvature in the others.
* *outputs*: the logits begin with offsets of up to a few hundred. Adam unlearns about the learning rate a step.

The eight combinations are paired by seed. Shapley values divide the loss of accuracy at ×100 among the three.
Hypotheses, written down before the runs, with ten seeds: each of the three alone does clear harm (at least 2 points),
and features do more harm than units.

The other curves are cures that you could use: a long warm-up, output biases of zero, an activation that does not
saturate, and the identity. The identity has no dead units at all. It cures *units* and leaves *features*.

``large_bias_cnn``: the eight combinations on the MNIST CNN with a quarter of its channels, 12,000 training images, 3
epochs, 3 seeds. Hypothesis, written down before the runs: each of the three alone does clear harm (at least 2 points).
"""

from dataclasses import replace

from zeroinit.bench.catalogue.mechanisms import MECHANISMS, all_cells, cell_label, cell_settings
from zeroinit.bench.catalogue.parts import UNSTABLE
from zeroinit.bench.spec import Claim, Curve, Figure, Run

__all__ = ["LARGE_BIAS", "LARGE_BIAS_CNN", "SCALE"]

SCALE = 100.0
RUN = Run(initializer="normal_bias")
LARGE = replace(RUN, scale=SCALE)
NONE, ALL = cell_label(frozenset(), SCALE), cell_label(frozenset(MECHANISMS), SCALE)
ALONE = {name: cell_label(frozenset({name}), SCALE) for name in MECHANISMS}
CURES: dict[str, dict] = {
    "×100, warm-up 500 steps": {"warmup_steps": 500},
    "×100, output biases 0": {"output_scale": 0.0},
    "×100, leaky ReLU": {"activation": "leaky_relu"},
    "×100, identity": {"activation": "identity"},
}
CNN = replace(RUN, model="mnist_cnn_quarter", num_train=12_000, num_validation=0, epochs=3)


def _cells(run: Run) -> tuple[Curve, ...]:
    return tuple(
        Curve(cell_label(cell, SCALE), replace(run, **cell_settings(cell, SCALE)))  # type: ignore[arg-type]
        for cell in all_cells()
    )


def _alone(id: str, network: str) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"{id}-{name}-alone-harm",
            f"{network}: of biases ×100 the effect on {name} alone does clear harm",
            "greater",
            NONE,
            ALONE[name],
            margin=UNSTABLE,
        )
        for name in MECHANISMS
    )


LARGE_BIAS = Figure(
    name="large_bias",
    title="MNIST FNN: what biases ×100 do, taken apart",
    curves=(
        *_cells(RUN),
        *(Curve(label, replace(LARGE, **settings)) for label, settings in CURES.items()),
        Curve("×1, identity", replace(RUN, activation="identity")),
    ),
    claims=(
        *_alone("B1", "MNIST FNN"),
        Claim(
            "B2-features-worse-than-units",
            "MNIST FNN: large constant features alone do more harm than dead and linear units alone",
            "greater",
            ALONE["units"],
            ALONE["features"],
        ),
    ),
    in_paper=False,
    view="mechanisms",
    overrides={"quick": {"epochs": 12}},
)

LARGE_BIAS_CNN = Figure(
    name="large_bias_cnn",
    title="MNIST CNN (quarter): what biases ×100 do, taken apart",
    curves=_cells(CNN),
    claims=_alone("B3", "MNIST CNN (quarter)"),
    in_paper=False,
    view="mechanisms",
    overrides={"quick": {"epochs": 5, "num_validation": 0}},
)
