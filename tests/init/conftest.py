"""Layers of every kind that ``initialize_`` sets, each with an input that fits."""

import pytest
import torch
from torch import nn

LAYERS = {
    "linear": lambda **options: nn.Linear(6, 4, **options),
    "conv1d": lambda **options: nn.Conv1d(2, 4, 3, **options),
    "conv2d": lambda **options: nn.Conv2d(2, 4, 3, **options),
    "conv3d": lambda **options: nn.Conv3d(2, 4, 2, **options),
    "transposed1d": lambda **options: nn.ConvTranspose1d(2, 4, 3, **options),
    "transposed2d": lambda **options: nn.ConvTranspose2d(2, 4, 3, **options),
    "transposed3d": lambda **options: nn.ConvTranspose3d(2, 4, 2, **options),
    "grouped": lambda **options: nn.Conv2d(4, 6, 3, groups=2, **options),
    "grouped_transposed": lambda **options: nn.ConvTranspose2d(4, 6, 3, groups=2, **options),
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


@pytest.fixture(params=LAYERS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def make_layer(kind):
    """Makes a layer of the kind under test; its first values come from a fixed seed, the global one is left alone."""

    def make(**options) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return LAYERS[kind](**options)

    return make


@pytest.fixture
def layer(make_layer) -> nn.Module:
    return make_layer()


@pytest.fixture
def inputs(kind, generator) -> torch.Tensor:
    return torch.randn(INPUT_SHAPES[kind], generator=generator(9))


@pytest.fixture
def network(layer, inputs) -> nn.Sequential:
    """The layer under test, an activation and a dense layer on top."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(layer, nn.ELU(), nn.Flatten(), nn.Linear(layer(inputs).flatten(1).shape[1], 3))


def snapshot(model: nn.Module) -> dict[str, bytes]:
    """Every parameter and buffer as bytes, so that NaN and signed zeros count."""
    return {
        name: value.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, value in model.state_dict().items()
        if not isinstance(value, nn.parameter.UninitializedParameter) and not value.is_meta
    }


@pytest.fixture(name="snapshot")
def _snapshot():
    return snapshot
