"""Copies of a model come without the hooks of remedies: ``copy.deepcopy``, ``torch.save`` and pickling leave them out.

A remedy acts on the one model that it was made for. A best model, a moving average or a checkpoint is a plain model.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

__all__ = ["CleanCopies", "drop_hooks_of_copies"]

GETSTATE = "__getstate__"
MARK = "_is_copy"
"""Attribute that marks hooks copied together with a model by mistake."""


class CleanCopies:
    """Makes copies of a model leave out hooks, until ``end``; several objects may overlap.

    Copying and pickling ask an object for ``__getstate__``. Each module with one of the hooks gets such an attribute.

    Args:
        model: The model. Hooks on its modules are found by their handles.
        on_copy: Called when the whole model is copied or pickled.

    Example:
        >>> import copy
        >>> model = nn.Linear(1, 1)
        >>> clean = CleanCopies(model, on_copy=lambda: None)
        >>> clean.leave_out([model.register_forward_hook(lambda *_: None)])
        >>> len(model._forward_hooks), len(copy.deepcopy(model)._forward_hooks)
        (1, 0)
    """

    def __init__(self, model: nn.Module, on_copy: Callable[[], None]):
        self._model = model
        self._on_copy = on_copy
        self._states: list[_State] = []

    def leave_out(self, handles: Iterable[RemovableHandle]) -> None:
        """Leave out hooks in copies that are made from now on."""
        ids = {handle.id for handle in handles}
        for module in self._model.modules():
            own = ids & {key for hooks in _hooks_of(module.__dict__).values() for key in hooks}
            if own:
                state = module.__dict__.get(GETSTATE)
                if not isinstance(state, _State):
                    state = module.__dict__[GETSTATE] = _State(module)
                state.left_out |= own
                state.owners[self] = self._on_copy if module is self._model else None
                self._states.append(state)

    def end(self) -> None:
        """Let modules be copied as before."""
        for state in self._states:
            state.owners.pop(self, None)
            if not state.owners:
                state.end()
        self._states = []


def drop_hooks_of_copies(model: nn.Module) -> None:
    """Remove hooks of remedies from a copy that has them, because some module's class copies hooks in its own way.

    Args:
        model: The copy. Hooks of remedies that act on it stay.
    """
    for module in model.modules():
        tables = _hooks_of(module.__dict__).values()
        ours = [
            key
            for hooks in tables
            for key, hook in hooks.items()
            if getattr(getattr(hook, "__self__", None), MARK, False)
        ]
        for hooks in tables:
            for key in ours:
                hooks.pop(key, None)


class _State:
    """A module's state for copying and pickling: everything except some hooks and this object."""

    def __init__(self, module: nn.Module):
        self._module = weakref.ref(module)
        self.left_out: set[int] = set()
        self.owners: dict[CleanCopies, Callable[[], None] | None] = {}

    def __call__(self) -> Any:
        module = self._module()
        assert module is not None
        for on_copy in self.owners.values():
            if on_copy is not None:
                on_copy()
        usual = getattr(type(module), GETSTATE, None)
        state = dict(module.__dict__) if usual is None else usual(module)
        if not isinstance(state, dict):
            return state
        clean = {
            name: type(hooks)((key, hook) for key, hook in hooks.items() if key not in self.left_out)
            for name, hooks in _hooks_of(state).items()
        }
        return {name: value for name, value in (state | clean).items() if value is not self}

    def end(self) -> None:
        module = self._module()
        if module is not None and module.__dict__.get(GETSTATE) is self:
            del module.__dict__[GETSTATE]


def _hooks_of(attributes: dict[str, Any]) -> dict[str, dict]:
    return {name: value for name, value in attributes.items() if "_hooks" in name and isinstance(value, dict)}
