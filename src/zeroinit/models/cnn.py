"""Convolutional networks of the paper (section 4)."""

from torch import nn

from zeroinit.models.activations import make_activation

__all__ = ["mnist_cnn"]


def mnist_cnn(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """Two 5x5 convolutions with 16 and 32 channels, padding 2, then one dense layer (25,088 inputs on MNIST)."""
    channels, height, width = input_shape
    model = nn.Sequential()
    model.add_module("conv_1", nn.Conv2d(channels, 16, kernel_size=5, padding=2))
    model.add_module("activation_1", make_activation(activation))
    model.add_module("conv_2", nn.Conv2d(16, 32, kernel_size=5, padding=2))
    model.add_module("activation_2", make_activation(activation))
    model.add_module("flatten", nn.Flatten())
    model.add_module("dense_1", nn.Linear(32 * height * width, num_classes))
    return model
