"""What all remedies have in common: they count training passes, attach to a model and take themselves off again."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from zeroinit._common import InputError

__all__ = ["Remedy", "check_strength", "fresh_generator", "no_strength", "positive_strength"]

Kind = TypeVar("Kind", bound="Remedy")

DEFAULT_SEED = 0
"""Of the generator of a remedy that is made without one."""


class Remedy:
    """Acts on a model during its first training passes, through hooks; a context manager and an observer of ``fit``.

    A pass counts if the model is in train mode, gradients are enabled and the pass succeeds. What a remedy draws comes
    from its own generator, never from torch's global one. A copy of the model made meanwhile gets what remains on its
    own, and takes its own hooks off.

    A subclass overrides some of ``_is_needed``, ``_hook_in``, ``_begin``, ``_leave`` and ``_hook_after``.

    Args:
        model: The model that is called in training: passes are counted on it, not on its parts.
        steps: The number of training passes, at least 0; with 0 nothing is attached.
        generator: Where random numbers come from, if the remedy draws any.

    Attributes:
        steps: The number of training passes in all.
        remaining: Training passes still to come in which it acts.

    Raises:
        InputError: ``steps`` is not a whole number of at least 0.
    """

    def __init__(self, model: nn.Module, steps: int, generator: torch.Generator | None = None):
        if not isinstance(steps, int) or steps < 0:
            raise InputError(f"steps={steps!r}: must be a whole number of at least 0")
        self.steps = steps
        self.remaining = steps
        self._model = model
        self._generator = generator
        self._counting = False
        self._handles: list[RemovableHandle] = []
        self._late = _LateHooks()

    def attach(self) -> None:
        """Hook into the model, if that is not done already and passes remain."""
        if self.remaining and not self._handles and self._is_needed():
            self._handles = [
                self._model.register_forward_pre_hook(self._before),
                self._model.register_forward_hook(self._after, prepend=True, always_call=True),
                *self._hook_in(),
            ]

    def detach(self) -> None:
        """Take all hooks off; the model is as if the remedy had never been."""
        self._counting = False
        self._leave()
        self._late.remove()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self: Kind) -> Kind:
        self.attach()
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def on_start(self, moment) -> None:
        """Attach when ``fit`` starts.

        Raises:
            InputError: ``fit`` trains another model.
        """
        if moment.model is not self._model:
            raise InputError(
                "observers: holds a remedy that was made for another model; make it for the one that trains"
            )
        self.attach()

    def on_end(self, moment) -> None:
        """Detach when ``fit`` ends."""
        self.detach()

    def join(self, parts: Sequence["Remedy"]) -> None:
        """Be told of the remedies of the same ``Combination``, itself among them."""

    def shorten(self, numerator: int, denominator: int) -> None:
        """Multiply the number of passes by a fraction, if that makes it smaller; what has begun has a pass to come."""
        steps = -(-self.steps * numerator // denominator)
        if self.remaining and steps < self.steps:
            self.remaining = max(1, steps - (self.steps - self.remaining))
            self.steps = steps

    def state_dict(self) -> dict:
        """Return what remains and the state of the generator, for a checkpoint of ``fit``."""
        state: dict = {"remaining": self.remaining, "steps": self.steps}
        if self._generator is not None:
            state["generator"] = self._generator.get_state()
        return state

    def load_state_dict(self, state: dict) -> None:
        """Go on with what remained."""
        self.remaining = state["remaining"]
        self.steps = state.get("steps", self.steps)
        if self._generator is not None:
            self._generator.set_state(state["generator"])
        if not self.remaining:
            self.detach()

    def _before(self, model: nn.Module, inputs: tuple) -> None:
        self._counting = False
        self._leave()  # a pass that was interrupted (Ctrl-C) has not run the hook after it
        if not (model.training and torch.is_grad_enabled()):
            return
        self._late.remove()
        if self.remaining:
            self._counting = True
            self._begin()
        else:
            self.detach()

    def _after(self, model: nn.Module, inputs: tuple, output) -> None:
        succeeded = self._counting and output is not None  # a pass that failed has no output
        self._counting = False
        self._leave()
        if succeeded:
            self._late.add(self._hook_after(output))
            self.remaining -= 1
            if not self.remaining and not self._late:
                self.detach()

    def _is_needed(self) -> bool:
        """Whether the model has anything to act on."""
        return True

    def _hook_in(self) -> Sequence[RemovableHandle]:
        """Hook into parts of the model until the remedy is taken off; hooks act where ``_counting`` is true."""
        return ()

    def _begin(self) -> None:
        """A training pass begins."""

    def _leave(self) -> None:
        """A pass is over, has failed, or was interrupted: leave nothing of it. May be called more than once."""

    def _hook_after(self, output: object) -> Sequence[RemovableHandle]:
        """After a training pass that succeeded, hook in what acts in its backward pass or update.

        These hooks go when the next training pass begins, or on leaving.
        """
        return ()


class _LateHooks:
    """Handles of hooks outside the modules, which a copy of the model has not."""

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def __deepcopy__(self, memo: dict) -> "_LateHooks":
        return _LateHooks()

    def __bool__(self) -> bool:
        return bool(self._handles)

    def add(self, handles: Sequence[RemovableHandle]) -> None:
        self._handles.extend(handles)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def fresh_generator(generator: torch.Generator | None) -> torch.Generator:
    """Return the generator, or one with the same fixed seed each time if there is none."""
    return torch.Generator().manual_seed(DEFAULT_SEED) if generator is None else generator


def no_strength(name: str, strength: float | None) -> None:
    """Refuse a strength for a remedy that has none.

    Raises:
        InputError: ``strength`` is not ``None``.
    """
    if strength is not None:
        raise InputError(f"strength={strength!r}: {name} has none; leave it out")


def check_strength(strength: float, *, below: float) -> float:
    """Return a strength that lies in its range.

    Raises:
        InputError: It is negative, or ``below`` or more.
    """
    if isinstance(strength, Tensor | bool | str) or strength is None or not 0 <= strength < below:
        raise InputError(f"strength={strength!r}: must lie in [0, {below})")
    return float(strength)


def positive_strength(strength: float) -> float:
    """Return the strength of a remedy that multiplies weights.

    Raises:
        InputError: It is not a number above 0.
    """
    if check_strength(strength, below=float("inf")) == 0:
        raise InputError("strength=0.0: would set all weights to zero; choose a number above 0, such as 1")
    return strength
