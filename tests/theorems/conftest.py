"""What the theorems share: small data, small networks in float64, and a plain training loop that keeps gradients."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit.bench.models import MODELS, build_model
from zeroinit.bench.models.fnn import dense_network
from zeroinit.init import initialize_

INPUT_SHAPE, NUM_CLASSES, NUM_IMAGES = (1, 4, 4), 5, 32
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
}
Data = tuple[Tensor, Tensor]
Gradients = list[dict[str, Tensor]]


@pytest.fixture
def data(generator) -> Data:
    """Images that do not repeat, and labels that have nothing to do with them."""
    images = torch.randn(NUM_IMAGES, *INPUT_SHAPE, generator=generator(100), dtype=torch.float64)
    return images, torch.randint(NUM_CLASSES, (NUM_IMAGES,), generator=generator(101))


@pytest.fixture
def make_network(generator) -> Callable[..., nn.Sequential]:
    """Makes an initialized network in float64: dense layers of the given widths, or one of ``MODELS``."""

    def make(
        initializer: str, *, widths=(16, 16, 16), activation: str = "elu", model: str | None = None, seed: int = 0
    ) -> nn.Sequential:
        if model is None:
            network = dense_network(INPUT_SHAPE, widths, NUM_CLASSES, activation)
        else:
            assert model in MODELS
            network = build_model(model, INPUT_SHAPE, NUM_CLASSES, activation=activation)
        initialize_(network.double(), initializer, generator=generator(seed))
        return network

    return make


@pytest.fixture
def train(data) -> Callable[..., Gradients]:
    """Trains on the whole batch; returns the gradients of every step by parameter name."""

    def train(model: nn.Module, steps: int, optimizer: str = "sgd") -> Gradients:
        images, labels = data
        updates = OPTIMIZERS[optimizer](model.parameters())
        gradients = []
        for _ in range(steps):
            updates.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            gradients.append({name: value.grad.clone() for name, value in model.named_parameters()})
            updates.step()
        return gradients

    return train


@pytest.fixture
def layers() -> Callable[[nn.Module], list[nn.Module]]:
    """Lists the layers with weights, from input to output."""
    return lambda model: [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


@pytest.fixture
def num_distinct() -> Callable[[nn.Module], int]:
    """Counts the units of a layer that differ in their incoming weights or bias by more than rounding."""

    def count(layer: nn.Module, tolerance: float = 1e-9) -> int:
        rows = torch.cat([layer.weight.detach().flatten(1), layer.bias.detach()[:, None]], dim=1)
        distances = (rows[:, None] - rows[None]).abs().amax(dim=2)
        is_repeated = (distances < tolerance).tril(diagonal=-1).any(dim=1)
        return int((~is_repeated).sum())

    return count
