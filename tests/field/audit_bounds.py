"""Uniform bounds from the outputs, by mistake or on purpose, and scales of stacked heads."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import nn

from .audit_harness import fault, healthy


def by_rows(layer: nn.Module) -> tuple[float, float]:
    bound = 1 / math.sqrt(layer.weight.data.size()[0])
    return -bound, bound


def by_columns(layer: nn.Module) -> tuple[float, float]:
    bound = 1 / math.sqrt(layer.weight.data[0].numel())
    return -bound, bound


def by_fan_out(layer: nn.Module) -> tuple[float, float]:
    fan_out = layer.weight.size(0)
    return -(fan_out**-0.5), fan_out**-0.5


def draw_by_rows(first: nn.Linear, second: nn.Linear) -> None:
    first.weight.data.uniform_(*by_rows(first))
    second.weight.data.uniform_(*by_rows(second))


def draw_by_columns(first: nn.Linear, second: nn.Linear) -> None:
    first.weight.data.uniform_(*by_columns(first))
    second.weight.data.uniform_(*by_columns(second))


def draw_by_fan_out(first: nn.Linear, second: nn.Linear) -> None:
    first.weight.data.uniform_(*by_fan_out(first))
    second.weight.data.uniform_(*by_fan_out(second))


def dense(draw: Callable, *sizes: int) -> nn.Module:
    model = nn.Sequential(*(nn.Linear(*pair) for pair in itertools.pairwise(sizes)))
    draw(*model[:2])
    model[2].weight.data.uniform_(-3e-3, 3e-3)
    return model


@fault("udacity/deep-reinforcement-learning#14", "scale", "ZI205", "0.weight", "the fan-in is taken as 36")
def bounds_of_dense_layers_from_their_outputs():
    return {"build": lambda: dense(draw_by_rows, 6, 36, 27, 2)}


@fault("own", "scale", "ZI205", "0.weight", "-> Take the right fan: `nn.init.uniform_(model[0].weight, -0.408, 0.408)`")
def bounds_from_the_outputs_before_a_square_layer():
    return {"build": lambda: dense(draw_by_rows, 6, 36, 36, 2), "batch": torch.randn(3, 6)}


@healthy("udacity/deep-reinforcement-learning#14", "scale")
def bounds_of_dense_layers_from_their_inputs():
    return {"build": lambda: dense(draw_by_columns, 6, 36, 16, 2)}


@healthy("own", "scale")
def bounds_from_outputs_that_are_nearly_as_many():
    return {"build": lambda: dense(draw_by_rows, 25, 36, 27, 2)}


@healthy("torchvision EfficientNet", "scale")
def bounds_that_are_meant_for_the_outputs():
    return {"build": lambda: dense(draw_by_fan_out, 6, 36, 16, 2)}


def fan_in_bound(size: torch.Size) -> torch.Tensor:
    bound = 1 / math.sqrt(size[0])
    return torch.empty(size).uniform_(-bound, bound)


@fault("ghliu/pytorch-ddpg", "scale", "ZI205", "0.weight 1.weight", "the fan-in is taken as 16 from the shape (16, 36)")
def drawn_values_from_the_outputs_in_the_place_of_weights():
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(6, 36), nn.Linear(36, 16))
        for layer in model:
            layer.weight.data = fan_in_bound(layer.weight.size())
        return model

    return {"build": build}


def kernels(*layers: nn.Module) -> nn.Module:
    for layer in layers:
        nn.init.uniform_(layer.weight, *by_rows(layer))
    return nn.Sequential(*layers)


@fault("rail-berkeley/rlkit", "scale", "ZI205", "0.weight", "the fan-in is taken as 32")
def bound_of_a_convolution_from_its_outputs():
    return {"build": lambda: kernels(nn.Conv2d(2, 32, 3), nn.Conv2d(4, 36, 3))}


@healthy("own", "scale")
def bound_of_a_transposed_convolution_from_its_inputs():
    return {"build": lambda: kernels(nn.ConvTranspose1d(32, 2, 4, stride=4))}


class Mixed(nn.Module):
    """Two layers that make one state, in neutral words."""

    def __init__(self, biases: bool, how: str):
        super().__init__()
        self.first, self.second = nn.Linear(6, 36, bias=biases), nn.Linear(36, 36, bias=biases)
        bound = self.first.weight.size(0) ** -0.5
        if how == "loop":
            for parameter in self.parameters():
                parameter.data.uniform_(-bound, bound)
        else:
            nn.init.uniform_(self.first.weight, -bound, bound)
            nn.init.uniform_(self.second.weight, -bound, bound)


class MixedCell(Mixed):
    pass


@healthy("torch.nn.RNN by dense layers", "scale")
def one_bound_for_all_parameters_of_a_cell():
    return {"build": lambda: Mixed(True, "loop")}


@healthy("torch.nn.RNN by dense layers", "scale")
def one_bound_for_all_weights_of_a_cell():
    return {"build": lambda: Mixed(False, "loop")}


@healthy("torch.nn.RNN by dense layers", "scale")
def one_bound_for_each_weight_of_a_cell():
    return {"build": lambda: MixedCell(False, "lines")}


def with_biases() -> nn.Module:
    model = nn.Linear(6, 36)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -1 / math.sqrt(model.weight.shape[0]), 1 / math.sqrt(model.weight.shape[0]))
    return model


@healthy("own", "scale")
def one_bound_for_a_weight_and_its_bias():
    return {"build": with_biases}


@healthy("own", "scale")
def one_bound_for_layers_of_several_sizes():
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(6, 36), nn.Linear(12, 5))
        bound = model[0].weight.size(0) ** -0.5
        nn.init.uniform_(model[0].weight, -bound, bound)
        nn.init.uniform_(model[1].weight, -bound, bound)
        return model

    return {"build": build}


@healthy("own", "scale")
def a_bound_that_is_a_number():
    def build() -> nn.Module:
        model = nn.Linear(20, 100)
        assert model.weight.size(1) == 20
        nn.init.uniform_(model.weight, -0.1, 0.1)
        return model

    return {"build": build}


@healthy("own", "scale")
def a_bound_that_no_size_of_a_weight_gives():
    def build(width: int = 36) -> nn.Module:
        model = nn.Linear(6, width)
        nn.init.uniform_(model.weight, -(width**-0.5), width**-0.5)
        return model

    return {"build": build}


class Heads(nn.Module):
    """Projections of several layers to groups of heads and back, in two parameters (layer, ...)."""

    def __init__(self, fan: int, back: int):
        super().__init__()
        self.to_heads = nn.Parameter(torch.randn(2, 32, 2, 2, 8) / fan**0.5)
        self.to_width = nn.Parameter(torch.randn(2, 32, 4, 8) / back**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for into, out in zip(self.to_heads, self.to_width, strict=True):
            heads = torch.einsum("btc,cgnd->btgnd", x, into)
            x = x + torch.einsum("bthd,chd->btc", heads.flatten(2, 3), out)
        return x


@fault(
    "clankur/einygpt#3", "scale", "ZI205", "to_heads", "the fan-in is taken as 8 from the shape (2, 32, 2, 2, 8), and"
)
def heads_of_stacked_layers_drawn_by_the_size_of_a_head():
    return {"build": lambda: Heads(8, 32), "batch": torch.randn(2, 3, 32)}


@healthy("clankur/einygpt#3", "scale")
def heads_of_stacked_layers_drawn_by_the_width():
    return {"build": lambda: Heads(32, 32), "batch": torch.randn(2, 3, 32)}


@healthy("own", "scale")
def heads_of_stacked_layers_read_back_one_by_one():
    return {"build": lambda: Heads(32, 8), "batch": torch.randn(2, 3, 32)}


@healthy("own", "scale")
def heads_of_stacked_layers_drawn_by_a_rule_for_all():
    def build() -> nn.Module:
        model = Heads(32, 32)
        nn.init.xavier_normal_(model.to_heads)
        return model

    return {"build": build, "batch": torch.randn(2, 3, 32)}


class Apart(nn.Module):
    """A matrix for each head of each layer."""

    def __init__(self):
        super().__init__()
        self.heads = nn.Parameter(torch.randn(2, 4, 32, 8) / 8**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(torch.einsum("btc,hcd->bthd", x, each) for each in self.heads)


@healthy("own", "scale")
def matrices_of_heads_drawn_by_their_outputs():
    return {"build": Apart, "batch": torch.randn(2, 3, 32)}
