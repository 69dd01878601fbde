"""The loss of a Trainer that computes its own, on copies of the model; the Trainer stays as it is."""

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from zeroinit._modules.copying import copier_of
from zeroinit._modules.reach import leads_to
from zeroinit.integrations.lightning_step import logs_nothing
from zeroinit.symmetry.shadow.checks import unwrapped
from zeroinit.symmetry.verdict.passes.calls import tensors_in
from zeroinit.symmetry.verdict.symptoms.loss_parameters import parameters_of_loss

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
            step = _Step(self._trainer, *arguments, **named)
            self._before(model, inputs, step, ReturnedLoss(self._trainer, model, step))
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
    """Has what a Trainer holds as attributes."""


class ReturnedLoss:
    """Takes the loss that a pass returned; holds what trains beside the model, as a loss module of the Trainer does.

    Args:
        trainer: It stays as it is.
        model: Whose parameters are left out.
        step: What computes the loss of copies.
    """

    def __init__(self, trainer: Any, model: nn.Module, step: "_Step"):
        self.trainer = _held(trainer, unwrapped(model))
        self._step = step

    def __call__(self, loss: Any) -> Any:
        """Return it."""
        return loss

    def owns(self, name: str) -> bool:
        """Tell whether a parameter belongs to the loss: not to a network that sees the inputs alone, as a teacher."""
        return name not in self._step.networks

    def repair(self, name: str) -> str:
        """Return what hands a parameter to the Trainer's optimizer."""
        place = name.split(".")[1]
        value = vars(self.trainer)[place]
        inside = f"trainer.{place}.parameters()" if isinstance(value, nn.Module) else "[...]"
        inside = f"[{name}]" if isinstance(value, Tensor) else inside
        add = f"trainer.create_optimizer().add_param_group({{'params': {inside}}})"
        return f"Hand over all of these, too, before the training: `{add}`."


def _held(trainer: Any, model: nn.Module) -> _Held:
    """Return what of a Trainer has trainable values that the model does not have."""
    found = _Held()
    for name, each in vars(trainer).items():
        is_apart = name in CHANGED or _is_only_read(name, each) or isinstance(each, Iterator | BeforeLoss)
        if not is_apart and getattr(each, "__self__", None) is not trainer and parameters_of_loss(each, model):
            vars(found)[name] = each
    return found


class _Step:
    """Computes a Trainer's own loss of a copy of its model; copies share this object, which is no part of the model.

    Args:
        trainer: It stays as it is.
        arguments: Further ones of ``compute_loss``.
        named: Further ones by name.
    """

    def __init__(self, trainer: Any, *arguments: Any, **named: Any):
        # in functions, because a search for what the model holds looks at attributes
        self._copied = lambda model: _for_copy(trainer, model)
        self._loss = lambda own, model, inputs: own.compute_loss(model, inputs, *arguments, **named)
        self._fed: set[str] = set()
        self._called: set[str] = set()

    @property
    def networks(self) -> set[str]:
        """Names of parameters in modules of the Trainer that got nothing of what the model returned."""
        return self._called - self._fed

    def __call__(self, model: nn.Module, inputs: Any) -> Any:
        trainer = self._copied(model)
        with self._looking_at_calls(trainer, model):
            found = self._loss(trainer, model, inputs)
        return found[0] if isinstance(found, tuple) else found

    @contextmanager
    def _looking_at_calls(self, trainer: Any, model: nn.Module) -> Iterator[None]:
        """Note which modules of the Trainer get what depends on the model."""
        values = _Held()
        values.trainer = _held(trainer, model)  # type: ignore[attr-defined]
        names = {id(each): name for name, each in parameters_of_loss(values, model).items()}
        modules: list[nn.Module] = []
        seen = {id(each) for each in model.modules()}

        def look(module: nn.Module, given: tuple, named: dict) -> None:
            if torch.is_grad_enabled():
                inside = {names[id(each)] for each in module.parameters() if id(each) in names}
                self._called |= inside
                self._fed |= inside if any(each.requires_grad for each in tensors_in([given, named])) else set()

        def note(value: Any) -> bool:
            if isinstance(value, nn.Module):
                modules.append(value)
                seen.update(id(each) for each in value.modules())
            return False

        leads_to(values, note, seen=seen)
        handles = [each.register_forward_pre_hook(look, with_kwargs=True) for each in modules]
        try:
            yield
        finally:
            for each in handles:
                each.remove()

    def __deepcopy__(self, memo: dict) -> "_Step":
        return self


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
    vars(found)["log"] = logs_nothing
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
