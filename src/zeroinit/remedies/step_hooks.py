"""Hooks on the steps of all optimizers, which tell who counts updates what happens to a model."""

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from zeroinit.remedies.compiled import Eager

__all__ = ["StepHooks", "notifying"]


@runtime_checkable
class Counter(Protocol):
    """Counts the updates of a model for its parts."""

    model: nn.Module

    @property
    def parts(self) -> Sequence[object]:
        """Who follows the updates."""

    def before_step(self, optimizer: Optimizer, closure: Callable | None) -> Callable | None:
        """An optimizer is about to make its step; return the closure to call."""

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has made its step."""


class StepHooks:
    """The hooks on the steps of all optimizers; they hold only a weak reference to the model.

    Args:
        updates: Who is notified.
        is_eager: While these hooks exist, compiled functions run uncompiled, so that hooks on modules are called.
    """

    def __init__(self, updates: Counter, is_eager: bool = True):
        reference = weakref.ref(updates)
        self._eager = Eager() if is_eager else None
        self._handles = [
            register_optimizer_step_pre_hook(_before(reference)),
            register_optimizer_step_post_hook(_after(reference)),
        ]
        self._finalizer = weakref.finalize(updates, _end, self._handles, self._eager)

    def fade(self) -> None:
        """Remove the hooks that can be removed while torch runs the hooks before a step."""
        self._handles[1].remove()
        if self._eager is not None:
            self._eager.end()

    def end(self) -> None:
        """Remove the hooks; may be called more than once."""
        self._finalizer()


def _before(reference: "weakref.ref[Counter]") -> Callable:
    def hook(optimizer: Optimizer, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        updates = reference()
        if updates is None:
            return None
        given = args[1] if len(args) > 1 else kwargs.get("closure")
        closure = given if callable(given) else None
        changed = updates.before_step(optimizer, closure)
        if changed is closure:
            return None
        return ((args[0], changed, *args[2:]), kwargs) if len(args) > 1 else (args, kwargs | {"closure": changed})

    return _marked(hook, reference)


def _after(reference: "weakref.ref[Counter]") -> Callable:
    def hook(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        updates = reference()
        if updates is not None:
            updates.after_step(optimizer)

    return _marked(hook, reference)


def _marked(hook: Callable, reference: "weakref.ref[Counter]") -> Callable:
    """Let what records updates ask a hook whom it concerns, and a compiled ``optimizer.step`` call it uncompiled."""
    hook = torch.compiler.disable(hook)
    hook.concerns = partial(_concerns, reference)  # type: ignore[attr-defined]
    return hook


def _concerns(reference: "weakref.ref[Counter]", model: nn.Module) -> bool:
    updates = reference()
    return updates is not None and updates.model is model and bool(updates.parts)


def notifying(closure: Callable, notify: Callable[[], object]) -> Callable:
    """Return a closure that notifies somebody after each of its calls.

    Example:
        >>> notifying(lambda: "loss", lambda: print("gradients are ready"))()
        gradients are ready
        'loss'
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = closure(*args, **kwargs)
        notify()
        return result

    return wrapped


def _end(handles: list[RemovableHandle], eager: Eager | None) -> None:
    for handle in handles:
        handle.remove()
    if eager is not None:
        eager.end()
