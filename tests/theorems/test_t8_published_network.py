"""T8 on the published CIFAR-10 network itself, in float32, trained by ``fit``.

``test_t8_norm_cancels`` shows the same on small networks, with norms of its own whose backward pass is exact as well.
"""

import pytest
import torch
from torch import Tensor, nn

from zeroinit.bench.models import build_model
from zeroinit.bench.training import Observer, fit
from zeroinit.init import initialize_
from zeroinit.remedies import AffineNorms

CONVOLUTIONS = [f"conv_{number}" for number in range(1, 7)]
LAYERS = [*CONVOLUTIONS, "dense_1", "dense_2", "dense_3"]
LOCKED = [*CONVOLUTIONS, "dense_1"]
NUM_IMAGES, STEPS = 8, 60
OPTIMIZERS = {"sgd": {"learning_rate": 0.03}, "adam": {"learning_rate": 1e-3}}


class Watch(Observer):
    """Notes the first step at which each layer's weights have a gradient, and whether they were ever not zero."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.largest: dict[str, float] = {}

    def on_gradients(self, state) -> None:
        for name in LAYERS:
            weight = state.model.get_submodule(name).weight
            if weight.grad.any():
                self.first.setdefault(name, state.step)
                self.largest.setdefault(name, weight.grad.abs().max().item())


@pytest.fixture
def data(generator) -> tuple[Tensor, Tensor]:
    return torch.rand(NUM_IMAGES, 3, 8, 8, generator=generator(100)), torch.arange(NUM_IMAGES) % 10


@pytest.fixture
def train(data, generator):
    """Trains the network from zero weights and normal biases; returns it and what was seen."""

    def run(
        norm: str = "exact",
        *,
        optimizer: str,
        steps: int = STEPS,
        aware: bool = False,
        affine: int = 0,
        precision: str = "float32",
        change=None,
    ):
        model = build_model("cifar_cnn", (3, 8, 8), norm=norm)
        if change is not None:
            change(model)
        initialize_(model, "normal_bias", generator=generator(0), norm_aware=aware)
        watch = Watch()
        observers = [AffineNorms(model, affine), watch] if affine else [watch]
        settings = {"optimizer": optimizer, "observers": observers, "precision": precision, **OPTIMIZERS[optimizer]}
        fit(model, data, epochs=steps, batch_size=NUM_IMAGES, generator=generator(1), **settings)
        return model, watch

    return run


def zero_layers(model: nn.Module) -> list[str]:
    return [name for name in LAYERS if not model.get_submodule(name).weight.any()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_six_convolutions_and_the_first_dense_layer_stay_exactly_zero(train, optimizer):
    """Over 60 steps; dense_3 learns from the first step on, dense_2 from the second."""
    model, watch = train(optimizer=optimizer)
    assert zero_layers(model) == LOCKED
    assert watch.first == {"dense_3": 1, "dense_2": 2}
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 3
    for norm in norms:
        assert not norm.bias.any()
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_under_torchs_norm_they_escape_by_rounding(train, optimizer):
    """The negative case: all that differs is rounding; in float64, where it is smaller, so is the first gradient."""
    model, watch = train("batch", optimizer=optimizer, steps=6)
    assert "dense_1" not in zero_layers(model)
    _, finer = train("batch", optimizer=optimizer, steps=6, precision="float64")
    assert finer.largest["dense_1"] < 1e-4 * watch.largest["dense_1"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_norm_aware_with_the_remedy_starts_all_nine_layers_top_to_bottom(train, optimizer):
    """One layer per step, steps 1 to 9, under the norm without rounding.

    Under SGD the gradient of a layer is the product of all weights above: at the bottom it is too small for float32.
    """
    precision = "float64" if optimizer == "sgd" else "float32"
    model, watch = train(optimizer=optimizer, steps=10, aware=True, affine=10, precision=precision)
    assert watch.first == {name: step for step, name in enumerate(reversed(LAYERS), start=1)}
    assert zero_layers(model) == []


def test_neither_alone_starts_the_convolutions_by_a_signal(train):
    """A random beta alone feeds dense_1; what then reaches the convolutions is rounding of the norm's backward pass."""
    _, aware = train(optimizer="adam", steps=10, aware=True)
    _, both = train(optimizer="adam", steps=10, aware=True, affine=10)
    assert aware.first["dense_1"] == both.first["dense_1"] == 3
    assert aware.largest["dense_1"] > 1e-6
    for name in CONVOLUTIONS:
        assert aware.largest.get(name, 0.0) < 1e-2 * both.largest[name]


def layer_norm(model: nn.Module) -> None:
    for name, channels in (("norm_1", 64), ("norm_2", 128), ("norm_3", 256)):
        model.set_submodule(name, nn.GroupNorm(1, channels))


def test_layer_norm_is_left_alone_and_is_no_obstacle(train):
    """Over all channels: neither the initializer nor the remedy touches it, and all nine layers get a gradient."""
    plain, watch = train(optimizer="adam", steps=9, change=layer_norm)
    aware, seen = train(optimizer="adam", steps=9, change=layer_norm, aware=True, affine=9)
    assert watch.first == seen.first == {name: step for step, name in enumerate(reversed(LAYERS), start=1)}
    assert all(torch.equal(one, other) for one, other in zip(plain.parameters(), aware.parameters(), strict=True))
