"""What a user hands over: a model, a function, a device, a switch. What cannot be used is refused with a way out."""

import inspect
import os
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Number
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, unknown
from zeroinit._modules.batch import describe

__all__ = [
    "as_path",
    "can_take",
    "check_device",
    "check_function",
    "check_generator",
    "check_module",
    "check_returned",
    "name_of",
    "true_or_false",
]

SEVERAL = (list, tuple, Mapping)


def as_path(value: Any, argument: str) -> Path:
    """Return a path; refuse what is none.

    Raises:
        InputError: ``value`` is neither a text nor a path.

    Example:
        >>> as_path("results", "results").name
        'results'
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{argument}={value!r}: must be a path, as 'folder'")
    return Path(value)


def check_module(model: Any) -> None:
    """Refuse what is no module.

    Raises:
        InputError: It is a class, several modules, or something else.

    Example:
        >>> check_module(nn.Linear(2, 2))
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model={name_of(model)}: {_not_a_model(model)}")


def check_returned(made: Any, argument: str, form: str) -> None:
    """Refuse what a function returned in the place of a model.

    Args:
        made: What was returned.
        argument: How the caller's user knows the function, with its value.
        form: What the function must be like.

    Raises:
        InputError: It is no module.

    Example:
        >>> check_returned(nn.Linear(2, 2), "factory='net:build'", "return a model")
    """
    if inspect.iscoroutine(made):
        made.close()  # otherwise Python warns that nobody awaited it
    if not isinstance(made, nn.Module):
        raise InputError(f"{argument}: returned {name_of(made)}, which {_not_a_model(made)}; {form}")


def _not_a_model(value: Any) -> str:
    """Say what something is that stands in the place of a model, and what to hand over."""
    if inspect.iscoroutine(value):
        return "awaits something; leave out async"
    if isinstance(value, type):
        return f"is a class; make an instance, as {value.__name__}(...)"
    if isinstance(owner := getattr(value, "__self__", None), nn.Module):
        return f"is a method of a {type(owner).__name__}; hand over the model itself"
    if inspect.isroutine(value):
        return f"is a function; hand over the model that it returns, as {value.__name__}()"
    if isinstance(value, torch.optim.Optimizer):
        return "is an optimizer; hand over the model whose parameters it holds"
    if isinstance(value, types.GeneratorType):
        own = value.__name__ in dir(nn.Module)  # as parameters() and modules()
        return "is no nn.Module" + "; hand over the model itself" * own
    entries = list(value.values() if isinstance(value, Mapping) else value) if isinstance(value, SEVERAL) else []
    if entries and all(isinstance(each, nn.Module) for each in entries):
        return "is no nn.Module; put several into an nn.ModuleList"
    if entries and all(isinstance(each, Tensor) for each in entries):
        return "is no nn.Module; hand over the model that holds these tensors"
    return "is no nn.Module"


def name_of(value: Any) -> str:
    """Name a value for a message: functions and classes by name, short values as they are, all others as ``describe``.

    Example:
        >>> name_of(nn.Linear), name_of(None), name_of([1, 2])
        ('Linear', 'None', 'a list of 2')
    """
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__name__
    return repr(value) if isinstance(value, str | Number | type(None)) else describe(value)


def check_generator(generator: Any) -> None:
    """Refuse what is no generator, such as a seed.

    Raises:
        InputError: ``generator`` is neither a ``torch.Generator`` nor ``None``.

    Example:
        >>> check_generator(None)
    """
    if generator is not None and not isinstance(generator, torch.Generator):
        seed = generator if isinstance(generator, int) and generator > 0 else 0
        way = f"must be a torch.Generator: torch.Generator().manual_seed({seed:d})"
        raise InputError(f"generator={name_of(generator)}: {way}")


def can_take(function: Callable, number: int) -> bool:
    """Whether a function can be called with this number of positional arguments, as far as Python can tell.

    Example:
        >>> can_take(lambda output: output, 1), can_take(lambda output: output, 2)
        (True, False)
    """
    try:
        inspect.signature(function).bind(*[None] * number)
    except TypeError:
        return False
    except ValueError:  # Python cannot read the signature
        return True
    return True


def check_function(value: object, argument: str, form: str, counts: Collection[int] = ()) -> None:
    """Refuse what cannot be called as it will be called.

    Args:
        value: The user's value.
        argument: How the caller's user knows this value.
        form: What the function must be like, as in ``"(text) -> None"``.
        counts: With how many arguments it may be called; one of them must do. Nothing is checked if there is none.

    Raises:
        InputError: ``value`` is not callable, is a class, or takes other arguments.

    Example:
        >>> check_function(print, "show", "(text) -> None")
    """
    if isinstance(value, type):
        raise InputError(f"{argument}={value.__name__}: is a class; make an instance, as {value.__name__}()")
    if not callable(value) or (counts and not any(can_take(value, each) for each in counts)):
        raise InputError(f"{argument}={name_of(value)}: must be a function {form}")


def true_or_false(value: object, argument: str) -> bool:
    """Return a switch; refuse everything else, such as ``"yes"``.

    Raises:
        InputError: ``value`` is neither ``True`` nor ``False``.

    Example:
        >>> true_or_false(True, "strict")
        True
    """
    if not isinstance(value, bool):
        raise InputError(f"{argument}={value!r}: must be True or False")
    return value


def check_device(device: Any, words: Iterable[str] = (), kinds: Collection[str] = ()) -> torch.device | None:
    """Return a device of this machine.

    Args:
        device: A ``torch.device``, or its name.
        words: What else may stand there; for such a word, ``None`` is returned.
        kinds: Kinds of devices that will do, as ``"cuda"``; all if there is none.

    Raises:
        InputError: This machine has no such device; the message names those that it has.

    Example:
        >>> check_device("cpu"), check_device("auto", ["auto"])
        (device(type='cpu'), None)
    """
    if isinstance(device, str) and device in words:
        return None
    there = [each for each in _devices() if not kinds or each.partition(":")[0] in kinds]
    try:
        found = None if isinstance(device, bool) else torch.device(device)
        if found is not None and (str(found) in there or (not kinds and _has_memory(found))):
            return found
    except (RuntimeError, TypeError, ValueError, OverflowError):
        pass
    shown = str(device) if isinstance(device, torch.device) else device
    raise InputError(f"{unknown(shown, [*words, *there], 'device')} on this machine")


def _devices() -> list[str]:
    """Return the names of the devices that this machine has."""
    kind, count = "cuda", torch.cuda.device_count()
    if not count and torch.accelerator.is_available():
        kind, count = str(torch.accelerator.current_accelerator()).partition(":")[0], torch.accelerator.device_count()
    return ["cpu", *([kind] if count else []), *(f"{kind}:{number}" for number in range(count))]


def _has_memory(device: torch.device) -> bool:
    """Whether a device of a kind that torch does not list can hold values."""
    try:
        return device.type != "meta" and torch.empty(0, device=device).device.type == device.type
    except Exception:  # each kind of device has errors of its own
        return False
