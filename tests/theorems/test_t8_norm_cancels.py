"""T8: a norm over batch and positions maps constant channels to beta, so that no signal passes it, up or down.

With beta = 0 the layer above gets a zero input. With a random beta it trains, but the convolution below does not: the
norm's backward pass removes the mean over batch and positions, and its input is constant, so that the gradient is the
sum of what was centered, times a constant. Only a norm that acts as an affine map lets signals through both ways.

T9 tells a signal from rounding: the first gradient of a layer is the same in float32 and float64 if it is a signal,
and many orders of magnitude apart if it is rounding.
"""

import contextlib
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit.init import initialize_
from zeroinit.remedies import AffineNorms

NUM_IMAGES, NUM_CLASSES, STEPS = 32, 5, 60
FIRST_DENSE = 5
"""The layer that the last norm feeds, of layers 1 to 7 (four convolutions, three dense layers)."""
GRID = 2.0**-24
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
}


class _Control(torch.autograd.Function):
    """Batch norm over (batch, channels, height, width) without rounding where a channel is constant."""

    @staticmethod
    def forward(context, inputs, weight, bias, eps, exact):
        centered = inputs - inputs[:1, :, :1, :1]  # exactly zero in a constant channel
        centered = centered - centered.mean((0, 2, 3), keepdim=True)
        scale = (centered.square().mean((0, 2, 3), keepdim=True) + eps).rsqrt()
        normalized = centered * scale
        context.save_for_backward(normalized, scale, weight)
        context.exact = exact
        return normalized * weight[:, None, None] + bias[:, None, None]

    @staticmethod
    def backward(context, gradient):
        normalized, scale, weight = context.saved_tensors
        axes = (0, 2, 3)
        scaled = gradient * weight[:, None, None] * scale
        if context.exact:  # multiples of one power of two: sums, and means over 2 ** n values, have no rounding
            scaled = (scaled / GRID).round() * GRID
        centered = scaled - scaled.mean(axes, keepdim=True)
        if normalized.any():
            centered = centered - normalized * (scaled * normalized).mean(axes, keepdim=True)
        return centered, (gradient * normalized).sum(axes), gradient.sum(axes), None, None


class ControlNorm(nn.BatchNorm2d):
    """A batch norm that returns exactly beta for a constant channel; ``exact`` also in its backward pass."""

    exact = False

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        return _Control.apply(inputs, self.weight, self.bias, self.eps, self.exact)


class ExactNorm(ControlNorm):
    exact = True


def make_model(norm, activation=nn.ELU) -> nn.Sequential:
    """conv - conv - pool - norm, twice, and three dense layers; the paper's CIFAR-10 network, made small."""
    layers: list[nn.Module] = []
    channels = 3
    for widths in ((4, 6), (6, 8)):
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), activation()]
            channels = width
        layers += [nn.MaxPool2d(2), norm(channels)]
    layers += [nn.Flatten(), nn.Linear(4 * channels, 16), activation(), nn.Linear(16, 12), activation()]
    return nn.Sequential(*layers, nn.Linear(12, NUM_CLASSES))


@pytest.fixture
def data(generator) -> tuple[Tensor, Tensor]:
    images = torch.rand(NUM_IMAGES, 3, 8, 8, generator=generator(100), dtype=torch.float64)
    return images, torch.randint(NUM_CLASSES, (NUM_IMAGES,), generator=generator(101))


@pytest.fixture
def train(data, generator):
    """Trains a model from zero weights; returns step and size of each layer's first gradient, and the model.

    A layer that never has a gradient has ``(0, 0.0)``.
    """

    def run(model, *, beta: bool = False, affine=0, optimizer="sgd", dtype=torch.float64, steps=10, prepare=None):
        initialize_(model, "normal_bias", generator=generator(0), norm_aware=beta)
        if prepare is not None:
            prepare(model)
        model.to(dtype).train()
        images, labels = data
        updates = OPTIMIZERS[optimizer](model.parameters())
        weights = [module.weight for module in model if isinstance(module, nn.Conv2d | nn.Linear)]
        first = [(0, 0.0)] * len(weights)
        with AffineNorms(model, affine) if affine else contextlib.nullcontext():
            for step in range(1, steps + 1):
                updates.zero_grad()
                F.cross_entropy(model(images.to(dtype)), labels).backward()
                for index, weight in enumerate(weights):
                    if not first[index][0] and weight.grad.any():
                        first[index] = step, weight.grad.abs().max().item()
                updates.step()
        return first, model

    return run


def steps_of(first) -> list[int]:
    return [step for step, _ in first]


def locked_layers(model) -> list[int]:
    """Layers, from 1, whose weights are still exactly zero."""
    layers = [module for module in model if isinstance(module, nn.Conv2d | nn.Linear)]
    return [number for number, layer in enumerate(layers, 1) if not layer.weight.any()]


def apart(single, double) -> list[float]:
    """How many times larger the one first gradient is than the other, by layer."""
    return [max(a, b) / min(a, b) if min(a, b) else math.inf for (_, a), (_, b) in zip(single, double, strict=True)]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_with_beta_zero_nothing_below_ever_trains(train, optimizer):
    first, model = train(make_model(ControlNorm), optimizer=optimizer, steps=STEPS)
    assert steps_of(first) == [0, 0, 0, 0, 0, 2, 1]
    assert locked_layers(model) == [1, 2, 3, 4, 5]
    assert not any(norm.bias.any() for norm in model if isinstance(norm, nn.BatchNorm2d))


