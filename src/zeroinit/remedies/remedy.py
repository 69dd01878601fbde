"""The base class of remedies: they act during a model's first updates and then remove themselves."""

import math
import re
import warnings
from collections.abc import Sequence
from typing import ClassVar, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from zeroinit._common import InputError, real_number, whole_number
from zeroinit._modules.arguments import check_generator, check_module
from zeroinit._modules.state import unwrapped
from zeroinit.remedies.part import Part
from zeroinit.remedies.updates import Updates

__all__ = ["Attachable", "Remedy", "RemedyWarning", "fresh_generator"]

Kind = TypeVar("Kind", bound="Attachable")

DEFAULT_SEED = 0
"""Seed of a remedy's generator if you pass none."""


class RemedyWarning(UserWarning):
    """A remedy or a zero start ended before its last action, or cannot act in some place."""


class Attachable:
    """Remedies of one model that are attached together; a context manager and an observer of ``fit``."""

    _label: ClassVar[str] = ""

    @property
    def parts(self) -> tuple["Remedy", ...]:
        """The remedies, in the order in which they act on weights and the optimizer."""
        raise NotImplementedError

    def attach(self) -> None:
        """Hook all remedies into the model; on the optimizer's side they act in their order."""
        for part in self.parts:
            part.attach()

    def detach(self) -> None:
        """Remove all remedies."""
        for part in self.parts:
            part.detach()

    def __repr__(self) -> str:
        steps, remaining = (max(getattr(each, name) for each in self.parts) for name in ("steps", "remaining"))
        return (
            f"{type(self).__name__}({type(self.parts[0]._model).__name__}, {steps - remaining} of {steps} updates done)"
        )

    def __enter__(self: Kind) -> Kind:
        self.attach()
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self._close(is_silent=kind is not None)

    def on_start(self, state) -> None:
        """Attach when ``fit`` starts.

        Raises:
            InputError: ``fit`` trains another model.
        """
        if any(unwrapped(state.model) is not part._model for part in self.parts):
            raise InputError(
                "observers: a remedy was made for another model; make the remedy for the model that fit trains"
            )
        self.attach()

    def on_end(self, state) -> None:
        """Detach when ``fit`` ends."""
        self._close()

    def on_error(self, state) -> None:
        """Detach without a warning when an error ends ``fit``."""
        self._close(is_silent=True)

    def _close(self, is_silent: bool = False) -> None:
        """Detach, and warn if that is before the last action of a remedy."""
        updates = self.parts[0]._updates
        updates.notice_by_hand(is_last=True)
        attached = [part for part in self.parts if part._is_attached]
        undone = [text for part in attached if part.remaining and (text := part._undone())]
        self.detach()
        if undone and not is_silent:
            text = unfinished(updates, max(part.steps for part in attached), undone)
            warnings.warn(f"{self._label}{text}", RemedyWarning, stacklevel=3)


