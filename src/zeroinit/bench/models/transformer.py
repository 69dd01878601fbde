"""A small transformer that reads an image row by row (Vaswani et al. 2017, with the norm before each branch)."""

import torch
from torch import Tensor, nn

from zeroinit.bench.models.activations import make_activation

__all__ = ["row_transformer"]

WIDTH, HEADS, BLOCKS = 32, 4, 2


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


class RowTransformer(nn.Module):
    """Each row of an image is a token; the mean over all tokens goes to the classes."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, activation: str) -> None:
        super().__init__()
        channels, height, width = input_shape
        self.embedding = nn.Linear(channels * width, WIDTH)
        self.positions = nn.Embedding(height, WIDTH)
        self.blocks = nn.Sequential(*(Block(WIDTH, activation) for _ in range(BLOCKS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (batch, channels, height, width) to logits."""
        rows = images.transpose(-3, -2).flatten(-2)
        places = torch.arange(rows.shape[-2], device=rows.device)
        tokens = self.blocks(self.embedding(rows) + self.positions(places))
        return self.head(self.norm(tokens).mean(-2))


def row_transformer(input_shape: tuple[int, int, int], num_classes: int, activation: str) -> nn.Module:
    """Two blocks of width 32 with four heads over the rows of an image (19,306 parameters on MNIST)."""
    return RowTransformer(input_shape, num_classes, activation)
