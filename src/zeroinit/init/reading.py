"""Read rules as the user wrote them: names, names with options, functions."""

from collections.abc import Mapping
from typing import Any

from zeroinit._common import InputError
from zeroinit.init.initializers import Initializer
from zeroinit.init.names import Names
from zeroinit.init.own import ModuleFunction, find_initializer, with_options
from zeroinit.init.rules import Rules

__all__ = ["read_rules"]


def read_rules(given: Mapping[str, Any], names: Names) -> Rules:
    """Read rules as the user wrote them.

    Args:
        given: Initializers by pattern: names, a mapping with ``"name"`` and options, or what ``initialize_`` takes.
        names: The modules of the model.

    Raises:
        InputError: There are no rules, a pattern is no text, or an initializer is unknown or sets modules.
    """
    if not given or not all(isinstance(pattern, str) for pattern in given):
        raise InputError(f"initializer={dict(given)!r}: rules map patterns over names to initializers")
    return Rules({pattern: _read(pattern, value) for pattern, value in given.items()}, names)


def _read(pattern: str, value: Any) -> tuple[str, Initializer]:
    try:
        name, found = find_initializer(_with_its_options(value) if isinstance(value, Mapping) else value)
    except InputError as error:
        raise InputError(f"rule {pattern!r}: {error}") from error
    if isinstance(found, ModuleFunction):
        raise InputError(
            f"rule {pattern!r}: {name} sets modules; call initialize_ with it alone, and include={pattern!r}"
        )
    return name, found


def _with_its_options(value: Mapping[str, Any]) -> Any:
    options = dict(value)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise InputError(f"{value!r} needs a name: {{'name': 'kaiming_normal', 'mode': 'fan_out'}}")
    return with_options(name, options)
