"""Settings drawn at random: contexts (network, activation, optimizer, learning rate), each with scales of biases."""

from dataclasses import replace

import numpy as np

from zeroinit.bench.spec import Curve, Run

__all__ = ["REFERENCES", "draw_context", "draw_curves", "part_of", "reference_label", "setting_label"]

ACTIVATIONS = ("elu", "relu", "gelu", "tanh", "identity", "leaky_relu")
LEARNING_RATES = {"adam": (1e-5, 1e-2), "sgd": (3e-4, 3e-2)}
"""Below 3e-4 SGD learns nothing in 500 steps, whatever the biases."""

KINDS = {"one hidden layer": 0.72, "two hidden layers": 0.2, "convolutional": 0.08}
"""How often each kind of network is drawn."""

SCALES = (0.01, 300.0)
PROTOCOL = Run(
    initializer="normal_bias", num_validation=0, num_train=16_000, batch_size=32, epochs=1, learning_rate=1e-3
)
"""500 updates, each on new images; measured once, at the end."""

REFERENCES: dict[str, dict] = {
    "×1": {},
    "×0.1": {"scale": 0.1},
    "×1, outputs 0": {"output_scale": 0.0},
    "auto": {"auto_scale": True},
}
"""The loss of a setting is measured from the best of these in the same context."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from a distribution that is uniform on a logarithmic scale, to three digits."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")


def draw_context(rng: np.random.Generator) -> Run:
    """Draw a context: everything except the scales.

    The logarithm of a width has a triangular distribution, highest at 125 and zero at 4,000, because wide networks take
    long. Two hidden layers are equally wide, at most 500 units. Everything else is uniform, learning rates on a
    logarithmic scale.
    """
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    share, optimizer = min(rng.uniform(), rng.uniform()), str(rng.choice(list(LEARNING_RATES)))
    width = round(125 * (4000 / 125 if kind == "one hidden layer" else 4.0) ** share)
    network: dict = {"model": "mnist_cnn_quarter"} if kind == "convolutional" else {"hidden": f"{width}"}
    if kind == "two hidden layers":
        network = {"hidden": f"{width}, {width}"}
    return replace(
        PROTOCOL,
        activation=str(rng.choice(ACTIVATIONS)),
        optimizer=optimizer,
        learning_rate=log_uniform(rng, *LEARNING_RATES[optimizer]),
        **network,
    )


def draw_curves(part: str, num_contexts: int, num_settings: int, seed: int, first: int = 1) -> tuple[Curve, ...]:
    """Draw contexts. Each has the references, and settings with separate scales of hidden and of output biases.

    Args:
        part: What the labels begin with.
        num_contexts: How many.
        num_settings: Settings of scales in each.
        seed: Of the draw.
        first: The number of the first context.

    Example:
        >>> [curve.label for curve in draw_curves("fit", 1, 2, seed=0)][:2]
        ['fit 1, setting 1', 'fit 1, setting 2']
    """
    rng, curves = np.random.default_rng(seed), []
    for number in range(first, first + num_contexts):
        context = draw_context(rng)
        for setting in range(1, num_settings + 1):
            run = replace(context, scale=log_uniform(rng, *SCALES), output_scale=log_uniform(rng, *SCALES))
            curves.append(Curve(setting_label(part, number, setting), run))
        curves += [
            Curve(reference_label(part, number, name), replace(context, **settings))
            for name, settings in REFERENCES.items()
        ]
    return tuple(curves)


def setting_label(part: str, context: int, setting: int) -> str:
    """Name a setting, as in ``"fit 1, setting 2"``."""
    return f"{part} {context}, setting {setting}"


def reference_label(part: str, context: int, name: str) -> str:
    """Name a reference, as in ``"fit 1, ×0.1"``."""
    return f"{part} {context}, {name}"


def part_of(label: str) -> tuple[str, int, str]:
    """Return part, context and name of a label.

    Example:
        >>> part_of("held out 3, ×1, outputs 0")
        ('held out', 3, '×1, outputs 0')
    """
    head, _, name = label.partition(", ")
    part, _, number = head.rpartition(" ")
    return part, int(number), name