class Remedy(Attachable, Part):
    """Acts on a model during its first updates, through hooks; a context manager and an observer of ``fit``.

    An update is a step of the optimizer that changes parameters of the model. The number of passes does not matter; see
    ``Updates``. A remedy acts on passes in train mode with gradients enabled, even if you call only a part of the
    model. It draws from its own generator, never from torch's global one. A copy of the model made meanwhile is a plain
    model, without hooks; a copy of the remedy is not attached. ``fit`` detaches the remedy when it ends, also by an
    error.

    A subclass sets some of the class attributes, and overrides some of the methods that begin with one underscore,
    from ``_set_up`` on and those of ``Part``.

    Args:
        model: The model that is trained.
        steps: The number of updates, at least 0; with 0 nothing is attached.
        strength: In [0, ``below``); the class's own if ``None``. Remedies without a strength refuse one.
        generator: Where random numbers come from, if the remedy draws any; a new generator with seed 0 if ``None``.

    Attributes:
        default_strength: The strength if you give none; ``None`` if the remedy takes no strength.
        below: A strength is smaller than this.
        draws: Whether the remedy draws random numbers.
        steps: The number of updates in all.
        remaining: Updates still to come in which the remedy acts.

    Raises:
        InputError: ``model`` is no module, ``steps`` or ``strength`` is out of range, or a strength is given to a
            remedy without one. Nothing is attached then.
    """

    default_strength: ClassVar[float | None] = None
    below: ClassVar[float] = math.inf
    draws: ClassVar[bool] = False

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        *,
        strength: float | None = None,
        generator: torch.Generator | None = None,
    ):
        check_module(model)
        self.steps = self.remaining = whole_number(steps, "steps", least=0)
        self._strength = self._check_strength(strength)
        self._model = unwrapped(model)
        self._generator = fresh_generator(generator)
        self._updates = Updates(self._model)
        self._is_attached = self._is_copy = False
        self._handles: list[RemovableHandle] = []
        self._late: list[RemovableHandle] = []
        self._met: set[nn.Module] = set()
        self._beside: tuple[Remedy, ...] = ()
        self._set_up()

    @classmethod
    def key(cls) -> str:
        """Return the name in ``REMEDIES``.

        Example:
            >>> from zeroinit.remedies import AffineNorms
            >>> AffineNorms.key()
            'affine_norms'
        """
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def parts(self) -> tuple["Remedy", ...]:
        """The remedy itself."""
        return (self,)

    def attach(self) -> None:
        """Hook into the model, unless this is done already or no updates remain."""
        if self.remaining and not self._is_attached and self._is_needed():
            self._is_attached, self._is_copy = True, False
            self._handles = list(self._hook_in())
            self._updates.add(self)

    def detach(self) -> None:
        """Remove all hooks; the model is as if there had never been a remedy."""
        self._is_attached = False
        self._leave()
        self._take_off()
        self._updates.remove(self)

    def _take_off(self) -> None:
        for handle in (*self._handles, *self._late):
            handle.remove()
        self._handles, self._late = [], []
        self._met.clear()

    def join(self, parts: Sequence["Remedy"]) -> None:
        """Learn of all remedies of the same ``Combination``, including this one; they count updates together."""
        self._updates = parts[0]._updates
        self._beside = tuple(part for part in parts if part is not self)

    def shorten(self, numerator: int, denominator: int) -> None:
        """Multiply the number of updates by a fraction if this lowers it; an active remedy keeps at least one."""
        steps = -(-self.steps * numerator // denominator)
        if self.remaining and steps < self.steps:
            self.remaining = max(1, steps - (self.steps - self.remaining))
            self.steps = steps

    def state_dict(self) -> dict:
        """Return what remains and the state of the generator, for a checkpoint of ``fit``."""
        state = {"remaining": self.remaining, "steps": self.steps}
        return state | ({"generator": self._generator.get_state()} if self.draws else {})

    def load_state_dict(self, state: dict) -> None:
        """Go on with what remained."""
        self.remaining = state["remaining"]
        self.steps = state.get("steps", self.steps)
        if self.draws:
            self._generator.set_state(state["generator"])
        if not self.remaining:
            self.detach()

    def __getstate__(self) -> dict:
        """Leave out hooks, which belong to this model alone: a copy is not attached."""
        return vars(self) | {"_late": [], "_handles": [], "_is_attached": False, "_is_copy": True}

    @classmethod
    def _check_strength(cls, strength: float | None) -> float:
        """Return the strength as a number; 0 for a remedy without one."""
        if cls.default_strength is None:
            if strength is not None:
                raise InputError(f"strength={strength!r}: {cls.key()} takes no strength; leave strength out")
            return 0.0
        chosen = cls.default_strength if strength is None else strength
        return real_number(chosen, "strength", least=0, below=cls.below)

    def _is_on(self) -> bool:
        """Whether the remedy acts on a pass that runs now, or would run."""
        is_training = self._updates.is_in_pass or torch.is_grad_enabled()
        return bool(self._is_attached and self.remaining and self._model.training and is_training)

    def _set_up(self) -> None:
        """Make what the remedy needs besides the base class, at the end of ``__init__``."""

    def _is_needed(self) -> bool:
        """Whether the model has anything to act on."""
        return True

    def _hook_in(self) -> Sequence[RemovableHandle]:
        """Hook into parts of the model until the remedy is taken off; hooks act where ``_is_on`` says so."""
        return ()

    def _hook_late(self) -> Sequence[RemovableHandle]:
        """Add hooks that a copy of the model does not have, at the beginning of each training pass."""
        return ()

    def _begin_pass(self) -> None:
        """A training pass of the model begins."""
        for handle in self._late:
            handle.remove()
        self._late = list(self._hook_late()) if self.remaining else []

    def _end_update(self) -> None:
        """Forget the passes of an update; after the last update remove the hooks on modules, too."""
        self._met.clear()
        if not self.remaining:
            self._leave()
            self._take_off()
            if text := self._failed():
                warnings.warn(text, RemedyWarning, stacklevel=2)

    def _holds(self) -> bool:
        """Whether ``until_moved`` has to wait for this remedy."""
        return False

    def _undone(self) -> str | None:
        """Say what is left undone if the remedy ends now, as "weights are not ..."; ``None`` if nothing."""
        return None

    def _failed(self) -> str | None:
        """Say after the last update what the remedy could not do, why, and what to do; ``None`` if nothing."""
        return None


def unfinished(updates: Updates, steps: int, undone: Sequence[str]) -> str:
    """Say that the first updates ended too early: what was not done, why, and what to do."""
    what = " and ".join(undone)
    if updates.num:
        skipped = f", and {updates.num_skipped} steps changed nothing" if updates.num_skipped else ""
        why = f"training ended after {updates.num} of {steps} updates{skipped}"
        cure = f"make {steps} updates before the with statement (or fit) ends, or pass steps={updates.num}"
    elif updates.num_skipped:
        why = f"{updates.num_skipped} steps of the optimizer changed nothing: gradients are missing or not finite"
        cure = "call backward() before step(), or lower the scale of the GradScaler"
    elif updates.num_copies:
        copies = "a copy" if updates.num_copies == 1 else f"{updates.num_copies} copies"
        why = f"training ended after 0 of {steps} updates: {copies} of this {type(updates.model).__name__} got no help"
        cure = f"make {steps} updates of the model itself before you train copies of it"
    else:
        why = f"training ended after 0 of {steps} updates: no optimizer updated this {type(updates.model).__name__}"
        cure = "build the optimizer from this model's parameters"
    return f"{what}: {why}; {cure}"


def fresh_generator(generator: torch.Generator | None) -> torch.Generator:
    """Return the generator; if there is none, return a new one with seed 0."""
    check_generator(generator)
    return torch.Generator().manual_seed(DEFAULT_SEED) if generator is None else generator
