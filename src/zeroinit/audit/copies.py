"""Random values that are there twice: in layers, experts, slices, shards."""

import re
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedParameter

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import few, of_model
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import COPIES, Write
from zeroinit.audit.trace import plain

__all__ = ["copies_between", "copies_inside", "drawn", "equal_groups"]

ON_PURPOSE = re.compile(
    r"(^|[._])(ema|teacher|targets?|momentum|averaged?|avg|swa|polyak|shadow|reference|ref|old|slow|lagged|frozen"
    r"|key_encoder|encoder_k)(?=$|[._\d])"
)
"""Words in the path of a module that starts as a copy on purpose."""
BIAS = re.compile(r"bias|^b(_|\d|$)")
FEWEST_BITS, FEWEST_SCALED = 20, 8
"""Bits that must agree, and values that must be proportional, before a copy is no chance."""


def drawn(observed: Observed) -> dict[str, Tensor]:
    """Return the local part of each trained parameter whose values are random, by name.

    Left out: what is frozen or loaded, averages and targets, constants.
    """
    found = {}
    for name, parameter in observed.parameters.items():
        memory = observed.memory(parameter)
        if memory is None or not parameter.requires_grad or isinstance(parameter, UninitializedParameter):
            continue
        tensor = plain(parameter.detach())
        if tensor.is_meta or not tensor.is_floating_point() or ON_PURPOSE.search(name.lower()):
            continue
        if any(_is_received(observed, name, each) for each in memory.lasting()):
            continue
        seen = observed.recorder.time and not (_is_layer(observed, name) and memory.is_from_outside())
        random = memory.is_random() if seen else _looks_random(tensor)
        if random and bool(torch.isfinite(tensor).all()) and _varies(tensor):
            found[name] = tensor
    return found


def _is_layer(observed: Observed, name: str) -> bool:
    """Whether a parameter is the weight of a dense or a convolutional layer, which is no table by a formula."""
    return name.endswith("weight") and isinstance(observed.owner(name), nn.Linear | _ConvNd)


def _is_received(observed: Observed, name: str, write: Write) -> bool:
    """Whether values are loaded: from a checkpoint, or from a part of the model of another kind.

    Layers whose names differ by a number alone, and that load what one of them drew, are copies.
    """
    source = observed.copied_from(write)
    is_twin = re.sub(r"\d+", "*", source) == re.sub(r"\d+", "*", name)
    return observed.is_loaded(write) or (write.rule.loading and not is_twin)


def _varies(tensor: Tensor) -> bool:
    """Whether values are numerous and different enough that they cannot agree by chance."""
    bits = {torch.float64: 50, torch.float32: 22, torch.float16: 9}.get(tensor.dtype, 6)
    flat = tensor.reshape(-1)
    return flat.numel() * bits >= FEWEST_BITS and bool((flat[:1] != flat).any() or flat.numel() == 1)


def _looks_random(tensor: Tensor) -> bool:
    """Whether nearly all values of a tensor differ, where nobody saw how it was made."""
    return len(tensor.unique()) > 0.5 * tensor.numel()


def copies_between(observed: Observed) -> list[Finding]:
    """Return a finding for each group of parameters of one shape with the same random values, or multiples of them."""
    told = {name for names in (*observed.joined, *observed.split) for name in names[1:]}
    random = {name: tensor for name, tensor in drawn(observed).items() if name not in told}
    groups = equal_groups(random)
    together: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for group in groups:
        together[tuple(name.rpartition(".")[0] for name in group)].append(group)
    return [_between(observed, members, paths, random) for paths, members in together.items()]


