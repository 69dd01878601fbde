"""What one rank cannot see: shards that are equal, replicas that differ."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import few, joined
from zeroinit.audit.building import Observed
from zeroinit.audit.copies import drawn, equal_groups
from zeroinit.audit.trace import plain
from zeroinit.audit.written import is_of_spectral_norm

__all__ = ["compared_ranks"]


def compared_ranks(
    whole: Observed, ranks: Sequence[Observed], full: dict[str, tuple[int, ...]], told: Collection[str] = ()
) -> list[Finding]:
    """Return findings for values that are equal on ranks that hold different shards, and for differing replicas.

    Args:
        whole: The whole model.
        ranks: A model for each rank.
        full: The full shape of each shard, by name.
        told: Names that are left out: values that nobody wrote differ anyway.
    """
    found: list[Finding] = []
    random = [drawn(each) for each in ranks]
    equal: list[str] = []
    loaded: list[str] = []
    differing: list[str] = []
    first = _first_names(whole, ranks)
    held: dict[str, list[tuple[str, Tensor]]] = defaultdict(list)
    for each in ranks:
        for name, parameter in each.parameters.items():
            held[first.get(name, name)].append((name, plain(parameter.detach())))
    for members in held.values():
        name, tensors = members[0][0], [tensor for _, tensor in members]
        names = list(dict.fromkeys(each for each, _ in members))
        if (
            any(isinstance(each, nn.parameter.UninitializedParameter) or each.is_meta for each in tensors)
            or len(tensors) < 2
        ):
            continue
        if name in full or len({each.shape for each in tensors}) > 1:
            num_shards = _num_shards(full.get(name), tensors)
            if _has_equal_shards(tensors, num_shards) and (name in random[0] or _differ(whole, name, tensors[0])):
                (equal if name in random[0] else loaded).extend(names)
            elif not _has_equal_replicas(tensors, num_shards):
                differing += names
        elif any(not _is_equal(tensors[0], each) for each in tensors[1:]):
            differing += names
    elsewhere = _equal_elsewhere(random, first)
    differing = [name for name in (*differing, *_differing_buffers(ranks)) if name not in told]
    if equal:
        message = f"{few(equal)}: several ranks hold the same random values, and each should hold a shard of its own."
        repair = (
            "Give each rank a generator of its own: `torch.Generator().manual_seed(seed + rank)`, for sharded values."
        )
        found.append(finding("ZI207", equal[0].rpartition(".")[0], equal, message, repair))
    if loaded:
        message = f"{few(loaded)}: several ranks hold the same part of it, and each should hold a part of its own."
        part = "values[rank * size : (rank + 1) * size]"
        repair = f"Let each rank take its own part of the whole values, along the axis that is cut: `{part}`."
        found.append(finding("ZI207", loaded[0].rpartition(".")[0], loaded, message, repair))
    if elsewhere:
        message = f"{few(elsewhere)}: layers on different ranks hold the same random values."
        repair = "Seed each rank that has layers of its own anew: `torch.manual_seed(seed + rank)`."
        found.append(finding("ZI207", elsewhere[0].rpartition(".")[0], elsewhere, message, repair))
    if differing:
        message = f"{few(differing)}: ranks start with different values, and all should hold the same."
        tied = [name for name in differing if first.get(name, name) != name]
        message += f" The whole model ties {joined([f'`{first[name]}` and `{name}`' for name in tied])}." * bool(tied)
        repair = "Seed all ranks equally before replicated values are drawn, or broadcast them from rank 0."
        if all(len({_rule(each, name) for each in ranks if name in each.parameters}) > 1 for name in differing):
            repair = "Draw them by one rule on all ranks, whatever the rank is, or broadcast them from rank 0."
        found.append(finding("ZI208", differing[0].rpartition(".")[0], differing, message, repair))
    return found


def _first_names(whole: Observed, ranks: Sequence[Observed]) -> dict[str, str]:
    """Return the first name of each parameter that is tied in the whole model, where a rank holds one of its names."""
    groups = [names for names in whole.tied if all(len({*names} & {*each.parameters}) < 2 for each in ranks)]
    return {name: names[0] for names in groups for name in names}


def _rule(rank: Observed, name: str) -> tuple:
    """Return which numbers make the values that a parameter has on a rank: seeds are no part of them."""
    memory = rank.memory(rank.parameters[name])
    return tuple((each.kind, each.operation, each.value, each.std) for each in (memory.lasting() if memory else ()))


def _differing_buffers(ranks: Sequence[Observed]) -> list[str]:
    """Return the buffers that are drawn, and differ between ranks; the vectors of spectral norm are left out."""
    found = []
    for name, first in ranks[0].buffers.items():
        others = [each.buffers[name] for each in ranks[1:] if name in each.buffers]
        memory = ranks[0].memory(first)
        drawn_there = (
            memory is not None and memory.writes and memory.is_random() and not is_of_spectral_norm(ranks[0], name)
        )
        if drawn_there and not any(each.is_meta for each in (first, *others)):
            found += [name] if any(not _is_equal(plain(first), plain(each)) for each in others) else []
    return found


def _equal_elsewhere(random: Sequence[dict[str, Tensor]], first: dict[str, str]) -> list[str]:
    """Return names on some ranks alone, as layers of one stage of a pipeline, whose values other ranks have, too.

    Names of a parameter that is tied in the whole model count as one: ``first`` holds the first of them for each.
    """
    everywhere = set.intersection(*(set(each) for each in random))
    alone = {
        f"{at}/{name}": tensor
        for at, tensors in enumerate(random)
        for name, tensor in tensors.items()
        if name not in everywhere
    }
    groups = [[name.partition("/") for name in group] for group in equal_groups(alone)]
    groups = [
        group
        for group in groups
        if len({rank for rank, _, _ in group}) > 1 and len({first.get(name, name) for *_, name in group}) > 1
    ]
    return sorted({name for group in groups for *_, name in group})


def _num_shards(full: tuple[int, ...] | None, tensors: list[Tensor]) -> int:
    """Return into how many shards a parameter is cut; there may be several ranks for each."""
    local = tuple(tensors[0].shape)
    if full is None or full == local:
        return len(tensors)
    cuts = [whole // part for whole, part in zip(full, local, strict=True) if part and whole != part]
    return max(cuts[0], 2) if cuts else len(tensors)


def _differ(whole: Observed, name: str, local: Tensor) -> bool:
    """Whether the parts of a whole parameter differ that have the shape of a shard, which is no constant."""
    values = whole.parameters.get(name)
    tensor = local if values is None else plain(values.detach())
    cut = [axis for axis, size in enumerate(tensor.shape) if local.shape[axis : axis + 1] != (size,)]
    if len(cut) != 1 or tensor.dim() != local.dim() or tensor.is_meta or bool((local == local.flatten()[:1]).all()):
        return False
    parts = tensor.split(local.shape[cut[0]], cut[0])
    return any(not _is_equal(parts[0], each) for each in parts[1:])


def _has_equal_shards(tensors: list[Tensor], num_shards: int) -> bool:
    """Whether ranks agree that should not: replicas of one shard are every ``num_shards``-th rank, or neighbors."""
    count = len(tensors)
    copies = max(count // num_shards, 1)
    pairs = [(a, b) for a in range(count) for b in range(a) if _is_equal(tensors[a], tensors[b])]
    by_order = [
        [(a % num_shards) != (b % num_shards) for a, b in pairs],
        [(a // copies) != (b // copies) for a, b in pairs],
    ]
    return all(any(wrong) for wrong in by_order)


def _has_equal_replicas(tensors: list[Tensor], num_shards: int) -> bool:
    """Whether all ranks with one shard agree, in either order of ranks."""
    count = len(tensors)
    if num_shards >= count or count % num_shards or len({each.shape for each in tensors}) > 1:
        return True
    copies = count // num_shards
    orders = [[at % num_shards for at in range(count)], [at // copies for at in range(count)]]
    return any(all(_is_equal(tensors[at], tensors[order.index(order[at])]) for at in range(count)) for order in orders)


def _is_equal(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.is_floating_point():
        return torch.equal(torch.nan_to_num(first), torch.nan_to_num(second.to(first.device)))
    return torch.equal(first, second.to(first.device))
