"""Warn if a model trains and its zero start does not act: its weights are zero, and nothing helps them."""

import warnings
import weakref
from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from zeroinit.remedies import RemedyWarning

__all__ = ["Unused"]

TEXT = (
    "zero start: weights are zero and nothing helps them leave zero: the return value of zero_start_ was not used; "
    "train inside `with zeroinit.zero_start_(model) as start:`, or pass observers=[start] to fit"
)


class Unused:
    """Warns once, until ``end`` is called: at an optimizer's step, or when the owner or the program ends.

    Args:
        owner: The object that nobody has used so far.
        model: The model with zero weights.
    """

    def __init__(self, owner: object, model: nn.Module):
        tell = _Once()
        handle = register_optimizer_step_pre_hook(_hook(weakref.ref(model), tell))
        self._tell = tell
        self._finalizer = weakref.finalize(owner, _finish, tell, handle)

    def end(self) -> None:
        """Warn no more; the owner is used."""
        self._tell.is_silent = True
        self._finalizer()


class _Once:
    def __init__(self) -> None:
        self.is_silent = False

    def __call__(self) -> None:
        if not self.is_silent:
            self.is_silent = True
            warnings.warn(TEXT, RemedyWarning, stacklevel=2)


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
