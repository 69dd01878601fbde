"""Norms, and which of them cancel a constant channel.

With zero weights and random biases, every channel of a convolution is constant over batch and positions. Every unit of
a dense layer is constant over the batch. A norm over these axes maps a constant channel to its β, whatever the bias
was.

Source: Ioffe and Szegedy 2015, "Batch normalization", algorithm 1 (β); Schicho 2023, section 4 (a CNN with norms).
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

__all__ = ["NORMS", "canceling_kind", "find_canceling_norms"]

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
"""Norms of torch; γ is their ``weight``, β their ``bias``, where they have one."""


def canceling_kind(module: nn.Module) -> str | None:
    """Name the kind of a norm that maps a constant channel to its β; ``None`` for every other module.

    Layer norm and group norm over several channels do not: their channels still differ by their biases.

    Example:
        >>> norms = (nn.BatchNorm2d(4), nn.GroupNorm(4, 4), nn.GroupNorm(2, 4), nn.LayerNorm(4))
        >>> [canceling_kind(norm) for norm in norms]
        ['batch norm', 'group norm with one channel per group', None, None]
    """
    if isinstance(module, _BatchNorm):
        return "batch norm"
    if isinstance(module, _InstanceNorm):
        return "instance norm"
    if isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels:
        return "group norm with one channel per group"
    return None


def find_canceling_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Return the norms that cancel constant channels, by path.

    Example:
        >>> list(find_canceling_norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(1, 4))))
        ['1']
    """
    return {path: module for path, module in model.named_modules() if canceling_kind(module)}
