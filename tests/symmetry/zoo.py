"""Small models of many kinds, each with a batch; what is planted into them is in ``test_symmetry_planted.py``."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

os.environ["HF_HUB_OFFLINE"] = "1"


@dataclass
class Case:
    """A model and what ``inspect`` is called with."""

    model: nn.Module
    inputs: Any
    targets: Any = None
    settings: dict[str, Any] = field(default_factory=dict)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classes(number: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.randint(number, shape, generator=torch.Generator().manual_seed(seed))


def mlp(activation=nn.ReLU, widths=(16, 16), inputs=12, outputs=5) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Branch(nn.Module):
    """A branch behind a norm; ``down`` and ``up`` are zero, and so is the norm's shift."""

    def __init__(self):
        super().__init__()
        self.norm, self.down, self.up = nn.LayerNorm(12), nn.Linear(12, 4, bias=False), nn.Linear(4, 12, bias=False)
        self.head = nn.Linear(12, 5)
        for layer in (self.down, self.up):
            nn.init.zeros_(layer.weight)

    def forward(self, x):
        return self.head(x + self.up(self.down(self.norm(x))))


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
    )


def vgg_with_batch_norm() -> nn.Sequential:
    """Convolutions with biases in front of batch norms, as in the published network."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 5),
    )  # fmt: skip


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, zero_gamma: bool = False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        if zero_gamma:
            nn.init.zeros_(self.bn2.weight)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


def resnet(zero_gamma: bool = False) -> nn.Sequential:
    blocks = [ResidualBlock(8, zero_gamma) for _ in range(2)]
    stem = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


class FixupBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bias1, self.bias2 = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.bias3, self.bias4 = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x):
        out = F.relu(self.conv1(x + self.bias1) + self.bias2)
        return F.relu(self.conv2(out + self.bias3) * self.scale + self.bias4 + x)


def fixup() -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), FixupBlock(8), FixupBlock(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return model


class ReZeroBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.alpha * self.branch(x)


def rezero() -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 8), ReZeroBlock(8), ReZeroBlock(8), nn.Linear(8, 5))


class LayerScaleBlock(nn.Module):
    def __init__(self, width: int, value: float = 1e-6):
        super().__init__()
        self.norm, self.dense = nn.LayerNorm(width), nn.Linear(width, width)
        self.gamma = nn.Parameter(torch.full((width,), value))

    def forward(self, x):
        return x + self.gamma * F.gelu(self.dense(self.norm(x)))


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM, **settings):
        super().__init__()
        self.embed = nn.Embedding(11, 6, padding_idx=0)
        self.core = kind(6, 8, batch_first=True, **settings)
        self.head = nn.Linear(8 * (2 if settings.get("bidirectional") else 1), 5)

    def forward(self, tokens):
        return self.head(self.core(self.embed(tokens))[0].mean(1))


class Encoder(nn.Module):
    """torch's transformer encoder, whose layers start as copies of each other."""

    def __init__(self, dropout: float = 0.1, **settings):
        super().__init__()
        self.embed, self.position = nn.Embedding(11, 8), nn.Parameter(torch.zeros(1, 7, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout, batch_first=True, **settings)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 5)

    def forward(self, tokens):
        return self.head(self.encoder(self.embed(tokens) + self.position).mean(1))


class ControlNet(nn.Module):
    """A frozen base, a trainable copy, and zero convolutions between them."""

    def __init__(self):
        super().__init__()
        self.base = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU())
        self.top = nn.Conv2d(8, 3, 3, padding=1)
        self.base.requires_grad_(False)
        self.top.requires_grad_(False)
        self.copy = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU())
        self.zero_in, self.zero_out = nn.Conv2d(3, 3, 1), nn.Conv2d(8, 8, 1)
        for each in (*self.zero_in.parameters(), *self.zero_out.parameters()):
            nn.init.zeros_(each)

    def forward(self, x, hint):
        return self.top(self.base(x) + self.zero_out(self.copy(x + self.zero_in(hint))))


