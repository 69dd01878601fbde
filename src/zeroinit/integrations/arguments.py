"""Checks of what a user hands to a callback or a watch."""

import inspect
from collections.abc import Callable

from torch import nn

from zeroinit._common import InputError

__all__ = ["can_take", "check_function", "is_sharded", "true_or_false"]


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


def check_function(value: object, argument: str, form: str) -> None:
    """Refuse what cannot be called.

    Args:
        value: The user's value.
        argument: How the caller's user knows this value.
        form: What the function must be like, as in ``"(text) -> None"``.

    Raises:
        InputError: ``value`` is not callable.

    Example:
        >>> check_function(print, "show", "(text) -> None")
    """
    if not callable(value):
        raise InputError(f"{argument}={value!r}: must be a function {form}")


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


def is_sharded(model: nn.Module) -> str:
    """Return the name of a parameter that lies in pieces on several processes; an empty string if there is none.

    Example:
        >>> is_sharded(nn.Linear(2, 2))
        ''
    """
    for name, each in model.named_parameters():
        kinds = {kind.__name__ for kind in type(each).__mro__} | {type(each.data).__name__}
        if kinds & {"DTensor", "FlatParameter"} or hasattr(each, "ds_id"):
            return name
    return ""
