"""Every kind of module that has weights: which parameters it has, what each is for, and its true fan-in and fan-out.

``layers.py`` knows the layers whose biases break a symmetry. This file adds embeddings, recurrent layers, norms,
bilinear layers, stacked experts and packed projections. It counts fans as signals see them, where torch's own count
differs: ``docs/reference/fans.md`` compares the two.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.rnn import RNNBase, RNNCellBase
from torch.nn.parameter import is_lazy

from zeroinit._modules.layers import Slot, fan_in, num_inputs, slots_of
from zeroinit._modules.norms import NORMS, parts_by_trial
from zeroinit._modules.stacked import units_axis

__all__ = ["every_slot", "packed_sizes"]

PACKED = (
    "qkv",
    "c_attn",
    "in_proj",
    "qkv_proj",
    "query_key_value",
    "wqkv",
    "to_qkv",
    "kv_proj",
    "to_kv",
    "gate_up_proj",
)
"""Names of dense layers that hold several projections, one below the other."""
EXPERTS = ("expert", "moe")


def every_slot(module: nn.Module, name: str = "", parent: nn.Module | None = None) -> tuple[Slot, ...]:
    """List the parameters of a module that an initializer may set, in the order of drawing; none if it has no rule.

    Args:
        module: Any module.
        name: The last part of its path: a dense layer called ``c_attn`` or ``qkv_proj`` packs several projections.
        parent: The module that holds it: it knows how many heads keys and values have.

    Example:
        >>> [(slot.name, slot.part, slot.true_fans) for slot in every_slot(nn.Conv2d(8, 4, 3, groups=4))]
        [('weight', 'weight', ((18, 9),)), ('bias', 'bias', ((18, 9),))]
        >>> [slot.true_fans for slot in every_slot(nn.GRUCell(5, 3)) if slot.name == "weight_hh"]
        [((3, 3), (3, 3), (3, 3))]
        >>> [(slot.part, slot.true_fans) for slot in every_slot(nn.Embedding(100, 8))]
        [('embedding', ((1, 8),))]
    """
    for kinds, list_slots in _KINDS:
        if isinstance(module, kinds):
            return list_slots(module)
    slots = slots_of(module)
    if slots:
        return tuple(replace(slot, **_dense(module, slot, name, parent)) for slot in slots)
    return _experts(module, name) or tuple(
        Slot(attribute, part, (1,), 1, true_fans=((1, 1),)) for attribute, part in parts_by_trial(module).items()
    )


def _dense(layer: nn.Module, slot: Slot, name: str, parent: nn.Module | None) -> dict:
    """Count the true fans of a dense, convolutional or attention layer."""
    if isinstance(layer, nn.MultiheadAttention):
        return {"true_fans": tuple((fan, int(layer.embed_dim)) for fan in slot.fans)}
    if isinstance(layer, _ConvNd):
        transposed = isinstance(layer, _ConvTransposeNd) and slot.part == "weight"
        outputs = layer.out_channels // layer.groups * math.prod(layer.kernel_size)
        inputs = num_inputs(layer)
        return {"true_fans": ((inputs, outputs),), "groups": layer.groups, "is_transposed": transposed}
    inputs, outputs = fan_in(layer), _outputs(layer)
    sizes = packed_sizes(name, inputs, outputs, parent)
    return {"true_fans": tuple((inputs, size) for size in sizes), "sizes": sizes, "fans": (inputs,) * len(sizes)}


def _outputs(layer: nn.Module) -> int:
    weight = layer._parameters.get("weight")
    weight = None if weight is None or is_lazy(weight) else weight
    size = getattr(layer, "out_features", getattr(layer, "nf", 0))
    if isinstance(size, int) and size:
        return size
    return weight.shape[0] if weight is not None and weight.dim() else 0


def packed_sizes(name: str, inputs: int, outputs: int, parent: nn.Module | None = None) -> tuple[int, ...]:
    """Return how many units each projection of a dense layer has; one number unless its name says that it packs some.

    With grouped queries, keys and values have fewer units. The numbers of heads are attributes of the module around
    the layer, or of its ``config``.

    Example:
        >>> packed_sizes("c_attn", 8, 24), packed_sizes("head", 8, 24), packed_sizes("gate_up_proj", 8, 64)
        ((8, 8, 8), (24,), (32, 32))
        >>> around = nn.Module()
        >>> around.num_heads, around.num_key_value_heads = 4, 2
        >>> packed_sizes("qkv_proj", 8, 16, around)
        (8, 4, 4)
    """
    if name.lower() not in PACKED or outputs <= 0:
        return (outputs,)
    if "gate_up" in name or ("kv" in name and "q" not in name):
        return (outputs // 2, outputs // 2) if outputs % 2 == 0 else (outputs,)
    heads = _number(parent, "num_heads", "num_attention_heads", "n_head", "n_heads")
    few = _number(parent, "num_key_value_heads", "num_kv_heads", "n_kv_heads")
    if heads and few and few != heads and outputs % (heads + 2 * few) == 0:
        width = outputs // (heads + 2 * few)
        return (heads * width, few * width, few * width)
    return (outputs // 3,) * 3 if outputs % 3 == 0 else (outputs,)


def _number(parent: nn.Module | None, *names: str) -> int:
    places = [parent, getattr(parent, "config", None)]
    found = (getattr(place, name, None) for place in places for name in names)
    return next((value for value in found if isinstance(value, int) and value > 0), 0)


def _embedding(module: nn.Module) -> tuple[Slot, ...]:
    """A token reads one row: its fan-in is 1, whatever the size of the table."""
    fans = ((1, int(module.embedding_dim)),)  # type: ignore[arg-type]
    return (Slot("weight", "embedding", (1,), 2, true_fans=fans, zero_row=module.padding_idx),)  # type: ignore[arg-type]


def _norm(module: nn.Module) -> tuple[Slot, ...]:
    weight = module._parameters.get("weight")
    axes = 1 if weight is None or is_lazy(weight) else weight.dim()
    return Slot("weight", "gamma", (1,), axes, true_fans=((1, 1),)), Slot(
        "bias", "beta", (1,), axes, true_fans=((1, 1),)
    )


def _recurrent(module: nn.Module) -> tuple[Slot, ...]:
    """Every gate is a dense layer of its own; the forget gate of an LSTM is the second of its four."""
    size, found = int(module.hidden_size), []  # type: ignore[arg-type]
    for name, parameter in module._parameters.items():
        if parameter is None:
            continue
        gates = 1 if name.startswith("weight_hr") else max(parameter.shape[0] // size, 1)
        units = parameter.shape[0] // gates
        inputs = parameter.shape[1] if parameter.dim() == 2 else size
        part = "bias" if parameter.dim() == 1 else ("recurrent" if name.startswith("weight_hh") else "weight")
        if gates == 4 and name.startswith("bias_ih"):
            part = "gate bias"
        fans = ((inputs, units),) * gates
        found.append(Slot(name, part, (size,) * gates, parameter.dim(), true_fans=fans))
    return tuple(found)


def _bilinear(module: nn.Module) -> tuple[Slot, ...]:
    """A unit sums over all pairs of inputs: in1 x in2 products, where torch counts in1."""
    one, other, units = int(module.in1_features), int(module.in2_features), int(module.out_features)  # type: ignore[arg-type]
    fans = ((one * other, units * (one + other) // 2),)
    return Slot("weight", "weight", (one,), 3, true_fans=fans), Slot("bias", "bias", (one,), 1, true_fans=fans)


def _experts(module: nn.Module, name: str) -> tuple[Slot, ...]:
    """Weights of stacked experts: parameters (experts, units, inputs), or (experts, inputs, units)."""
    if not any(word in text.lower() for word in EXPERTS for text in (name, type(module).__name__)):
        return ()
    width = _number(module, "hidden_size", "hidden_dim", "input_size", "dim", "d_model")
    found = []
    for attribute, parameter in module._parameters.items():
        if parameter is None or is_lazy(parameter) or parameter.dim() != 3:
            continue
        first, second = parameter.shape[1:]
        goes_down = any(word in attribute.lower() for word in ("down", "w2", "fc2", "output"))
        by_width = width in (first, second) and first != second
        axis = units_axis(module, attribute)
        if axis is None:
            axis = 2 if by_width and (second if goes_down else first) == width else 1
        units, inputs = (second, first) if axis == 2 else (first, second)
        parts = packed_sizes(attribute, inputs, units) if axis == 1 else (units,)
        fans = tuple((inputs, size) for size in parts)
        guess = first != second and not by_width and units_axis(module, attribute) is None
        slot = Slot(attribute, "weight", (inputs,) * len(parts), 3, axis == 2, fans, parts, is_stacked=True)
        found.append(replace(slot, is_guess=guess))
    return tuple(found)


_KINDS: Sequence[tuple[tuple[type[nn.Module], ...], Callable[[nn.Module], tuple[Slot, ...]]]] = (
    ((nn.Embedding, nn.EmbeddingBag), _embedding),
    (NORMS, _norm),
    ((RNNBase, RNNCellBase), _recurrent),
    ((nn.Bilinear,), _bilinear),
)
