"""Convolutional networks of the paper (section 4)."""

from itertools import pairwise

from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.models.activations import make_activation

__all__ = ["cifar_cnn", "cifar_cnn_quarter", "mnist_cnn", "mnist_cnn_quarter"]


def mnist_cnn(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Two 5x5 convolutions with 16 and 32 channels, padding 2, then one dense layer (25,088 inputs on MNIST)."""
    return _two_convolutions((16, 32), input_shape, num_classes, activation)


def mnist_cnn_quarter(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """The same layers with a quarter of the channels, 4 and 8; not in the paper, a tenth of the time."""
    return _two_convolutions((4, 8), input_shape, num_classes, activation)


def _two_convolutions(
    counts: tuple[int, int], input_shape: tuple[int, int, int], num_classes: int, activation: str
) -> nn.Sequential:
    channels, height, width = input_shape
    model = nn.Sequential()
    model.add_module("conv_1", nn.Conv2d(channels, counts[0], kernel_size=5, padding=2))
    model.add_module("activation_1", make_activation(activation))
    model.add_module("conv_2", nn.Conv2d(*counts, kernel_size=5, padding=2))
    model.add_module("activation_2", make_activation(activation))
    model.add_module("flatten", nn.Flatten())
    model.add_module("dense_1", nn.Linear(counts[1] * height * width, num_classes))
    return model


def cifar_cnn(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Three times two 3x3 convolutions, max pool and norm (32-64, 128-128, 256-256), then dense 4096-1024-512-10.

    The first dense layer has 256 inputs per pixel that three poolings leave: 4x4 on CIFAR-10, 1x1 on 8x8 images.

    Raises:
        InputError: The images are smaller than 8x8.
    """
    return _convolutional("cifar_cnn", 1, input_shape, num_classes, activation)


def cifar_cnn_quarter(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """The same layers with a quarter of the channels and units (8-16, 32-32, 64-64; dense 1024-256-128-10).

    It is not in the paper. It takes a tenth of the time of ``cifar_cnn``, for studies on a processor.

    Raises:
        InputError: The images are smaller than 8x8.
    """
    return _convolutional("cifar_cnn_quarter", 4, input_shape, num_classes, activation)


def _convolutional(
    name: str, divisor: int, input_shape: tuple[int, int, int], num_classes: int, activation: str
) -> nn.Sequential:
    channels, height, width = input_shape
    if min(height, width) < 8:
        raise InputError(
            f"input_shape={input_shape}: {name} halves height and width three times, so both must be at least 8; "
            "enlarge the images or choose another model"
        )
    model = nn.Sequential()
    counts = [count // divisor for count in (32, 64, 128, 128, 256, 256)]
    for number, (fan_in, fan_out) in enumerate(pairwise((channels, *counts)), start=1):
        model.add_module(f"conv_{number}", nn.Conv2d(fan_in, fan_out, kernel_size=3, padding=1))
        model.add_module(f"activation_{number}", make_activation(activation))
        if number % 2 == 0:
            model.add_module(f"pool_{number // 2}", nn.MaxPool2d(2))
            model.add_module(f"norm_{number // 2}", nn.BatchNorm2d(fan_out))
    model.add_module("flatten", nn.Flatten())
    sizes = (counts[-1] * (height // 8) * (width // 8), 1024 // divisor, 512 // divisor)
    for number, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        model.add_module(f"dense_{number}", nn.Linear(fan_in, fan_out))
        model.add_module(f"activation_{6 + number}", make_activation(activation))
    model.add_module("dense_3", nn.Linear(sizes[-1], num_classes))
    return model
