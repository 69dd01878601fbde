"""An initializer of your own, checked on a network before it costs a training run. Run: python own_initializer.py.

A function with a parameter called ``generator`` fills one weight. A function without it sets one module.
"""

import math

import torch
from torch import nn

import zeroinit

device = "cuda" if torch.cuda.is_available() else "cpu"


def spectral(module: nn.Module) -> None:
    """Give each weight the spectral norm 1 and set its bias to zero; the fault: the same direction for all units."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.constant_(module.weight, 1 / math.sqrt(module.weight.numel()))
        nn.init.zeros_(module.bias)


def spectral_at_random(tensor: torch.Tensor, generator: torch.Generator | None) -> None:
    """The repair: a random matrix with orthonormal rows or columns has the spectral norm 1, too. Biases become zero."""
    nn.init.orthogonal_(tensor, generator=generator)


def build() -> nn.Sequential:
    """Return a small convolutional network."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 10),
    ).to(device)  # fmt: skip


torch.manual_seed(0)
images = torch.randn(32, 3, 12, 12, device=device)
classes = torch.arange(32, device=device) % 10

for initializer in (spectral, spectral_at_random):
    model = build()
    print(zeroinit.initialize_(model, initializer, generator=torch.Generator().manual_seed(0)))
    report = zeroinit.inspect(model, images, classes)
    print(f"{initializer.__name__}:", report.verdict)
    for layer in report.layers:
        if layer.is_matrix:
            print(f"  {layer.path or 'model'}: {layer.num_distinct_units} of {layer.num_units} {layer.unit} differ")
