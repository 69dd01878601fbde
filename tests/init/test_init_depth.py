"""Signals keep their size through 20 layers of every kind, also where widths grow and shrink."""

import pytest
import torch
from torch import nn

from zeroinit.init import initialize_, make_initializer
from zeroinit.init.gains import ACTIVATIONS

DEPTH = 20
CIRCULAR = {"padding": 1, "padding_mode": "circular"}
KINDS = {
    "dense": (lambda a, b: nn.Linear(a, b), ()),
    "conv1d": (lambda a, b: nn.Conv1d(a, b, 3, **CIRCULAR), (64,)),
    "conv2d": (lambda a, b: nn.Conv2d(a, b, 3, **CIRCULAR), (12, 12)),
    "conv3d": (lambda a, b: nn.Conv3d(a, b, 3, **CIRCULAR), (6, 6, 6)),
    "dilated": (lambda a, b: nn.Conv2d(a, b, 3, padding=2, dilation=2, padding_mode="circular"), (12, 12)),
    "grouped": (lambda a, b: nn.Conv2d(a, b, 3, groups=4, **CIRCULAR), (12, 12)),
    "depthwise": (lambda a, b: nn.Conv2d(a, b, 3, groups=min(a, b), **CIRCULAR), (12, 12)),
    "transposed": (lambda a, b: nn.ConvTranspose1d(a, b, 3), (200,)),
    "strided": (lambda a, b: nn.ConvTranspose1d(a, b, 2, stride=2), (4,)),
    "bilinear": (lambda a, b: Squared(a, b), ()),
}
WIDER = {"dense": 8, "depthwise": 8, "bilinear": 4}
"""Where few products add up, the size after 20 random layers varies by itself: there widths are multiples."""


class Squared(nn.Module):
    """A bilinear layer whose second input is a fixed sign pattern: linear in the first one."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.layer = nn.Bilinear(inputs, 6, units)
        self.register_buffer("other", torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]))

    def forward(self, x):
        return self.layer(x, self.other.expand(len(x), 6))


def variance_after(kind: str, widths: tuple[int, int], initialize) -> float:
    """The mean square after the layers, each of which goes from one width to the other and back."""
    make, positions = KINDS[kind]
    depth = 6 if kind == "strided" else DEPTH
    one, other = (WIDER.get(kind, 1) * width for width in widths)
    layers = [make(*((one, other) if number % 2 == 0 else (other, one))) for number in range(depth)]
    ratios = []
    for seed in range(12 if kind == "depthwise" else 3):
        signal = torch.randn(64 if not positions else 4, one, *positions, generator=torch.Generator().manual_seed(seed))
        initialize(layers, seed)
        with torch.no_grad():
            for layer in layers:
                signal = layer(signal)
            inner = signal[..., DEPTH:-DEPTH] if kind == "transposed" else signal
        ratios.append(float(inner.square().mean()))
    return sum(ratios) / len(ratios)


def by_us(layers: list, seed: int) -> None:
    initialize_(nn.ModuleList(layers), make_initializer("kaiming_normal", activation="linear"), seed=seed)


def by_torch(layers: list, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for module in nn.ModuleList(layers).modules():
        if hasattr(module, "weight"):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
            nn.init.zeros_(module.bias)


@pytest.mark.parametrize("widths", [(8, 32), (32, 8)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_variance_is_kept_through_real_layers(kind, widths):
    found = variance_after(kind, widths, by_us)
    assert 0.5 < found < 2.0
    if kind == "strided":  # torch counts every position of the kernel, of which an output sees one in two
        assert variance_after(kind, widths, by_torch) < 0.1


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh", "elu"])
def test_the_gain_keeps_the_variance_through_an_activation(activation):
    """Layer by layer: a network of GELU or SiLU amplifies what differs from 1, so a size at depth would not tell."""
    layer = nn.Linear(256, 256)
    initialize_(layer, make_initializer("kaiming_normal", activation=activation), seed=0)
    signal = torch.randn(512, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = float(layer(ACTIVATIONS[activation](signal)).square().mean())
        plain = float(layer(signal).square().mean())
    assert found == pytest.approx(1.0, abs=0.1)
    assert plain > 1.2
