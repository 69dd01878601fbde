"""Whether the value of an option is what its annotation says: a finite number, a whole one, a pair of numbers."""

import math
import types
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Union, get_args, get_origin, get_type_hints

from zeroinit._common import InputError

__all__ = ["check_options"]

WORDS = {float: "a finite number", int: "a whole number", types.NoneType: "None"}


def check_options(make: Callable, options: Mapping[str, Any]) -> None:
    """Refuse values that are not the numbers that a function's annotations ask for.

    Other annotations, as of words, are the function's own concern.

    Args:
        make: The function that takes the options.
        options: Values by name.

    Raises:
        InputError: A value is no number, NaN or infinite; the message has the number that a text stands for.

    Example:
        >>> def make(std: float = 1.0, tries: int | None = None): ...
        >>> check_options(make, {"std": 2, "tries": None})
        >>> check_options(make, {"std": "2e-2"})
        Traceback (most recent call last):
            ...
        zeroinit._common.InputError: std='2e-2': must be a finite number; write std=0.02
    """
    try:
        kinds = get_type_hints(make)
    except (NameError, TypeError):  # annotations that cannot be read ask for nothing
        return
    for name, value in options.items():
        kind = kinds.get(name, Any)
        if not _fits(kind, value):
            raise InputError(f"{name}={value!r}: must be {_words(kind)}{_number_in(name, value)}")


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        return any(_fits(each, value) for each in get_args(kind))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        return isinstance(value, list | tuple) and len(value) == len(kinds) and all(map(_fits, kinds, value))
    if kind is types.NoneType:
        return value is None
    if kind not in (float, int):
        return True
    is_number = isinstance(value, Real if kind is float else int) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _words(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"{len(get_args(kind))} finite numbers"
    return WORDS.get(kind) or " or ".join(map(_words, get_args(kind)))


def _number_in(name: str, value: Any) -> str:
    """Say which number a text holds, as YAML reads ``2e-2`` as a text."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f"; write {name}={number:g}" if math.isfinite(number) else ""
