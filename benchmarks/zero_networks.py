"""Small networks that bring zeros of their own, as public code builds them; each maps (batch, 1, 8, 8) to 10 logits."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zeroinit
from zeroinit.bench.models import make_activation

__all__ = ["ACTIVATED", "NETWORKS"]


class ZeroGammaBlock(nn.Module):
    """A basic block whose last norm starts at zero, as with torchvision's ``zero_init_residual`` (arXiv:1706.02677)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features))))))


def zero_gamma() -> nn.Module:
    """Return a ResNet of seven convolutions, all without biases."""
    stem = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(
        *stem, *[ZeroGammaBlock(16) for _ in range(3)], nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )


class ReZeroBlock(nn.Module):
    """x + alpha f(x) with alpha at zero (Bachlechner et al. 2020, arXiv:2003.04887)."""

    def __init__(self, width: int, bias: bool):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width, bias), nn.Linear(2 * width, width, bias)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.alpha * self.down(F.relu(self.up(features)))


def rezero(bias: bool = True) -> nn.Module:
    """Return four blocks between two dense layers."""
    blocks = [ReZeroBlock(64, bias) for _ in range(4)]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), *blocks, nn.Linear(64, 10))


class ScaledBlock(nn.Module):
    """A block of ConvNeXt with its layer scale (Liu et al. 2022, arXiv:2201.03545)."""

    def __init__(self, channels: int, scale: float, bias: bool):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, 4 * channels, bias), nn.Linear(4 * channels, channels, bias)
        self.gamma = nn.Parameter(torch.full((channels,), scale))

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.norm(self.depthwise(features).permute(0, 2, 3, 1))
        return features + (self.gamma * self.down(F.gelu(self.up(mixed)))).permute(0, 3, 1, 2)


def layer_scale(scale: float = 1e-6, bias: bool = True) -> nn.Module:
    """Return three blocks behind patches of 2x2."""
    blocks = [ScaledBlock(32, scale, bias) for _ in range(3)]
    return nn.Sequential(nn.Conv2d(1, 32, 2, stride=2), *blocks, nn.Flatten(), nn.Linear(512, 10))


class DiTBlock(nn.Module):
    """Attention and a dense part, each behind a gate that starts at zero (Peebles and Xie 2023, arXiv:2212.09748)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        nn.init.zeros_(self.modulation[1].weight)
        nn.init.zeros_(self.modulation[1].bias)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, dim=-1)
        normed = self.norm1(tokens) * (1 + scale1) + shift1
        tokens = tokens + gate1 * self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + gate2 * self.dense(self.norm2(tokens) * (1 + scale2) + shift2)


class DiT(nn.Module):
    """Sixteen patches, two blocks conditioned on the mean patch, and a head that starts at zero."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.patches, self.positions = nn.Conv2d(1, width, 2, stride=2), nn.Parameter(0.02 * torch.randn(16, width))
        self.condition = nn.Linear(width, width)
        self.blocks = nn.ModuleList(DiTBlock(width) for _ in range(2))
        self.head = nn.Linear(16 * width, 10)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        condition = self.condition(tokens.mean(1))
        for block in self.blocks:
            tokens = block(tokens, condition)
        return self.head(tokens.flatten(1))


class LoRA(nn.Module):
    """A frozen dense layer and a learned product of low rank, whose second factor starts at zero (arXiv:2106.09685)."""

    def __init__(self, layer: nn.Linear, rank: int = 8):
        super().__init__()
        self.base = layer.requires_grad_(False)
        self.lora_A = nn.Linear(layer.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.base(inputs) + 2 * self.lora_B(self.lora_A(inputs))


def lora() -> nn.Module:
    """Return three dense layers with LoRA; the caller trains them first and then calls ``adapt``."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def adapt(model: nn.Sequential) -> nn.Module:
    """Freeze a network and put LoRA beside each of its dense layers."""
    return nn.Sequential(*[LoRA(layer) if isinstance(layer, nn.Linear) else layer for layer in model])


def bias_free() -> nn.Module:
    """Return four convolutions without biases, each before a norm."""
    sizes = [(1, 16), (16, 16), (16, 32), (32, 32)]
    layers = [
        each
        for inputs, units in sizes
        for each in (nn.Conv2d(inputs, units, 3, padding=1, bias=False), nn.BatchNorm2d(units), nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(512, 10))


NETWORKS = {
    "ResNet, zero γ": zero_gamma,
    "ReZero": rezero,
    "ReZero, no biases in blocks": lambda: rezero(bias=False),
    "ConvNeXt, layer scale 1e-6": layer_scale,
    "ConvNeXt, layer scale 0, no biases in blocks": lambda: layer_scale(0.0, bias=False),
    "DiT": DiT,
    "LoRA": lora,
    "bias-free convolutions before norms": bias_free,
}


def dense(*hidden: int) -> Callable[[str], nn.Module]:
    """Return dense networks with so many units between pixels and classes, for each activation."""

    def build(activation: str) -> nn.Module:
        sizes = itertools.pairwise((64, *hidden))
        layers = [each for pair in sizes for each in (nn.Linear(*pair), make_activation(activation))]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(hidden[-1], 10))

    return build


class BasicBlock(nn.Module):
    """A basic block with a norm after each convolution (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int, width: int, stride: int, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.activation = activation
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        is_changed = (channels, stride) != (width, 1)
        self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.shortcut = self.shortcut if is_changed else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        inner = self.activation(self.bn1(self.conv1(features)))
        return self.activation(self.shortcut(features) + self.bn2(self.conv2(inner)))


def resnet18_quarter(activation: str) -> nn.Module:
    """Return a ResNet-18 with a quarter of its channels; activations are functions, not modules."""
    act = getattr(F, activation)
    widths = (16, 16, 16, 32, 32, 64, 64, 128, 128)
    blocks = [BasicBlock(*pair, 1 + (pair[0] != pair[1]), act) for pair in itertools.pairwise(widths)]
    stem = [
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        make_activation(activation),
    ]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


ACTIVATED: dict[str, Callable[[str], nn.Module]] = {
    "dense, 32": dense(32),
    "dense, 500": dense(500),
    "dense, 16-16": dense(16, 16),
    "dense, 6 layers": dense(64, 64, 64, 64, 64),
    "CNN with batch norm": lambda activation: zeroinit.bench.build_model(
        "cifar_cnn_quarter", (1, 8, 8), activation=activation
    ),
    "ResNet-18, quarter": resnet18_quarter,
}
"""Networks for each activation: ``"relu"``, ``"elu"``."""