def test_a_batch_norm_gives_that_layer_a_gradient_by_rounding(train):
    """T9: about 1e-8 in float32 and 1e-15 in float64, where the exact value is zero."""
    single, double = (train(make_model(nn.BatchNorm2d), dtype=dtype)[0] for dtype in (torch.float32, torch.float64))
    assert apart(single, double)[FIRST_DENSE - 1] > 1e4
    assert max(apart(single, double)[FIRST_DENSE:]) < 1.001


@pytest.mark.parametrize("norm", [ControlNorm, nn.BatchNorm2d])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_random_beta_gives_a_signal_to_the_layer_above_and_to_no_convolution(train, norm, optimizer):
    single, double = (
        train(make_model(norm), beta=True, optimizer=optimizer, dtype=dtype)[0]
        for dtype in (torch.float32, torch.float64)
    )
    assert steps_of(double) == [7, 6, 5, 4, 3, 2, 1]
    assert max(apart(single, double)[FIRST_DENSE - 1 :]) < 1.001
    assert min(size for _, size in double[FIRST_DENSE - 1 :]) > 1e-4
    assert min(apart(single, double)[: FIRST_DENSE - 1]) > 1e4
    assert double[FIRST_DENSE - 2][1] < 1e-14


def on_the_grid(model: nn.Module) -> None:
    """Round biases of convolutions so that their products with multiples of ``GRID`` have no rounding."""
    for module in model:
        if isinstance(module, nn.Conv2d):
            module.bias.data.mul_(16).round_().div_(16)


def quarter_slope() -> nn.Module:
    return nn.LeakyReLU(0.25)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_where_sums_are_exact_no_convolution_ever_trains_whatever_beta(train, optimizer):
    """The exact value of those gradients: zero, for all steps, while everything above the norm trains."""
    model = make_model(ExactNorm, quarter_slope)
    first, model = train(model, beta=True, optimizer=optimizer, steps=STEPS, prepare=on_the_grid)
    assert steps_of(first) == [0, 0, 0, 0, 3, 2, 1]
    assert locked_layers(model) == [1, 2, 3, 4]


def test_on_the_grid_rounding_alone_was_removed(train):
    """The negative case: without exact sums the same network does learn, and affine norms start it by a signal."""
    first, _ = train(make_model(ControlNorm, quarter_slope), beta=True, prepare=on_the_grid)
    assert first[FIRST_DENSE - 2][0] == 4
    assert first[FIRST_DENSE - 2][1] < 1e-14
    first, _ = train(make_model(ExactNorm, quarter_slope), affine=10, optimizer="adam", prepare=on_the_grid)
    assert steps_of(first) == [7, 6, 5, 4, 3, 2, 1]
    assert min(size for _, size in first) > 1e-9


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize(("optimizer", "agreement", "least"), [("sgd", 1.01, 1e-36), ("adam", 1.001, 1e-7)])
@pytest.mark.parametrize("norm", [ControlNorm, nn.BatchNorm2d])
def test_affine_norms_start_every_layer_by_a_signal(train, norm, optimizer, agreement, least, beta):
    """Under SGD the signals are true as well, but each is the product of all weights above: 1e-35 at the bottom."""
    single, double = (
        train(make_model(norm), beta=beta, affine=10, optimizer=optimizer, dtype=dtype)[0]
        for dtype in (torch.float32, torch.float64)
    )
    assert steps_of(single) == steps_of(double) == [7, 6, 5, 4, 3, 2, 1]
    assert max(apart(single, double)) < agreement
    assert min(size for _, size in double) > least


@pytest.mark.parametrize(
    "norm", [lambda channels: nn.GroupNorm(1, channels), lambda channels: nn.GroupNorm(2, channels)]
)
def test_norms_over_several_channels_are_no_obstacle(train, norm):
    """A negative case: layer norm and group norm (here over 3 and 4 channels) keep units apart, and signals pass."""
    single, double = (
        train(make_model(norm), beta=True, optimizer="adam", dtype=dtype)[0] for dtype in (torch.float32, torch.float64)
    )
    assert steps_of(single) == steps_of(double) == [7, 6, 5, 4, 3, 2, 1]
    assert max(apart(single, double)) < 1.001


@pytest.mark.parametrize(
    ("norm", "num_values"), [(ControlNorm, 1), (lambda channels: nn.GroupNorm(1, channels).double(), 6)]
)
def test_channels_after_the_first_norm(data, generator, norm, num_values):
    """Zero in every channel, or one value for each."""
    model = make_model(norm).double()
    initialize_(model, "normal_bias", generator=generator(0), norm_aware=False)
    features = model[:6](data[0])
    assert isinstance(model[5], nn.BatchNorm2d | nn.GroupNorm)
    channels = features.transpose(0, 1).flatten(1)
    assert (channels.amax(dim=1) - channels.amin(dim=1) < 1e-12).all()
    assert len(channels[:, 0].unique()) == num_values
    assert features.any() == (num_values > 1)


def test_an_input_that_varies_is_no_obstacle(train):
    """A negative case: the convolution before the norm sees images, not a constant."""

    def make() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ELU(), ControlNorm(6), nn.Flatten(), nn.Linear(6 * 36, NUM_CLASSES))

    single, double = (train(make(), beta=True, dtype=dtype)[0] for dtype in (torch.float32, torch.float64))
    assert steps_of(double) == [2, 1]
    assert max(apart(single, double)) < 1.001
    assert steps_of(train(make(), steps=STEPS)[0]) == [0, 0]
