"""The exploratory runs of the paper's notebook: MNIST FNN and CNN, 5 epochs, without a figure and without a claim."""

from dataclasses import replace

from zeroinit.bench.catalogue.parts import LABELS
from zeroinit.bench.spec import Curve, Figure, Run

__all__ = ["EXPLORATIONS"]

NETWORKS = {"FNN": Run(model="mnist_fnn", epochs=5), "CNN": Run(model="mnist_cnn", epochs=5)}


def _curves(*initializers: str, **settings) -> tuple[Curve, ...]:
    return tuple(
        Curve(f"{network} {LABELS.get(name, 'Zero')}", replace(run, initializer=name, **settings))
        for network, run in NETWORKS.items()
        for name in initializers
    )


TRIO = tuple(LABELS)

EXPLORATIONS = (
    Figure("mini_batch", "MNIST: batches of 16", _curves(*TRIO, batch_size=16), in_paper=False),
    Figure("batch_100", "MNIST: batches of 100", _curves(*TRIO, batch_size=100), in_paper=False),
    Figure(
        "sgd",
        "MNIST: SGD, learning rate 1e-3",
        _curves(*TRIO, optimizer="sgd"),
        overrides={"published": {"trained": "copy"}},
        in_paper=False,
    ),
    Figure("sigmoid_zero", "MNIST: sigmoid, everything zero", _curves("zero", activation="sigmoid"), in_paper=False),
    Figure("upscaled_uniform", "MNIST: uniform biases ×100", _curves("uniform_bias", scale=100.0), in_paper=False),
    Figure("downscaled_uniform", "MNIST: uniform biases ×0.01", _curves("uniform_bias", scale=0.01), in_paper=False),
)
