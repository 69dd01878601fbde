"""Zeros that keep each other at zero, and zeros that do not."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp, zeroed


class Attention(nn.Module):
    """Self-attention; ``zero`` names the projections that start at zero."""

    def __init__(self, width: int = 16, heads: int = 2, zero: tuple[str, ...] = (), packed: bool = False):
        super().__init__()
        self.heads, self.packed, self.norm = heads, packed, nn.LayerNorm(width)
        if packed:
            self.qkv = nn.Linear(width, 3 * width, bias=False)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)
        for name in zero:
            zeroed(getattr(self, name))

    def forward(self, x):
        b, t, d = x.shape
        seen = self.norm(x)
        parts = self.qkv(seen).chunk(3, -1) if self.packed else (self.q(seen), self.k(seen), self.v(seen))
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in parts)
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d))


class Video(nn.Module):
    def __init__(self, zero: tuple[str, ...]):
        super().__init__()
        self.patch, self.temporal, self.head = nn.Linear(6, 16), Attention(zero=zero, packed=True), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.temporal(self.patch(x)).mean(1))


class Adapter(nn.Module):
    """A frozen layer and a low-rank update."""

    def __init__(self, inside: int, outside: int, rank: int = 3, down: str = "random", up: str = "zero"):
        super().__init__()
        self.base = nn.Linear(inside, outside).requires_grad_(False)
        self.down, self.up = nn.Parameter(torch.zeros(rank, inside)), nn.Parameter(torch.zeros(outside, rank))
        for value, start in ((self.down, down), (self.up, up)):
            if start == "random":
                nn.init.normal_(value, std=1 / math.sqrt(inside))

    def forward(self, x):
        return self.base(x) + x @ self.down.T @ self.up.T


@fault(
    "lucidrains/TimeSformer-pytorch#8", "two zeros", "ZI006", "temporal.qkv", "`temporal.out.weight` both start at zero"
)
def temporal_attention_all_zero():
    return Batch(Video(("qkv", "out")), floats(6, 5, 6), labels(4, 6))


@healthy("lucidrains/TimeSformer-pytorch#8", "two zeros")
def temporal_attention_with_a_zero_output():
    return Batch(Video(("out",)), floats(6, 5, 6), labels(4, 6))


@fault("own", "two zeros", "ZI006", "1.down", "`1.down` and `1.up` both start at zero")
def adapter_with_both_factors_zero():
    return Batch(
        nn.Sequential(nn.Linear(8, 8), Adapter(8, 8, down="zero"), nn.Linear(8, 3)), floats(16, 8), labels(3, 16)
    )


@fault("own", "two zeros", "ZI006", "4.down", "8 times")
def many_adapters_with_both_factors_zero():
    layers = [nn.Sequential(Adapter(8, 8, down="zero"), nn.Tanh()) for _ in range(8)]
    model = nn.Sequential(*(layer[0] for layer in layers), nn.Linear(8, 3).requires_grad_(False))
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "two zeros")
def many_adapters_as_they_should_be():
    return Batch(nn.Sequential(*(Adapter(8, 8) for _ in range(8)), nn.Linear(8, 3)), floats(16, 8), labels(3, 16))


@fault("own", "two zeros", "ZI006", "branch", "`gate` and `branch.weight` both start at zero")
def gate_and_branch_both_zero():
    model = OneOf(
        lambda m, x: m.head(m.stem(x) + m.gate * m.branch(m.stem(x))),
        stem=nn.Linear(8, 8), branch=zeroed(nn.Linear(8, 8)), gate=nn.Parameter(torch.zeros(())), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "two zeros", "ZI006", "0", "all start at zero")
def every_layer_zero():
    return Batch(zeroed(mlp(8, 16, 16, 3, activation=nn.Tanh)), floats(16, 8), labels(3, 16))


@fault("own", "used twice", "ZI006", "emb", "`emb.weight` starts at zero and is used twice")
def tied_embedding_of_zeros():
    emb, head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
    head.weight = emb.weight
    model = OneOf(
        lambda m, i: m.head(m.core(m.emb(i))), emb=zeroed(emb), head=head, core=mlp(8, 8, 8, activation=nn.Tanh)
    )
    for layer in (model.core[0], model.core[2]):
        nn.init.zeros_(layer.bias)
        layer.bias.requires_grad_(False)
    return Batch(model, labels(20, 8, 5), labels(20, 8, 5))


@healthy("own", "used twice")
def tied_embedding_of_zeros_with_biases():
    emb, head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
    head.weight = emb.weight
    model = OneOf(
        lambda m, i: m.head(m.core(m.emb(i))), emb=zeroed(emb), head=head, core=mlp(8, 8, 8, activation=nn.Tanh)
    )
    return Batch(model, labels(20, 8, 5), labels(20, 8, 5))


@fault("own", "used twice", "ZI006", "a", "`a` starts at zero and is used twice")
def matrix_times_its_own_transpose():
    model = OneOf(
        lambda m, x: m.head(torch.relu(m.base(x) + x @ m.a @ m.a.T)),
        base=nn.Linear(8, 8), a=nn.Parameter(torch.zeros(8, 3)), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "used twice", "ZI006", "s", "`s` starts at zero and is used twice")
def squared_scale_of_zero():
    model = OneOf(
        lambda m, x: m.head(x + m.s**2 * m.branch(x)) + m.s * m.s,
        s=nn.Parameter(torch.zeros(())), branch=nn.Linear(8, 8), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))


class Packed(nn.Module):
    def __init__(self, zero_rows: int):
        super().__init__()
        self.emb, self.block, self.head = nn.Embedding(20, 16), Attention(packed=True), nn.Linear(16, 4)
        self.position = nn.Parameter(0.1 * torch.randn(1, 6, 16))
        self.block.qkv.weight.data[:zero_rows] = 0

    def forward(self, i):
        return self.head(self.block(self.emb(i) + self.position).mean(1))


@fault("lucidrains/TimeSformer-pytorch#8", "zero rows", "ZI006", "block.qkv", "Units 0 to 31 start at zero")
def queries_and_keys_zero_in_a_packed_projection():
    return Batch(Packed(32), labels(20, 8, 6), labels(4, 8))


@healthy("own", "zero rows")
def queries_alone_zero_in_a_packed_projection():
    return Batch(Packed(16), labels(20, 8, 6), labels(4, 8))


def _modulated(domains: int):
    return OneOf(
        lambda m, x, c, d: m.head(
            torch.relu(m.inp(x) * (1 + m.film(c).view(len(x), domains, 12)[torch.arange(len(x)), d]))
        ),
        inp=nn.Linear(8, 12), film=zeroed(nn.Linear(5, domains * 12)), head=nn.Linear(12, 3),
    )  # fmt: skip


@healthy("own", "zero rows")
def modulation_rows_of_other_domains():
    return Batch(_modulated(3), (floats(16, 8), floats(16, 5), torch.zeros(16, dtype=torch.long)), labels(3, 16))


@fault("own", "zero and frozen", "ZI007", "branch", "`gate` is frozen at zero")
def gate_frozen_at_zero():
    model = OneOf(
        lambda m, x: m.head(x + m.gate * m.branch(x)),
        branch=nn.Linear(8, 8), gate=nn.Parameter(torch.zeros(8), requires_grad=False), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "zero and frozen", "ZI007", "branch", "the buffer `scale`, which is zero")
def scale_kept_as_a_zero_buffer():
    model = OneOf(lambda m, x: m.head(x + m.scale * m.branch(x)), branch=nn.Linear(8, 8), head=nn.Linear(8, 3))
    model.register_buffer("scale", torch.zeros(8))
    return Batch(model, floats(16, 8), labels(3, 16), None)


@healthy("own", "zero and frozen")
def gate_that_starts_at_zero_and_is_trained():
    model = OneOf(
        lambda m, x: m.head(x + m.gate * m.branch(x)),
        branch=nn.Linear(8, 8), gate=nn.Parameter(torch.zeros(8)), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))
