"""Norms that act as the affine map γx + β during the first updates."""

import warnings
from collections.abc import Collection, Sequence

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from zeroinit._common import InputError
from zeroinit._modules.norms import canceling_kind
from zeroinit._modules.state import is_recomputing
from zeroinit.remedies.remedy import Remedy, RemedyWarning

__all__ = ["AffineNorms"]


class AffineNorms(Remedy):
    """Lets the norms of a model act as affine maps during its first updates.

    With this remedy a norm uses its running statistics (mean 0 and variance 1 in a new model). The norm is then γx + β
    (up to its eps), and signals pass in both directions. Running statistics do not change meanwhile.

    Without the remedy, zero weights make every channel constant, and a norm over batch and positions maps a constant
    channel to β. The norm's backward pass removes the mean over batch and positions. So a convolution before the norm
    gets only rounding as its gradient if its input is constant, even if β is random.

    The remedy acts on batch norms, instance norms and group norms with one channel per group. Norms in eval mode stay
    as they are. If such a norm keeps no running statistics, you get an ``InputError``.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: This remedy takes none.
        generator: Not used: nothing is drawn.
        exclude: Paths of norms that stay as they are.

    Source:
        Ioffe and Szegedy 2015, "Batch normalization", algorithm 2 (a norm with fixed statistics).

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with AffineNorms(model, steps=10) as remedy:
        ...     model(torch.randn(4, 1, 5, 5)).sum().backward()
        ...     optimizer.step()
        ...     remedy.remaining
        9
        >>> model[1].num_batches_tracked.item(), model[1].training
        (0, True)
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        *,
        strength: float | None = None,
        generator: torch.Generator | None = None,
        exclude: str | Collection[str] = (),
    ):
        self._exclude = {exclude} if isinstance(exclude, str) else set(exclude or ())
        super().__init__(model, steps, strength=strength, generator=generator)

    def _set_up(self) -> None:
        modules = [(path, each) for path, each in self._model.named_modules() if path not in self._exclude]
        self._norms = {each: path for path, each in modules if _has_statistics(path, each)}
        self._switched: list[nn.Module] = []
        self._is_told = False

    def _is_needed(self) -> bool:
        return bool(self._norms)

    def _hook_in(self) -> Sequence[RemovableHandle]:
        before = [norm.register_forward_pre_hook(self._enter) for norm in self._norms]
        after = [norm.register_forward_hook(self._exit, prepend=True, always_call=True) for norm in self._norms]
        return [*before, *after]

    def _enter(self, norm: nn.Module, args: tuple) -> None:
        if not (self._is_on() and norm.training):
            return
        if not is_recomputing():
            self._met.add(norm)
        elif norm not in self._met:
            self._tell(norm)
            return
        norm.training = False
        self._switched.append(norm)

    def _exit(self, norm: nn.Module, args: tuple, output: object) -> None:
        if norm in self._switched:
            self._switched.remove(norm)
            norm.training = True

    def _leave(self) -> None:
        for norm in self._switched:
            norm.training = True
        self._switched = []

    def _tell(self, norm: nn.Module) -> None:
        """Warn once that the first call of a norm looked like an evaluation."""
        if not self._is_told:
            self._is_told = True
            warnings.warn(
                f"affine_norms has no effect on {self._norms[norm] or 'the model'!r}: activation checkpointing first "
                "calls this norm without gradients and outside the model's forward; pass use_reentrant=False to "
                "torch.utils.checkpoint, or call torch.utils.checkpoint in the model's forward",
                RemedyWarning,
                stacklevel=2,
            )


def _has_statistics(path: str, module: nn.Module) -> bool:
    """Tell whether a module is a norm that cancels constant channels; raise where it cannot act as an affine map."""
    if canceling_kind(module) is None:
        return False
    if getattr(module, "running_mean", None) is None:
        way_out = "use a batch norm" if isinstance(module, nn.GroupNorm) else "build it with track_running_stats=True"
        raise InputError(
            f"model: {path or 'itself'} ({type(module).__name__}) cannot act as an affine map: the norm keeps no "
            f"running statistics; {way_out}, or pass exclude={path!r}"
        )
    return True
