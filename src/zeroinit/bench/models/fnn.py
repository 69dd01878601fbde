"""Dense networks: logistic regression and the paper's fully connected networks (section 4)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn

from zeroinit.bench.models.activations import make_activation

__all__ = ["cifar_fnn", "dense_network", "logistic_regression", "mnist_fnn"]


def dense_network(
    input_shape: tuple[int, int, int], widths: Sequence[int], num_classes: int, activation: str
) -> nn.Sequential:
    """Flatten, then dense layers named ``dense_1``, ``dense_2``, ... with the activation between them.

    Args:
        input_shape: Channels, height and width of one image.
        widths: Units of each hidden layer; empty for logistic regression.
        num_classes: Units of the last layer.
        activation: A key of ``ACTIVATIONS``.
    """
    model = nn.Sequential()
    model.add_module("flatten", nn.Flatten())
    sizes = [prod(input_shape), *widths, num_classes]
    for number, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        model.add_module(f"dense_{number}", nn.Linear(fan_in, fan_out))
        if number < len(sizes) - 1:
            model.add_module(f"activation_{number}", make_activation(activation))
    return model


def logistic_regression(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """One dense layer from the pixels to the classes: the paper's baseline. It has no activation to choose."""
    return dense_network(input_shape, (), num_classes, activation)


def mnist_fnn(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """784-500-10 on MNIST: one hidden layer of 500 units."""
    return dense_network(input_shape, (500,), num_classes, activation)


def cifar_fnn(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """3072-512-256-128-10 on CIFAR-10: three hidden layers."""
    return dense_network(input_shape, (512, 256, 128), num_classes, activation)
