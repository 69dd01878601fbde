"""Small transformers that read an image piece by piece (Vaswani et al. 2017, with the norm before each branch)."""

from math import prod

import torch
from torch import Tensor, nn

from zeroinit.bench.models.activations import make_activation

__all__ = ["row_transformer", "small_vit"]

HEADS = 4


class Attention(nn.Module):
    """Self-attention with four dense layers."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """Let each token (batch, tokens, width) read all of them."""
        query, key, value = (
            layer(tokens).unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        weights = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1)
        return self.out_proj((weights @ value).transpose(-3, -2).flatten(-2))


class Block(nn.Module):
    """Self-attention, then two dense layers, each behind a norm and beside a path that adds its input."""

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = Attention(width, HEADS)
        self.norm_2 = nn.LayerNorm(width)
        self.dense_1 = nn.Linear(width, 2 * width)
        self.activation = make_activation(activation)
        self.dense_2 = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Add both branches to the tokens."""
        tokens = tokens + self.attention(self.norm_1(tokens))
        return tokens + self.dense_2(self.activation(self.dense_1(self.norm_2(tokens))))


class Transformer(nn.Module):
    """Each piece of an image is a token; the mean over all tokens goes to the classes."""

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        activation: str,
        piece: tuple[int, int],
        width: int,
        num_blocks: int,
    ) -> None:
        super().__init__()
        channels, *size = input_shape
        self.piece = piece
        self.embedding = nn.Linear(channels * prod(piece), width)
        self.positions = nn.Embedding((size[0] // piece[0]) * (size[1] // piece[1]), width)
        self.blocks = nn.Sequential(*(Block(width, activation) for _ in range(num_blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (batch, channels, height, width) to logits."""
        height, width = self.piece
        pieces = images.unfold(-2, height, height).unfold(-2, width, width).movedim(-5, -3).flatten(-3).flatten(-3, -2)
        places = torch.arange(pieces.shape[-2], device=pieces.device)
        tokens = self.blocks(self.embedding(pieces) + self.positions(places))
        return self.head(self.norm(tokens).mean(-2))


def row_transformer(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Module:
    """Two blocks of width 32 with four heads over the rows of an image (19,306 parameters on MNIST)."""
    return Transformer(input_shape, num_classes, activation, (1, input_shape[2]), width=32, num_blocks=2)


def small_vit(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Module:
    """Four blocks of width 64 with four heads over patches, eight to a side (141,898 parameters on CIFAR-10)."""
    patch = (max(input_shape[1] // 8, 1), max(input_shape[2] // 8, 1))
    return Transformer(input_shape, num_classes, activation, patch, width=64, num_blocks=4)
