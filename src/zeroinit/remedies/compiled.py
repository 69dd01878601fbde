"""What ``torch.compile`` compiled does not see hooks that come and go; while remedies act it runs as it was written."""

from typing import Any

import torch
from torch import nn

__all__ = ["Eager", "unwrapped"]


class Eager:
    """From its making to its end compiled functions of this process run uncompiled; several may overlap.

    A function that is called for the first time meanwhile is compiled after the end, without hooks.
    """

    _num_active = 0
    _held: Any = None

    def __init__(self) -> None:
        self._is_active = True
        if not Eager._num_active:
            Eager._held = torch.compiler.set_stance("force_eager")
        Eager._num_active += 1

    def end(self) -> None:
        """Let compiled functions run as compiled again, unless another one is active; may be called twice."""
        if not self._is_active:
            return
        self._is_active = False
        Eager._num_active -= 1
        if not Eager._num_active and Eager._held is not None:
            Eager._held.__exit__(None, None, None)
            Eager._held = None


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside what ``torch.compile`` returned, and any other as it is.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> unwrapped(torch.compile(model, backend="eager")) is model, unwrapped(model) is model
        (True, True)
    """
    inner = model._modules.get("_orig_mod")
    return inner if isinstance(inner, nn.Module) and type(model).__name__ == "OptimizedModule" else model
