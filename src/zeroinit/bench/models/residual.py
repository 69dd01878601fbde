"""A deep residual network of dense layers without norms: what Fixup, ReZero and their like were made for."""

from collections import OrderedDict
from math import prod

from torch import Tensor, nn

from zeroinit.bench.models.activations import make_activation

__all__ = ["residual_fnn"]

WIDTH, BRANCHES = 64, 15


class Branch(nn.Module):
    """Two dense layers beside a path that adds their input."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.dense_1 = nn.Linear(width, width)
        self.activation = make_activation(activation)
        self.dense_2 = nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Add the dense layers' result to their input."""
        return inputs + self.dense_2(self.activation(self.dense_1(inputs)))


def residual_fnn(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Sequential:
    """32 dense layers: one to 64 units, 15 residual branches of two, and one to the classes; no norm."""
    parts = OrderedDict[str, nn.Module](
        flatten=nn.Flatten(),
        stem=nn.Linear(prod(input_shape), WIDTH),
        branches=nn.Sequential(*(Branch(WIDTH, activation) for _ in range(BRANCHES))),
        activation=make_activation(activation),
        head=nn.Linear(WIDTH, num_classes),
    )
    return nn.Sequential(parts)
