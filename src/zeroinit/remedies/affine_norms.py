"""Norms that act as the affine map gamma * x + beta during the first steps."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from zeroinit._common import InputError
from zeroinit.remedies.remedy import Remedy, no_strength

__all__ = ["AffineNorms", "affine_norms"]


class AffineNorms(Remedy):
    """Puts norms into eval mode for the first training passes of a model; see ``affine_norms``."""

    def __init__(self, model: nn.Module, steps: int):
        super().__init__(model, steps)
        self._norms = [module for path, module in model.named_modules() if _has_statistics(path, module)]
        self._switched: list[nn.Module] = []

    def _is_needed(self) -> bool:
        return bool(self._norms)

    def _begin(self) -> None:
        self._switched = [norm for norm in self._norms if norm.training]
        for norm in self._switched:
            norm.training = False

    def _leave(self) -> None:
        for norm in self._switched:
            norm.training = True
        self._switched = []


def affine_norms(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> AffineNorms:
    """Let the norms of ``model`` act as affine maps during its first ``steps`` training passes.

    After zero weights every channel is constant, and a norm over batch and positions maps it to its beta. Even where
    beta is random, its backward pass removes the mean over batch and positions, so that a convolution before it with
    a constant input gets a gradient by rounding only. With the running statistics as they are (mean 0 and variance 1
    in a fresh model) a norm is gamma * x + beta (up to its eps): signals pass in both directions.

    Batch norms, instance norms and group norms with one channel per group count; norms in eval mode stay as they are.
    A pass counts if the model is in train mode, gradients are enabled and the pass succeeds. Running statistics do not
    move meanwhile. After the last such pass, and on leaving, all hooks are gone. A copy of the model made meanwhile
    gets what remains on its own, and takes its own hooks off after its last such pass.

    Args:
        model: The model that is called in training: passes are counted on it, not on its parts.
        steps: The number of training passes, at least 0; with 0 nothing is attached.
        strength: It has none.
        generator: Not used: nothing is drawn.

    Returns:
        A context manager, which is also an observer of ``fit``. As an observer it stays attached where ``fit`` raises
        an error; a ``with`` statement around ``fit`` detaches then, too.

    Raises:
        InputError: ``steps`` is not a whole number of at least 0, or a norm keeps no running statistics. Nothing is
            attached then.

    Source:
        Ioffe and Szegedy 2015, "Batch normalization", algorithm 2 (a norm with fixed statistics).

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        >>> with affine_norms(model, steps=10) as remedy:
        ...     output = model(torch.randn(4, 1, 5, 5))
        ...     remedy.remaining
        9
        >>> model[1].num_batches_tracked.item(), model[1].training
        (0, True)
    """
    no_strength("affine_norms", strength)
    return AffineNorms(model, steps)


def _has_statistics(path: str, module: nn.Module) -> bool:
    """Tell whether a module is a norm that cancels constant channels; raise where it cannot act as an affine map."""
    one_each = isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels
    if not (one_each or isinstance(module, _BatchNorm | _InstanceNorm)):
        return False
    if getattr(module, "running_mean", None) is None:
        way_out = "use a batch norm" if one_each else "build it with track_running_stats=True"
        raise InputError(
            f"model: {path or 'itself'} ({type(module).__name__}) keeps no running statistics, without which it cannot "
            f"act as an affine map; {way_out}"
        )
    return True
