"""Warn if a model trains, and what should act meanwhile was made and not used."""

import warnings
import weakref
from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

__all__ = ["Unused"]


class Unused:
    """Warns once, until ``end`` is called: at an optimizer's step, or when the owner or the program ends.

    Args:
        owner: The object that nobody has used so far.
        model: The model on which it should act.
        warning: What to warn of.
    """

    def __init__(self, owner: object, model: nn.Module, warning: Warning):
        tell = _Once(warning)
        handle = register_optimizer_step_pre_hook(_hook(weakref.ref(model), tell))
        self._tell = tell
        self._finalizer = weakref.finalize(owner, _finish, tell, handle)

    def end(self) -> None:
        """Warn no more; the owner is used."""
        self._tell.is_silent = True
        self._finalizer()


class _Once:
    def __init__(self, warning: Warning):
        self._warning = warning
        self.is_silent = False

    def __call__(self) -> None:
        if not self.is_silent:
            self.is_silent = True
            warnings.warn(self._warning, stacklevel=2)


def _hook(reference: "weakref.ref[nn.Module]", tell: _Once) -> Callable:
    def hook(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        model = reference()
        if model is not None and not tell.is_silent:
            own = set(model.parameters())
            if any(each in own for group in optimizer.param_groups for each in group["params"]):
                tell()

    def concerns(model: nn.Module) -> bool:
        return reference() is model and not tell.is_silent

    hook.concerns = concerns  # type: ignore[attr-defined]  # what records updates asks every hook that can answer
    return hook


def _finish(tell: _Once, handle) -> None:
    handle.remove()
    tell()
