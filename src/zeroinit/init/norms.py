"""Norms that cancel a constant channel, and what is done with each.

With zero weights and random biases, every channel of a convolution is constant over batch and positions. Every unit of
a dense layer is constant over the batch. A norm over these axes maps a constant channel to beta, whatever the bias was.

Source: Ioffe and Szegedy 2015, "Batch normalization", algorithm 1 (beta); Schicho 2023, section 4 (a CNN with norms).
"""

from collections.abc import Collection, Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from zeroinit.init.probe import ConstantChannels
from zeroinit.init.record import NormRecord

__all__ = ["find_norms", "judge_norms", "kind_of"]


def kind_of(module: nn.Module) -> str | None:
    """Name the kind of a norm that maps a constant channel to its beta; ``None`` for every other module.

    Layer norm and group norm over several channels do not: their channels still differ by their biases.

    Args:
        module: Any module.

    Example:
        >>> [kind_of(norm) for norm in (nn.BatchNorm2d(4), nn.GroupNorm(4, 4), nn.GroupNorm(2, 4), nn.LayerNorm(4))]
        ['batch norm', 'group norm with one channel per group', None, None]
    """
    if isinstance(module, _BatchNorm):
        return "batch norm"
    if isinstance(module, _InstanceNorm):
        return "instance norm"
    if isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels:
        return "group norm with one channel per group"
    return None


def find_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Return the norms that cancel constant channels, by path.

    Example:
        >>> list(find_norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(1, 4))))
        ['1']
    """
    return {path: module for path, module in model.named_modules() if kind_of(module)}


def judge_norms(
    norms: Mapping[str, nn.Module],
    chosen: Collection[str],
    seen: Mapping[str, ConstantChannels] | None,
    kept: Mapping[str, str] | None = None,
) -> tuple[tuple[NormRecord, ...], list[str]]:
    """Decide for each norm whether its beta is drawn.

    Args:
        norms: All norms that cancel constant channels, by path.
        chosen: Paths of norms that are not excluded.
        seen: What a probe saw, by path; without a probe, every norm counts as having constant channels.
        kept: Why the beta of a norm stays as it is (frozen, shared), by path.

    Returns:
        A record for each norm, and the paths of norms that cancel channels and have no beta to draw.

    Example:
        >>> norms = {"1": nn.BatchNorm2d(4), "3": nn.InstanceNorm2d(4)}
        >>> records, without_beta = judge_norms(norms, ["1", "3"], None)
        >>> [(record.path, record.changed) for record in records], without_beta
        ([('1', True), ('3', False)], ['3'])
    """
    records, without_beta = [], []
    for path, norm in norms.items():
        cancels, reason = _judge(path, chosen, seen)
        has_beta = norm._parameters.get("bias") is not None
        if cancels and not has_beta:
            without_beta.append(path)
            reason += ", and it has no beta to draw"
        is_kept = has_beta and path in (kept or {})
        if cancels and is_kept:
            reason += f", but its beta is {(kept or {})[path]}"
        changed = cancels and has_beta and not is_kept
        records.append(NormRecord(path, type(norm).__name__, f"{kind_of(norm)}: {reason}", changed))
    return tuple(records), without_beta


def _judge(path: str, chosen: Collection[str], seen: Mapping[str, ConstantChannels] | None) -> tuple[bool, str]:
    if path not in chosen:
        return False, "excluded"
    if seen is None:
        return True, "maps a constant channel to its beta"
    return seen[path].any(), str(seen[path])
