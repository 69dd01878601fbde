"""A model as its Trainer trains it: a pass is ``training_step`` or another step, and logs of Lightning are dropped."""

import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from torch import nn

from zeroinit._common import InputError
from zeroinit.integrations.inspection import BATCHES, SkippedBatch

__all__ = ["FORM", "as_trained", "logs_nothing"]

FORM = "(module, batch) -> loss"
"""What ``step`` must be."""
PUT_ON = ("_trainer", "log", "log_dict", "_is_in_step", "_own_step", "_batch_number", "_inner_forward", "forward")
"""Attributes that a module has while its pass is its step."""


class _Quiet:
    """The Trainer for a copy of the module: everything can be read, the Trainer is not copied, and loggers are mute."""

    def __init__(self, trainer: Any):
        vars(self)["_trainer"] = trainer

    def __getattr__(self, name: str) -> Any:
        found = getattr(vars(self)["_trainer"], name)
        if name == "loggers":
            return [_Mute(each) for each in found]
        return _Mute(found) if name == "logger" and found is not None else found

    def __setattr__(self, name: str, value: Any) -> None:
        """Copies change nothing."""

    def __deepcopy__(self, memo: dict) -> "_Quiet":
        return self


class _Mute:
    """A logger, or something of one, for a copy of the module: its values can be read, and a call does nothing."""

    def __init__(self, inner: Any):
        vars(self)["_inner"] = inner

    def __getattr__(self, name: str) -> Any:
        inner = vars(self)["_inner"]
        if name.startswith("__") or inner is None:  # of what a call would have returned, nothing is known
            return _Mute(None)
        found = getattr(inner, name)
        return found if found is None or isinstance(found, str | int | float | PurePath) else _Mute(found)

    @property  # type: ignore[misc]  # what isinstance asks
    def __class__(self) -> type:
        """The logger's own: a step may ask whether it is one of TensorBoard."""
        return type(vars(self)["_inner"])

    def __call__(self, *arguments: Any, **named: Any) -> "_Mute":
        return _Mute(None)

    def __getitem__(self, key: Any) -> "_Mute":
        return _Mute(None)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Copies log nothing."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Copies log nothing."""

    def __enter__(self) -> "_Mute":
        return self

    def __exit__(self, *error: object) -> None:
        """A context of a logger, such as that of Comet, catches nothing."""

    def __deepcopy__(self, memo: dict) -> "_Mute":
        return self


@contextmanager
def as_trained(module: nn.Module, step: Callable[[Any, Any], Any] | None = None, number: int = 0) -> Iterator[None]:
    """Have ``module(batch=batch)`` call its ``training_step``; calls from within go to the module's own ``forward``.

    Args:
        module: A Lightning module, or any model with ``step``; as it is before and afterwards.
        step: A function ``(module, batch) -> loss`` to call instead.
        number: Of the batch in its epoch, as ``training_step`` is told.
    """
    owners = [each for each in module.modules() if "_trainer" in vars(each)]
    kept = [(each, dict(vars(each))) for each in {id(each): each for each in [module, *owners]}.values()]
    try:
        for owner in owners:
            if owner._trainer is not None:
                vars(owner)["_trainer"] = _Quiet(owner._trainer)
            vars(owner)["log"] = vars(owner)["log_dict"] = logs_nothing
        vars(module)["_is_in_step"] = False
        vars(module)["_own_step"], vars(module)["_batch_number"] = step, number
        vars(module)["_inner_forward"] = vars(module).get("forward")
        vars(module)["forward"] = types.MethodType(_forward, module)
        yield
    finally:
        for owner, attributes in kept:
            for name in PUT_ON:
                vars(owner).pop(name, None)
                if name in attributes:
                    vars(owner)[name] = attributes[name]


def logs_nothing(*arguments: Any, **named: Any) -> None:
    """Stand for a function that logs: on copies nothing is logged."""


def _forward(module: Any, *arguments: Any, **named: Any) -> Any:
    """Call the step from outside, the module's own ``forward`` from within."""
    if module._is_in_step:
        inner = module._inner_forward  # what somebody put on the module itself
        return inner(*arguments, **named) if inner is not None else type(module).forward(module, *arguments, **named)
    module._is_in_step = True
    try:
        if module._own_step is not None:
            return module._own_step(module, named["batch"])
        return _training_step(module, named["batch"])
    finally:
        module._is_in_step = False


def _training_step(module: Any, batch: Any) -> Any:
    """Call ``training_step`` of the class, which is not compiled, with as many arguments as it takes."""
    if not getattr(module, "automatic_optimization", True):
        raise InputError(
            "automatic_optimization=False: training_step updates the module itself; pass "
            f"InspectCallback(step=...), a function {FORM}"
        )
    step = type(module).training_step
    taken = len(inspect.signature(step).parameters) > 2
    output = step(module, batch, module._batch_number) if taken else step(module, batch)
    if output is None:
        raise SkippedBatch(f"training_step: returned None for each of the first {BATCHES} batches; return the loss")
    return output
