"""Steps that a ``GradScaler`` skips: it does not call the optimizer then, so no hook of an optimizer tells of them."""

import functools
import weakref
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from zeroinit._modules.state import plain_name
from zeroinit.integrations.tensors import not_finite

__all__ = ["Skipped", "Steps", "follow", "leave"]

FEW = 5
"""Fewer skipped steps are healthy: a scaler tries a larger scale now and then."""
REPAIR = "lower the loss, the learning rate or the scale"


@dataclass
class Steps:
    """The steps of one optimizer.

    Attributes:
        num_done: Steps that were made.
        num_skipped: Steps that were skipped.
        num_late: Those of them after the first that was made: before it, the scale falls to where it should be.
        num_last: Those of them after the last that was made.
        names: Parameters that it holds.
        not_finite: Those whose gradients are NaN or infinite at the last that was skipped.
    """

    num_done: int = 0
    num_skipped: int = 0
    num_late: int = 0
    num_last: int = 0
    names: tuple[str, ...] = ()
    not_finite: tuple[str, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether no step was made, or more steps were skipped than a scale that is too large explains."""
        many = self.num_late >= FEW and (self.num_last >= FEW or 2 * self.num_late >= self.num_done)
        return bool(self.num_skipped) and (not self.num_done or many)

    def __str__(self) -> str:
        num = self.num_done + self.num_skipped
        which = ("its one step" if num == 1 else f"all {num} steps") if not self.num_done else ""
        return f"a GradScaler skipped {which or f'{self.num_skipped} of {num} steps'}; {REPAIR}"


class Skipped:
    """Counts the steps of each optimizer of a model, made and skipped.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2)
        >>> optimizer, steps = torch.optim.SGD(model.parameters()), Skipped()
        >>> steps.done(optimizer)
        >>> for _ in range(5):
        ...     steps.skip(optimizer, model)
        >>> print(*steps.faults)
        a GradScaler skipped 5 of 6 steps; lower the loss, the learning rate or the scale
    """

    def __init__(self) -> None:
        self._steps: dict[int, Steps] = {}

    @property
    def faults(self) -> list[Steps]:
        """The optimizers whose skipped steps are no matter of the scale alone."""
        return [each for each in self._steps.values() if each.is_fault]

    def done(self, optimizer: Any) -> None:
        """Count a step that was made."""
        steps = self._steps.setdefault(id(optimizer), Steps())
        steps.num_done += 1
        steps.num_last = 0

    def skip(self, optimizer: Any, model: nn.Module) -> None:
        """Count a step that was skipped, while the gradients are there."""
        own = {each for group in optimizer.param_groups for each in group["params"]}
        held = {plain_name(name): each.grad for name, each in model.named_parameters() if each in own}
        if not held:
            return
        steps = self._steps.setdefault(id(optimizer), Steps())
        steps.num_skipped += 1
        if steps.num_done:
            steps.num_late += 1
            steps.num_last += 1
        steps.names = tuple(held)
        found = not_finite({each: name for name, each in held.items() if each is not None})
        steps.not_finite = tuple(name for name in held if name in found or not found)


@runtime_checkable
class Asks(Protocol):
    """Who follows the scalers."""

    num_calls: int
    """Calls of ``step`` of optimizers, so far."""

    def skipped(self, optimizer: Optimizer) -> None:
        """A scaler was asked for a step of this optimizer, and has not called it."""


_FOLLOWERS: "weakref.WeakSet[Any]" = weakref.WeakSet()
_OWN: list[Any] = []
"""The method of ``GradScaler`` itself, while somebody follows."""


def follow(follower: Asks) -> None:
    """Notify somebody of steps that scalers skip, until ``leave``."""
    _FOLLOWERS.add(follower)
    if not _OWN:
        _OWN.append(GradScaler.step)
        GradScaler.step = _notifying(GradScaler.step)  # type: ignore[method-assign]


def leave(follower: Asks) -> None:
    """Notify somebody no longer; the last one gives ``GradScaler`` its method back. May be called more than once."""
    _FOLLOWERS.discard(follower)
    if not _FOLLOWERS and _OWN and getattr(GradScaler.step, "__wrapped__", None) is _OWN[0]:
        GradScaler.step = _OWN.pop()  # type: ignore[method-assign]


def _notifying(own: Any) -> Any:
    @functools.wraps(own)
    def step(scaler: GradScaler, optimizer: Optimizer, *arguments: Any, **named: Any) -> Any:
        before = [(each, each.num_calls) for each in _FOLLOWERS]
        result = own(scaler, optimizer, *arguments, **named)
        for each, num in before:
            if each.num_calls == num:
                each.skipped(optimizer)
        return result

    return step