def equal_groups(tensors: dict[str, Tensor]) -> list[list[str]]:
    """Group names of tensors that have one shape and are multiples of each other; groups of one are left out.

    Example:
        >>> drawn = torch.arange(1.0, 10.0)
        >>> equal_groups({"a": drawn, "b": 2 * drawn, "c": drawn.square(), "d": drawn.view(3, 3)})
        [['a', 'b']]
    """
    by_shape: dict[tuple, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        by_shape[tuple(tensor.shape)][name] = tensor
    return [group for members in by_shape.values() for group in _equal(members)]


def _equal(tensors: dict[str, Tensor]) -> list[list[str]]:
    """Group tensors of one shape by what they are multiples of."""
    groups: list[tuple[Tensor, list[str]]] = []
    for name, tensor in tensors.items():
        for first, names in groups:
            if _is_multiple(first, tensor):
                names.append(name)
                break
        else:
            groups.append((tensor, [name]))
    return [names for _, names in groups if len(names) > 1]


def _is_multiple(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal, or one is a positive multiple of the other."""
    a, b = (each.reshape(-1)[:FEWEST_SCALED] for each in (first, second))
    if torch.equal(a, b):
        return torch.equal(first, second)
    if first.numel() < FEWEST_SCALED or first.dtype != second.dtype:
        return False
    at = int(a.abs().argmax())
    factor = (b[at].double() / a[at].double()).item()
    close = {torch.float32: 1e-5, torch.float64: 1e-12}.get(first.dtype, 0.02)
    if not factor > 0 or not torch.allclose(
        a.double() * factor, b.double(), rtol=close, atol=close * abs(float(b[at]))
    ):
        return False
    size = close * float(second.abs().max())
    return torch.allclose(first.double() * factor, second.double(), rtol=close, atol=size)


def _between(observed: Observed, groups: list[list[str]], paths: tuple[str, ...], random: dict[str, Tensor]) -> Finding:
    names = [name for group in groups for name in group]
    first, path = groups[0], groups[0][0].rpartition(".")[0]
    scaled = not torch.equal(observed.parameters[first[0]].detach(), observed.parameters[first[1]].detach())
    how = "are multiples of each other" if scaled else "have the same random values"
    others = [name for name in random if name.rpartition(".")[0] in paths and name not in names]
    ends = "; their other values differ" if others else f": {len(first)} {_whats(first)} start as one"
    message = f"{few(names)} {how}{ends}."
    anew = f"`nn.init.normal_({of_model(first[1])}, std=0.02)` and so on"
    repair = f"Draw each anew: {_instead(observed, first)}, or call {anew}."
    embedding = next((name for name in first if isinstance(observed.owner(name), nn.Embedding)), "")
    head = next((name for name in first if isinstance(observed.owner(name), nn.Linear)), "")
    if embedding and head:
        repair = (
            f"If they are meant to be one, tie them: `{of_model(head)} = {of_model(embedding)}`. Else draw one anew."
        )
    drawn_anew = {name.rpartition(".")[0] for name in others if random[name].dim() > 1}
    if drawn_anew == {*paths} and all(random[name].dim() < 2 for name in names):
        return finding("ZI252", path, names, message)
    return finding("ZI206", path, names, message, repair)


def _instead(observed: Observed, names: list[str]) -> str:
    """Say what to do so that each parameter keeps values of its own, by what made them equal."""
    memories = [observed.memory(observed.parameters[name]) for name in names]
    lasting = [each for memory in memories if memory is not None for each in memory.lasting()]
    if place := next((each.rule.place for each in lasting if each.kind == "copy" and each.rule.place), ""):
        return f"leave out the copy ({place})"
    ways = {
        "build each layer by itself instead of `copy.deepcopy`": any(each.operation in COPIES for each in lasting),
        "seed once and not in each layer": all(each.kind == "draw" for each in lasting),
    }
    return ", ".join([way for way, holds in ways.items() if holds] or ways)


def _whats(names: Iterable[str]) -> str:
    text = " ".join(names).lower()
    return "experts" if "expert" in text else "shards" if re.search(r"shard|rank", text) else "layers"


def copies_inside(observed: Observed) -> list[Finding]:
    """Return a finding for each parameter that holds the same random values several times."""
    found = []
    random = drawn(observed)
    for name, tensor in random.items():
        owner, path = observed.owner(name), name.rpartition(".")[0]
        if (
            isinstance(owner, _ConvNd | nn.Embedding | nn.EmbeddingBag | nn.modules.batchnorm._NormBase)
            or tensor.dim() < 2
        ):
            continue
        told = _repeated(tensor)
        if told and _is_of_members(name, random):
            message = f"{told} of `{name}` have the same random values; other values of the layer differ."
            found.append(finding("ZI252", path, [name], message))
        elif told:
            target = of_model(name)
            message = f"{told} of `{name}` have the same random values."
            anew = f"Draw each anew: `for part in {target}: nn.init.normal_(part, std=0.02)`, "
            repair = f"{anew}and no `repeat`, `expand` or a seed for each."
            if any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)):
                message = f"{told} of `{name}` are one memory, and have the same random values."
                own = f"Give each memory of its own first: `{target} = nn.Parameter({target}.detach().clone())`. "
                repair = f'{own}{anew}and no `expand` or `vmap` with `randomness="same"`.'
            found.append(finding("ZI206", path, [name], message, repair))
    return found


def _is_of_members(name: str, random: dict[str, Tensor]) -> bool:
    """Whether one bias is there for each member of a layer, and the members differ by another parameter."""
    path, _, attribute = name.rpartition(".")
    rows, beside = random[name], [each for key, each in random.items() if key.rpartition(".")[0] == path]
    if not BIAS.search(attribute) or max(rows.shape[1:]) < rows[0].numel() or bool((rows != rows[:1]).any()):
        return False
    return any(each.dim() > 1 and len(each) == len(rows) and not _repeated(each) for each in beside)


def _repeated(tensor: Tensor) -> str:
    """Say which parts of a tensor are equal: slices of a stack, or blocks of rows or of columns of a matrix."""
    if tensor.dim() > 2:
        names = {f"{at}": part for at, part in enumerate(tensor) if _varies(part)}
        groups = _equal(names) if len(names) <= 512 else []
        return f"{sum(map(len, groups))} of {len(tensor)} slices" if groups else ""
    for axis, word in ((0, "rows"), (1, "columns")):
        length, line = tensor.shape[axis], tensor.select(1 - axis, 0)
        for parts in range(min(length, 64), 1, -1):
            size = length // parts
            if length % parts or not torch.equal(line[:size], line[size : 2 * size]):
                continue
            blocks = tensor.chunk(parts, axis)
            if _varies(blocks[0]) and all(torch.equal(blocks[0], each) for each in blocks[1:]):
                return f"{parts} blocks of {word}"
    return ""
