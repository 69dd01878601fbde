"""Observers watch a run of ``fit`` without disturbing it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit._modules.state import modes_kept
from zeroinit.bench.training.history import History

__all__ = ["Observer", "Observers", "TrainState", "into_train_mode", "undisturbed"]


@dataclass(frozen=True)
class TrainState:
    """The state of a run when an observer is called.

    Attributes:
        model: The model in training, parameters as they are now.
        history: What was recorded so far.
        step: Updates done (in ``on_gradients``: the number of the coming update, from 1).
        epoch: Epochs done (in ``on_gradients``: the number of the running epoch, from 1).
        losses: Loss of each batch of the epoch just finished (steps,), mean per image; empty before its end.
    """

    model: nn.Module
    history: History
    step: int
    epoch: int
    losses: torch.Tensor


class Observer:
    """Watches a run of ``fit``; override what you need.

    Random state, the mode of every module, the buffers and the gradients are restored after each call. Checkpoints save
    an observer that has ``state_dict`` and ``load_state_dict``. Its state holds only tensors, numbers, strings, lists
    and dicts.
    """

    def on_start(self, state: TrainState) -> None:
        """Before the first update."""

    def on_gradients(self, state: TrainState) -> None:
        """At each step, after the backward pass and before the update."""

    def on_epoch(self, state: TrainState) -> None:
        """After each epoch and its evaluation."""

    def on_end(self, state: TrainState) -> None:
        """After the last epoch, also of a run that diverged."""

    def on_error(self, state: TrainState) -> None:
        """When an error, Ctrl-C or a deadline ends the run. The error is raised afterwards."""


def into_train_mode(model: nn.Module) -> None:
    """Put a model into train mode, except modules that are in eval mode while others are in train mode.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
        >>> into_train_mode(model)
        >>> model[0].training, model[1].training
        (True, False)
        >>> into_train_mode(model.eval())
        >>> model[1].training
        True
    """
    modules = list(model.modules())
    chosen = [module for module in modules if not module.training]
    model.train()
    if len(chosen) < len(modules):
        for module in chosen:
            module.training = False


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore torch's random state, the mode of every module, the buffers and the gradients on leaving.

    Example:
        >>> model = nn.Dropout()
        >>> with undisturbed(model):
        ...     _ = model.eval()
        >>> model.training
        True
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    gradients = {
        parameter: None if parameter.grad is None else (parameter.grad, parameter.grad.clone())
        for parameter in model.parameters()
    }
    with torch.random.fork_rng(), modes_kept(model):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, kept in buffers:
                    buffer.copy_(kept)
                for parameter, pair in gradients.items():
                    parameter.grad = None if pair is None else pair[0].copy_(pair[1])


CALLBACKS = ("on_start", "on_gradients", "on_epoch", "on_end", "on_error")


class Observers:
    """Calls several observers at each event, only those that listen, and none disturbs the run.

    Whatever has one of the methods of ``Observer`` may observe, a remedy for one; it need not be a subclass.
    """

    def __init__(self, observers: Sequence[object]):
        for observer in observers:
            if not any(hasattr(type(observer), name) for name in CALLBACKS):
                raise InputError(f"observers: {observer!r} has none of the methods {', '.join(CALLBACKS)}")
        self._with_state: list[Any] = [observer for observer in observers if hasattr(observer, "state_dict")]
        self._listening = {
            name: [
                observer
                for observer in observers
                if getattr(type(observer), name, None) not in (None, getattr(Observer, name))
            ]
            for name in CALLBACKS
        }

    def listens(self, name: str) -> bool:
        """Whether any observer listens to this event."""
        return bool(self._listening[name])

    def state_dict(self) -> list[dict]:
        """Return the state of each observer that has one, for a checkpoint."""
        return [observer.state_dict() for observer in self._with_state]

    def load_state_dict(self, states: Sequence[dict]) -> None:
        """Give each observer its state back, after ``on_start``. Observers without a state may have changed."""
        for observer, state in zip(self._with_state, states, strict=True):
            observer.load_state_dict(state)

    def notify(self, name: str, state: TrainState) -> None:
        """Call every observer that listens to ``name``."""
        for observer in self._listening[name]:
            with undisturbed(state.model):
                getattr(observer, name)(state)