class AdaptiveBlock(nn.Module):
    """A block of a diffusion transformer: shift, scale and gate from a zero layer (adaLN-Zero)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.dense = nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, width)
        self.modulation = nn.Linear(width, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x, condition):
        shift, scale, gate = self.modulation(F.silu(condition))[:, None].chunk(3, dim=-1)
        return x + gate * F.gelu(self.dense(self.norm(x) * (1 + scale) + shift))


class DiffusionTransformer(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.embed, self.condition = nn.Linear(4, width), nn.Embedding(5, width)
        self.blocks = nn.ModuleList(AdaptiveBlock(width) for _ in range(2))
        self.final = nn.Linear(width, 4)
        nn.init.zeros_(self.final.weight)
        nn.init.zeros_(self.final.bias)

    def forward(self, x, label):
        hidden, condition = self.embed(x), self.condition(label)
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.final(hidden)


class TiedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(23, 8)
        self.core = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 23, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        hidden = self.embed(tokens)
        return self.head(hidden + self.core(hidden))


class MixtureOfExperts(nn.Module):
    """Each example goes to its best expert alone; the router starts at zero where ``zero_router``."""

    def __init__(self, experts: int = 4, zero_router: bool = False):
        super().__init__()
        self.stem, self.router = nn.Linear(12, 8), nn.Linear(8, experts)
        self.experts = nn.ModuleList(mlp(widths=(8,), inputs=8, outputs=8) for _ in range(experts))
        self.head = nn.Linear(8, 5)
        if zero_router:
            nn.init.zeros_(self.router.weight)

    def forward(self, x):
        hidden = F.relu(self.stem(x))
        weights = self.router(hidden).softmax(-1)
        chosen, out = weights.argmax(-1), torch.zeros_like(hidden)
        for number, expert in enumerate(self.experts):
            taken = chosen == number
            if taken.any():
                out[taken] = weights[taken, number, None] * expert(hidden[taken])
        return self.head(hidden + out)


class SoftMixture(nn.Module):
    """All experts at once, from one stacked parameter."""

    def __init__(self, experts: int = 3):
        super().__init__()
        self.router = nn.Linear(12, experts)
        self.weight = nn.Parameter(drawn(experts, 12, 8, seed=5) / 4)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        each = F.relu(torch.einsum("bi,eio->beo", x, self.weight))
        return self.head((self.router(x).softmax(-1)[:, :, None] * each).sum(1))


class LowRank(nn.Module):
    """A frozen layer with a low-rank update, whose second factor starts at zero."""

    def __init__(self, rank: int = 3):
        super().__init__()
        self.base = nn.Linear(12, 8).requires_grad_(False)
        self.a, self.b = nn.Linear(12, rank, bias=False), nn.Linear(rank, 8, bias=False)
        self.dropout = nn.Dropout(0.1)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return self.base(x) + self.b(self.a(self.dropout(x)))


def low_rank() -> nn.Sequential:
    return nn.Sequential(LowRank(), nn.ReLU(), nn.Linear(8, 5).requires_grad_(False))


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp(nn.Tanh, outputs=6)

    def forward(self, left, right):
        return F.cosine_similarity(self.body(left), self.body(right))


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU())
        self.decoder = nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1)

    def forward(self, x):
        return self.decoder(self.encoder(x))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(4, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2, groups=2)
        self.out = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        skip = F.silu(self.down1(x))
        return self.out(torch.cat([skip, self.up(F.silu(self.norm(self.down2(skip))))], dim=1))


class Functional(nn.Module):
    """Weights as bare parameters, used by functional calls alone."""

    def __init__(self):
        super().__init__()
        self.first, self.shift = nn.Parameter(drawn(12, 9, seed=7) / 3), nn.Parameter(torch.zeros(9))
        self.second = nn.Parameter(drawn(5, 9, seed=8) / 3)

    def forward(self, x):
        return F.linear(torch.tanh(x @ self.first + self.shift), self.second)


class VisionTransformer(nn.Module):
    """Patches of images with a blank border, a class token and positions that start at zero."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.token, self.position = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 17, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 5)
        nn.init.zeros_(self.head.weight)

    def forward(self, x):
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], dim=1) + self.position
        return self.head(self.layer(tokens)[:, 0])


def bordered(number: int) -> Tensor:
    return F.pad(drawn(number, 1, 8, 8), (4, 4, 4, 4))


IMAGES, VECTORS, TOKENS = drawn(8, 3, 8, 8), drawn(16, 12), classes(10, 8, 7) + 1


def _squared(output: Tensor) -> Tensor:
    return (output - 0.3).square().mean()


def with_zero_head() -> nn.Sequential:
    """More classes than the batch shows."""
    model = mlp(outputs=50)
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return model


def weight_normed() -> nn.Sequential:
    model = mlp(nn.Tanh)
    nn.utils.parametrizations.weight_norm(model[0])
    nn.utils.parametrizations.spectral_norm(model[2])
    return model


