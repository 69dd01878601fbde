"""The loss of a Trainer that computes its own, on copies of the model; the Trainer stays as it is."""

import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from zeroinit._modules.copying import copier_of
from zeroinit.symmetry.shadow.checks import unwrapped

__all__ = ["BeforeLoss", "ReturnedLoss", "has_own_loss"]

LIBRARIES = ("transformers.", "accelerate.", "datasets.", "tokenizers.", "torch.optim.")
"""Whose objects a loss reads alone, as the arguments and the tokenizer."""
DATA = ("train_dataset", "eval_dataset")
CHANGED = ("state", "control")
"""Objects of transformers that a loss may change."""


def has_own_loss(trainer: Any) -> bool:
    """Whether a Trainer computes a loss of the user's, or smooths labels, from what the model returns."""
    if trainer is None:
        return False
    is_own = getattr(type(trainer), "compute_loss", None) is not Trainer.compute_loss or "compute_loss" in vars(trainer)
    return is_own or any(getattr(trainer, name, None) is not None for name in ("compute_loss_func", "label_smoother"))


class BeforeLoss:
    """Stands for a Trainer's ``compute_loss``, and calls a function before the first loss of the training.

    Args:
        trainer: Its attribute ``compute_loss`` is this object until the first loss, or until ``end``.
        before: Gets the model, the inputs, a function ``(model, inputs) -> loss`` for copies, and a ``loss_fn`` for
            what it returns.
    """

    def __init__(self, trainer: Any, before: Callable[[nn.Module, Any, Callable, Callable], None]):
        self._trainer, self._before, self._own = trainer, before, vars(trainer).get("compute_loss")
        self._is_done = False
        vars(trainer)["compute_loss"] = self

    def __call__(self, model: nn.Module, inputs: Any, *arguments: Any, **named: Any) -> Any:
        """Compute the Trainer's own loss."""
        if not self._is_done and model.training:
            self.end()
            step = _step_of(self._trainer, *arguments, **named)
            self._before(model, inputs, step, ReturnedLoss(self._trainer, model))
        own = self._own or types.MethodType(type(self._trainer).compute_loss, self._trainer)
        return own(model, inputs, *arguments, **named)

    def end(self) -> None:
        """Give the Trainer its own method back."""
        self._is_done = True
        if vars(self._trainer).get("compute_loss") is self:
            vars(self._trainer).pop("compute_loss")
            if self._own is not None:
                vars(self._trainer)["compute_loss"] = self._own

    @property
    def own(self) -> Any:
        """What the user put on the Trainer itself; ``None`` if the method is that of the class."""
        return self._own.own if isinstance(self._own, BeforeLoss) else self._own


class _Held:
    """Has the modules of a Trainer as attributes."""


class ReturnedLoss:
    """Takes the loss that a pass returned; holds the modules of a Trainer beside the model, which the loss may use."""

    def __init__(self, trainer: Any, model: nn.Module):
        held = {name: each for name, each in vars(trainer).items() if isinstance(each, nn.Module)}
        self.trainer = _Held()
        vars(self.trainer).update(
            {name: each for name, each in held.items() if unwrapped(each) is not unwrapped(model)}
        )

    def __call__(self, loss: Any) -> Any:
        """Return it."""
        return loss


class _Step:
    """A function ``(model, inputs) -> loss`` that copies of a model share; what it holds is no part of the model."""

    def __init__(self, function: Callable[[nn.Module, Any], Any]):
        self._function = function

    def __call__(self, model: nn.Module, inputs: Any) -> Any:
        return self._function(model, inputs)

    def __deepcopy__(self, memo: dict) -> "_Step":
        return self


def _step_of(trainer: Any, *arguments: Any, **named: Any) -> Callable[[nn.Module, Any], Any]:
    """Return a function that computes a Trainer's own loss of a copy of its model.

    Args:
        trainer: It stays as it is.
        arguments: Further ones of ``compute_loss``.
        named: Further ones by name.
    """

    def step(replica: nn.Module, inputs: Any) -> Any:
        found = _for_copy(trainer, replica).compute_loss(replica, inputs, *arguments, **named)
        return found[0] if isinstance(found, tuple) else found

    return _Step(step)


def _for_copy(trainer: Any, replica: nn.Module) -> Any:
    """Return a Trainer of a copy that logs nothing. What a loss may change of it is a copy, too."""
    copier = copier_of(replica)
    found = object.__new__(type(trainer))
    known = set() if copier is None else {*copier.memo, id(trainer)}
    if copier is not None:
        copier.memo[id(trainer)] = found
    for name, value in vars(trainer).items():
        value = value.own if isinstance(value, BeforeLoss) else value
        if isinstance(value, Iterator) or (name == "compute_loss" and value is None):
            continue  # to read an iterator would change the training
        if isinstance(value, types.MethodType) and value.__self__ is trainer:
            value = types.MethodType(value.__func__, found)
        elif copier is not None and not _is_only_read(name, value):
            value = copier.copy(value, f"trainer.{name}")
        vars(found)[name] = value
    vars(found)["log"] = _logs_nothing
    if copier is not None:
        copier.outside |= {id(each) for key, each in copier.memo.items() if key not in known}
    return found


def _is_only_read(name: str, value: Any) -> bool:
    """Whether a loss reads an attribute of a Trainer alone, as its arguments and its data."""
    if name in CHANGED:
        return False
    if isinstance(value, Dataset | DataLoader | Optimizer) or name in DATA:
        return True
    return type(value).__module__.startswith(LIBRARIES) and not isinstance(value, nn.Module)


def _logs_nothing(*arguments: Any, **named: Any) -> None:
    pass
