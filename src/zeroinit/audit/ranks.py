"""What one rank cannot see: shards that are equal, replicas that differ."""

import re
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import few
from zeroinit.audit.building import Observed
from zeroinit.audit.copies import drawn, equal_groups
from zeroinit.audit.scale import declared_sizes
from zeroinit.audit.trace import plain

__all__ = ["compared_ranks", "whole_shapes"]

MARKS = re.compile(r"shard|partition|parallel|is_distributed|tp_|expert_data|split_axis", re.IGNORECASE)
"""Attributes of a parameter that mark it as a shard."""
LOCAL_EXPERTS = re.compile(r"(^|_)ep(_|$)|expert_parallel|local_experts|experts_per_rank|ep_size|ep_rank")
"""Attributes of a module whose experts are distributed over ranks."""
NAMES = re.compile(
    r"shard|(row|col|column|vocab|tensor|expert)_?parallel|_tp(_|$|\.)|(^|[._])tp(_|$|\.)|local_expert|partition",
    re.IGNORECASE,
)


def whole_shapes(whole: Observed, rank: Observed, world: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter of a rank that is a shard, as the whole model or the module tells."""
    shapes = {name: tuple(each.shape) for name, each in whole.parameters.items()}
    found = {}
    shared_out = _shared_out(whole, rank, world)
    for name, parameter in rank.parameters.items():
        local = tuple(plain(parameter).shape)
        full = shapes.get(name, local)
        if full == local or len(full) != len(local):
            full = tuple(parameter.shape)
        if full == local and len(local) > 0:
            full = declared_sizes(rank, name, local, world) or local
        if full != local or name.startswith(shared_out) or _is_marked(rank, name, parameter):
            found[name] = full
    return found


def _shared_out(whole: Observed, rank: Observed, world: int) -> tuple[str, ...]:
    """Return the paths of lists of modules whose entries are distributed over ranks, as experts."""
    paths = []
    for path, module in rank.model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.ParameterList) or not len(module):
            continue
        parent = vars(rank.model.get_submodule(path.rpartition(".")[0]))
        sizes = {value for key, value in parent.items() if type(value) is int and "expert" in key}
        with suppress(AttributeError, TypeError):
            sizes.add(len(whole.model.get_submodule(path)))  # type: ignore[arg-type]  # a list, as here
        if world > 1 and any(size > len(module) and size % len(module) == 0 for size in sizes):
            paths.append(f"{path}.")
    return tuple(paths)


def _is_marked(rank: Observed, name: str, parameter: Tensor) -> bool:
    """Whether a parameter, its module or its name says that it is a shard."""
    marks = {key: value for key, value in vars(parameter).items() if MARKS.search(key)}
    if marks:
        return any(value not in (False, None, -1) for value in marks.values())
    if any(each.is_shard() for each in getattr(parameter, "placements", ())):
        return True
    if "expert" in name and _holds_some_experts(rank, name):
        return True
    owner = rank.owner(name)
    if name.endswith("bias") and re.search("row", type(owner).__name__, re.IGNORECASE):
        return False
    kinds = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(owner).__name__)
    return NAMES.search(kinds) is not None or NAMES.search(name) is not None


def _holds_some_experts(rank: Observed, name: str) -> bool:
    """Whether a module above says that each rank has experts of its own."""
    parts = name.split(".")
    above = [rank.model.get_submodule(".".join(parts[:at])) for at in range(len(parts))]
    return any(LOCAL_EXPERTS.search(key) and type(value) is int for each in above for key, value in vars(each).items())


def compared_ranks(ranks: Sequence[Observed], full: dict[str, tuple[int, ...]]) -> list[Finding]:
    """Return findings for random values that are equal on ranks that hold different shards, and for differing replicas.

    Args:
        ranks: A model for each rank.
        full: The full shape of each shard, by name.
    """
    found: list[Finding] = []
    random = [drawn(each) for each in ranks]
    equal, differing = [], []
    for name in dict.fromkeys(name for each in ranks for name in each.parameters):
        tensors = [plain(each.parameters[name].detach()) for each in ranks if name in each.parameters]
        if (
            any(isinstance(each, nn.parameter.UninitializedParameter) or each.is_meta for each in tensors)
            or len(tensors) < 2
        ):
            continue
        if name in full or len({each.shape for each in tensors}) > 1:
            num_shards = _num_shards(full.get(name), tensors)
            if name in random[0] and _has_equal_shards(tensors, num_shards):
                equal.append(name)
            elif not _has_equal_replicas(tensors, num_shards):
                differing.append(name)
        elif any(not _is_equal(tensors[0], each) for each in tensors[1:]):
            differing.append(name)
    equal += _equal_elsewhere(random)
    if equal:
        message = f"{few(equal)}: several ranks hold the same random values, and each should hold a shard of its own."
        repair = (
            "Give each rank a generator of its own: `torch.Generator().manual_seed(seed + rank)`, for sharded values."
        )
        found.append(finding("ZI207", equal[0].rpartition(".")[0], equal, message, repair))
    if differing:
        message = f"{few(differing)}: ranks start with different values, and all should hold the same."
        repair = "Seed all ranks equally before replicated values are drawn, or broadcast them from rank 0."
        found.append(finding("ZI208", differing[0].rpartition(".")[0], differing, message, repair))
    return found


def _equal_elsewhere(random: Sequence[dict[str, Tensor]]) -> list[str]:
    """Return names on some ranks alone, as layers of one stage of a pipeline, whose values other ranks have, too."""
    everywhere = set.intersection(*(set(each) for each in random))
    alone = {
        f"{at}/{name}": tensor
        for at, tensors in enumerate(random)
        for name, tensor in tensors.items()
        if name not in everywhere
    }
    groups = [[name.partition("/") for name in group] for group in equal_groups(alone)]
    groups = [group for group in groups if len({rank for rank, _, _ in group}) > 1 and len({n for *_, n in group}) > 1]
    return sorted({name for group in groups for *_, name in group})


def _num_shards(full: tuple[int, ...] | None, tensors: list[Tensor]) -> int:
    """Return into how many shards a parameter is cut; there may be several ranks for each."""
    local = tuple(tensors[0].shape)
    if full is None or full == local:
        return len(tensors)
    cuts = [whole // part for whole, part in zip(full, local, strict=True) if part and whole != part]
    return max(cuts[0], 2) if cuts else len(tensors)


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