def depthwise() -> nn.Sequential:
    """Blur kernels of ones, channel by channel, then a pointwise convolution."""
    model = nn.Sequential(
        nn.Conv2d(3, 3, 3, groups=3, bias=False), nn.Conv2d(3, 8, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    nn.init.constant_(model[0].weight, 1 / 9)
    return model


def biases_alone(activation=nn.ELU) -> nn.Sequential:
    """Zero weights and random biases."""
    model = mlp(activation, widths=(16, 16, 16))
    for at, layer in enumerate(each for each in model if isinstance(each, nn.Linear)):
        nn.init.zeros_(layer.weight)
        layer.bias.data = drawn(len(layer.bias), seed=20 + at)
    return model


HEALTHY: dict[str, Callable[[], Case]] = {
    "mlp_relu": lambda: Case(mlp(), VECTORS),
    "mlp_tanh_targets": lambda: Case(mlp(nn.Tanh), VECTORS, classes(5, 16)),
    "mlp_regression": lambda: Case(mlp(nn.GELU, outputs=1), VECTORS, drawn(16, 1)),
    "mlp_deep_relu": lambda: Case(mlp(widths=(16,) * 8), VECTORS),
    "logistic_regression": lambda: Case(nn.Linear(12, 5), VECTORS),
    "zero_logistic_regression": lambda: Case(nn.Sequential(_zeroed(nn.Linear(12, 5))), VECTORS),
    "zero_head_absent_classes": lambda: Case(with_zero_head(), VECTORS),
    "zero_weights_random_biases": lambda: Case(biases_alone(), VECTORS),
    "weight_norm_spectral_norm": lambda: Case(weight_normed(), VECTORS),
    "functional": lambda: Case(Functional(), VECTORS),
    "own_loss_function": lambda: Case(mlp(), VECTORS, None, {"loss_fn": _squared}),
    "cnn": lambda: Case(cnn(), IMAGES),
    "cnn_depthwise": lambda: Case(depthwise(), IMAGES),
    "vgg_batch_norm_with_biases": lambda: Case(vgg_with_batch_norm(), IMAGES),
    "resnet": lambda: Case(resnet(), IMAGES),
    "resnet_zero_gamma": lambda: Case(resnet(zero_gamma=True), IMAGES),
    "resnet_in_eval_mode": lambda: Case(resnet().eval(), IMAGES),
    "fixup": lambda: Case(fixup(), IMAGES),
    "autoencoder": lambda: Case(Autoencoder(), drawn(4, 1, 8, 8), drawn(4, 1, 8, 8)),
    "unet": lambda: Case(UNet(), IMAGES, classes(4, 8, 8, 8)),
    "rezero": lambda: Case(rezero(), VECTORS),
    "layer_scale": lambda: Case(nn.Sequential(nn.Linear(12, 8), LayerScaleBlock(8), nn.Linear(8, 5)), VECTORS),
    "lstm": lambda: Case(Recurrent(), TOKENS),
    "lstm_two_layers_both_ways": lambda: Case(Recurrent(num_layers=2, bidirectional=True, dropout=0.2), TOKENS),
    "gru": lambda: Case(Recurrent(nn.GRU), TOKENS),
    "rnn": lambda: Case(Recurrent(nn.RNN), TOKENS),
    "transformer_encoder": lambda: Case(Encoder(), TOKENS),
    "transformer_encoder_pre_norm": lambda: Case(Encoder(0.0, norm_first=True, activation="gelu"), TOKENS),
    "vision_transformer": lambda: Case(VisionTransformer(), bordered(8)),
    "controlnet": lambda: Case(ControlNet(), (IMAGES, drawn(8, 3, 8, 8, seed=3))),
    "diffusion_transformer": lambda: Case(
        DiffusionTransformer(), (drawn(8, 6, 4), classes(5, 8)), drawn(8, 6, 4, seed=4)
    ),
    "tied_embeddings": lambda: Case(TiedLanguageModel(), TOKENS, TOKENS.roll(1, 1)),
    "mixture_of_experts": lambda: Case(MixtureOfExperts(), VECTORS),
    "soft_mixture": lambda: Case(SoftMixture(), VECTORS),
    "soft_mixture_of_two_zero_router": lambda: Case(_zero_router(SoftMixture(2)), VECTORS),
    "low_rank_adapter": lambda: Case(low_rank(), VECTORS),
    "siamese": lambda: Case(Siamese(), (VECTORS, drawn(16, 12, seed=2)), drawn(16)),
}  # fmt: skip
"""Models with nothing wrong, by name."""


def _zeroed(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _zero_router(model: SoftMixture) -> SoftMixture:
    _zeroed(model.router)
    return model


def seeded(make: Callable[[], Case], seed: int = 0) -> Case:
    """Build a case from a seed; the global random state stays as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()
