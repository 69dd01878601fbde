"""Mimetic start of self-attention: products of projections near multiples of the identity, as in trained models."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.init.finish import Finish
from zeroinit.init.initializers import Initializer
from zeroinit.init.plan import Entry
from zeroinit.init.schemes.variance import xavier_uniform

__all__ = ["mimetic"]

NAMES = {
    "q": ("q_proj", "query", "wq", "to_q", "q"),
    "k": ("k_proj", "key", "wk", "to_k", "k"),
    "v": ("v_proj", "value", "wv", "to_v", "v"),
    "o": ("out_proj", "o_proj", "c_proj", "wo", "to_out", "proj", "o"),
    "qkv": ("c_attn", "qkv", "qkv_proj", "in_proj", "query_key_value", "to_qkv"),
}


def mimetic(
    value: tuple[float, float] | None = (0.4, 0.4), query: tuple[float, float] | None = (0.7, 0.7)
) -> Initializer:
    """Value times output near -b I, query times key near +b I in each head; Xavier weights elsewhere.

    Z has independent normal values of variance 1 / size. W_out W_value = a Z - b I for all heads together. In each
    head, W_query^T W_key = a Z + b I, cut to the head's rank by its largest singular values.

    Args:
        value: a and b of value and output; ``None`` leaves both as drawn. A pair of numbers in a rule may be a list.
        query: a and b of query and key; ``None`` leaves both as drawn.

    Source:
        Trockman and Kolter 2023, "Mimetic initialization of self-attention layers", section 3, equations 6 to 9 (arXiv
        2305.09828), with the values for vision. For language the paper finds the opposite signs; give negative b. We
        found no code of the authors. ``get_ortho_like`` of github.com/osiriszjq/structured_init has the same values and
        the same cut of each head. It draws Z from a uniform distribution of the same variance, and stores the factors
        of V and O the other way round: W_out W_value then has the eigenvalues of a Z - b I, and other entries.
    """

    def finish(state: Finish) -> None:
        blocks = list(_attentions(state))
        if not blocks:
            raise InputError(
                "initializer='mimetic': finds no self-attention with query, key, value and output of one width"
            )
        for number, (heads, parts) in enumerate(blocks):
            generator = state.source.generator_of(f"mimetic/{number}/{parts['o'][0].holder.path}")
            if value is not None:
                _set_value(state, parts, value, generator)
            if query is not None:
                _set_query(state, parts, heads, query, generator)
        state.notes.append(f"self-attentions: {len(blocks)}")

    base = replace(xavier_uniform(), summary="attention near multiples of the identity, Xavier elsewhere")
    return replace(base, source="Trockman and Kolter 2023, section 3", finish=finish)


Part = tuple[Entry, Tensor]
"""What was drawn, and a view of one projection in it (units, inputs)."""


def _attentions(state: Finish) -> Iterator[tuple[int, dict[str, Part]]]:
    """Yield the number of heads and the four projections of each self-attention of one width."""
    at = state.weights
    for path, module in state.plan.names.modules.items():
        parts = _parts(path, module, at)
        if parts is None:
            continue
        width = parts["o"][1].shape[0]
        if all(view.shape == (width, width) for _, view in parts.values()):
            heads = next(
                (
                    getattr(module, name)
                    for name in ("num_heads", "n_head", "num_attention_heads", "heads")
                    if isinstance(getattr(module, name, None), int)
                ),
                1,
            )
            yield heads, parts


def _parts(path: str, module: nn.Module, at: dict[str, Entry]) -> dict[str, Part] | None:
    children = {name: at.get(f"{path}.{name}" if path else name) for name in module._modules}

    def child(kind: str) -> Entry | None:
        return next((children[name] for name in NAMES[kind] if children.get(name) is not None), None)

    out, packed = child("o"), child("qkv")
    if isinstance(module, nn.MultiheadAttention):
        packed = at.get(path)
    if out is None:
        return None
    found = {"o": (out, _rows(out))}
    if packed is not None:
        rows = _rows(packed)
        if rows.shape[0] != 3 * rows.shape[1]:
            return None
        return found | {name: (packed, rows.chunk(3)[number]) for number, name in enumerate("qkv")}
    entries = {name: child(name) for name in "qkv"}
    if any(each is None for each in entries.values()):
        return None
    return found | {name: (each, _rows(each)) for name, each in entries.items() if each is not None}


def _rows(entry: Entry) -> Tensor:
    weight = entry.parameter.detach()
    return weight.t() if entry.slot.is_transposed else weight


def _set_value(state: Finish, parts: dict[str, Part], values: tuple[float, float], generator) -> None:
    a, b = values
    width = parts["o"][1].shape[0]
    u, s, v = torch.linalg.svd(_noise(width, a, generator) - b * torch.eye(width))
    parts["o"][1].copy_(u * s.sqrt())
    parts["v"][1].copy_(s.sqrt()[:, None] * v)
    state.note([parts[name][0].parameter for name in "ov"], f"; output x value = {a:g} Z - {b:g} I")


def _set_query(state: Finish, parts: dict[str, Part], heads: int, values: tuple[float, float], generator) -> None:
    a, b = values
    width = parts["q"][1].shape[0]
    rank = width // heads
    for head in range(heads):
        u, s, v = torch.linalg.svd(_noise(width, a, generator) + b * torch.eye(width))
        rows = slice(head * rank, (head + 1) * rank)
        parts["q"][1][rows].copy_(s.sqrt()[:rank, None] * u.t()[:rank])
        parts["k"][1][rows].copy_(s.sqrt()[:rank, None] * v[:rank])
    state.note([parts[name][0].parameter for name in "qk"], f"; query x key = {a:g} Z + {b:g} I")


def _noise(width: int, factor: float, generator: torch.Generator | None) -> Tensor:
    device = None if generator is None else generator.device
    return (torch.empty(width, width, device=device).normal_(0.0, width**-0.5, generator=generator) * factor).cpu()
