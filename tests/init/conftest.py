"""Layers of every kind that ``initialize_`` sets, each with an input that fits."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "linear": lambda width: nn.Linear(6, width),
    "conv1d": lambda width: nn.Conv1d(2, width, 3),
    "conv2d": lambda width: nn.Conv2d(2, width, 3),
    "conv3d": lambda width: nn.Conv3d(2, width, 2),
    "transposed1d": lambda width: nn.ConvTranspose1d(2, width, 3),
    "transposed2d": lambda width: nn.ConvTranspose2d(2, width, 3),
    "transposed3d": lambda width: nn.ConvTranspose3d(2, width, 2),
    "grouped": lambda width: nn.Conv2d(4, width, 3, groups=2),
    "grouped_transposed": lambda width: nn.ConvTranspose2d(4, width, 3, groups=2),
}
INPUT_SHAPES = {
    "linear": (5, 6),
    "conv1d": (5, 2, 6),
    "conv2d": (5, 2, 4, 5),
    "conv3d": (5, 2, 3, 4, 2),
    "transposed1d": (5, 2, 4),
    "transposed2d": (5, 2, 3, 2),
    "transposed3d": (5, 2, 2, 3, 2),
    "grouped": (5, 4, 4, 5),
    "grouped_transposed": (5, 4, 3, 2),
}


@pytest.fixture
def layer_factories() -> dict:
    return LAYERS


@pytest.fixture(params=LAYERS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def make_layer(kind):
    """Makes a layer of the kind under test; its first values come from a fixed seed, the global one is left alone."""

    def make(width: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(1234)
            return LAYERS[kind](width)

    return make


@pytest.fixture
def layer(make_layer) -> nn.Module:
    return make_layer(4)


@pytest.fixture
def inputs(kind, generator) -> torch.Tensor:
    return torch.randn(INPUT_SHAPES[kind], generator=generator(9))


@pytest.fixture
def network(layer, inputs) -> nn.Sequential:
    """The layer under test, an activation and a dense layer on top."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(4321)
        return nn.Sequential(layer, nn.ELU(), nn.Flatten(), nn.Linear(layer(inputs).flatten(1).shape[1], 3))


@pytest.fixture
def snapshot() -> Callable[[nn.Module], dict[str, bytes]]:
    """Every parameter and buffer that has values, as bytes, so that NaN and signed zeros count."""

    def take(model: nn.Module) -> dict[str, bytes]:
        return {
            name: value.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
            for name, value in model.state_dict().items()
            if not isinstance(value, nn.parameter.UninitializedTensorMixin) and not value.is_meta
        }

    return take
