"""Before the first update of a zero start: is anybody using the zero start, and are its weights still zero?"""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from zeroinit.zero_start.start import ZeroStart

__all__ = ["FirstStep", "changed_text"]


class FirstStep:
    """Calls a zero start once before its first training pass, and before the first step of an optimizer.

    It holds no reference to the zero start, and copies of the model hold no reference to it.

    Args:
        start: The zero start that is called.
        weights: The weights that were set to zero.
    """

    def __init__(self, start: "ZeroStart | None" = None, weights: dict[str, nn.Parameter] | None = None):
        self._start = (lambda: None) if start is None else weakref.ref(start)
        self._own = {id(weight) for weight in (weights or {}).values()}
        self._on_model: RemovableHandle | None = None
        self._end: Callable[[], object] = lambda: None
        if start is not None:
            handle = register_optimizer_step_pre_hook(_OnStep(weakref.ref(self)))
            self._end = weakref.finalize(self, handle.remove)

    def __reduce__(self) -> tuple:
        return FirstStep, ()

    def watch(self, model: nn.Module) -> None:
        """Wait for the first training pass of a model."""
        if self._on_model is None:
            self._on_model = model.register_forward_pre_hook(self)

    def stop(self) -> None:
        """Wait no longer for a pass, nor for a step if the zero start was called."""
        if self._on_model is not None:
            self._on_model.remove()
        self._on_model = None
        if not self._own:
            self._end()

    def __call__(self, model: nn.Module, inputs: tuple) -> None:
        """A pass of the model begins."""
        if model.training and torch.is_grad_enabled():
            self.tell()
            self.stop()
            for key in [key for key, hook in model._forward_pre_hooks.items() if hook is self]:  # of a copy
                del model._forward_pre_hooks[key]

    def holds(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer has one of the weights."""
        own = self._own
        return bool(own) and any(id(each) in own for group in optimizer.param_groups for each in group["params"])

    def tell(self) -> None:
        """Call the zero start, if it still exists."""
        self._own = set()
        if (start := self._start()) is not None:
            start.look_before_first_step()


class _OnStep:
    """The hook on the steps of all optimizers."""

    def __init__(self, reference: "weakref.ref[FirstStep]"):
        self._reference = reference

    def __call__(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        watch = self._reference()
        if watch is not None and watch.holds(optimizer):
            watch.tell()

    def concerns(self, model: nn.Module) -> bool:
        """Whether updates of a model must call it; a recorded update need not."""
        return False


def changed_text(names: list[str], is_all: bool) -> str:
    """Say what a zero start does about weights that somebody changed after ``zero_start_``, and what to do."""
    if is_all:
        return (
            "zero start: does nothing, because all its weights were changed after zero_start_, as by load_state_dict; "
            "to continue a trained model, leave zero_start_ out; to continue a zero start, also load start.state_dict()"
        )
    shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"zero start: leaves {len(names)} weights as they are, because they were changed after zero_start_: {shown}; "
        "load or draw weights first, and then call zero_start_ with exclude= for their layers"
    )
