"""Run compiled functions uncompiled while remedies act, because ``torch.compile`` ignores hooks added later."""

from typing import Any

import torch

__all__ = ["Eager"]


class Eager:
    """Makes compiled functions of this process run uncompiled until ``end``; several objects may overlap.

    A function called for the first time meanwhile is compiled after ``end``, without hooks.
    """

    _num_active = 0
    _held: Any = None

    def __init__(self) -> None:
        self._is_active = True
        if not Eager._num_active:
            Eager._held = torch.compiler.set_stance("force_eager")
        Eager._num_active += 1

    def end(self) -> None:
        """Let compiled functions run compiled again, unless another ``Eager`` is active; may be called twice."""
        if not self._is_active:
            return
        self._is_active = False
        Eager._num_active -= 1
        if not Eager._num_active and Eager._held is not None:
            Eager._held.__exit__(None, None, None)
            Eager._held = None
