"""Decide for each norm that cancels constant channels whether its β is drawn."""

from collections.abc import Collection, Mapping

from torch import nn

from zeroinit._modules.norms import canceling_kind
from zeroinit.init.probe import ConstantChannels
from zeroinit.init.record import NormRecord

__all__ = ["judge_norms"]


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
        seen: The result of a probe, by path. Without a probe, every norm counts as having constant channels.
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
        records.append(NormRecord(path, type(norm).__name__, f"{canceling_kind(norm)}: {reason}", changed))
    return tuple(records), without_beta


def _judge(path: str, chosen: Collection[str], seen: Mapping[str, ConstantChannels] | None) -> tuple[bool, str]:
    if path not in chosen:
        return False, "excluded"
    if seen is None:
        return True, "maps a constant channel to its beta"
    return seen[path].any(), str(seen[path])
