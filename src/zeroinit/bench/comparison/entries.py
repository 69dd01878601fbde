"""Entries of a comparison: a name, a function, a scale and remedies, as one text and as settings of a run."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from zeroinit._common import InputError, closest
from zeroinit._imports import import_named
from zeroinit.bench.network import start_model
from zeroinit.bench.running.runner import ZERO_START
from zeroinit.bench.spec import Run
from zeroinit.init import INITIALIZERS
from zeroinit.init.own import find_initializer, in_full, plugins
from zeroinit.remedies import REMEDIES, make_remedy

__all__ = ["ZERO_START", "Entry", "check_entry", "read_entry"]

NEED_NUMBERS = {"constant_", "sparse_"}
"""Functions of ``torch.nn.init`` that need more than a weight."""
FORM = (
    "write a name, package.module:function or zero_start, then *scale, then +remedy:steps, as normal_bias*0.1+warmup:50"
)


@dataclass(frozen=True)
class Entry:
    """One row of a comparison.

    Attributes:
        label: The text that names it.
        settings: The fields of ``Run`` that it sets.
        initializer: The initializer's name alone.
    """

    label: str
    settings: dict[str, Any] = field(hash=False)
    initializer: str


def read_entry(given: str | Callable, argument: str = "initializer") -> Entry:
    """Read an entry.

    Args:
        given: A key of ``INITIALIZERS``, the name of an entry point or of a function of ``torch.nn.init``,
            ``"package.module:function"`` or ``"zero_start"``. Then perhaps ``"*0.1"`` or ``"*auto"`` for a scale, and
            remedies with their steps, as ``make_remedy`` reads them. Or a function that can be imported by its name.
        argument: How the caller's user knows this value.

    Raises:
        InputError: An unknown name, another form, or a function that other processes cannot import.

    Example:
        >>> read_entry("normal_bias*0.1+early_dropout:100:0.3").settings
        {'initializer': 'normal_bias', 'scale': 0.1, 'remedy': 'early_dropout:100:0.3'}
    """
    if not isinstance(given, str) and not callable(given):
        raise InputError(f"{argument}={given!r}: must be a name or a function; {FORM}")
    text = given if isinstance(given, str) else _name_of(given)
    head, plus, remedy = text.partition("+")
    name, star, factor = head.partition("*")
    if name == ZERO_START:
        if star or remedy:
            raise InputError(f"entry={text!r}: zero_start has its own scale and remedies; write zero_start alone")
        return Entry(text, {"remedy": ZERO_START}, name)
    if ":" not in name:
        name = _full_name(name, argument)
    try:
        find_initializer(name)
    except InputError as error:
        raise InputError(str(error).replace("initializer=", f"{argument}=", 1)) from error
    settings: dict[str, Any] = {"initializer": name}
    if star:
        settings |= _scale(text, factor)
    if plus:
        without = next((part for part in remedy.split("+") if part in REMEDIES), None)
        if without is not None:
            raise InputError(f"entry={text!r}: say for how many updates {without} acts, as {without}:100")
        if "" in remedy.split("+"):
            raise InputError(f"entry={text!r}: names no remedy behind +; {FORM}")
        settings["remedy"] = remedy
    return Entry(text, settings, name)


def _full_name(name: str, argument: str) -> str:
    """Return an initializer's name as stored runs know it. An unknown one is told with all that may stand there."""
    own, of_torch = {**INITIALIZERS, **plugins()}, {each for each in vars(nn.init) if re.fullmatch("[a-z].*_", each)}
    if name in own:
        return name
    if (full := in_full(name)) != name:
        return full
    if "." in name:
        raise InputError(f"{argument}={name!r}: write {':'.join(name.rsplit('.', 1))!r}, package.module:function")
    names = sorted({*own, *of_torch, ZERO_START} - NEED_NUMBERS)
    near = closest(name, [*names, *REMEDIES]).removeprefix("; ")
    for each in REMEDIES:
        near = near.replace(repr(each), repr(f"normal_bias+{each}:100"))
    raise InputError(
        f"{argument}={name!r}: {f'{near} It ' if near else ''}must be one of {', '.join(names)}; remedies stand behind "
        f"it with their updates, as +warmup:50: {', '.join(sorted(REMEDIES))}"
    )


def _scale(text: str, factor: str) -> dict[str, Any]:
    if factor == "auto":
        return {"auto_scale": True}
    try:
        return {"scale": float(factor)}
    except ValueError:
        raise InputError(f"entry={text!r}: {factor!r} is no scale; {FORM}") from None


def _name_of(function: Callable) -> str:
    """Return ``package.module:function`` if this name leads to the same function, also in another process."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    way_out = "put it into a file, own.py, as a function of its own, and hand over 'own:function'"
    if not module or not name or module == "__main__":
        raise InputError(f"entry={function!r}: stored runs and other processes need its name; {way_out}")
    try:
        found = import_named(f"{module}:{name}", "entry", FORM)
    except InputError as error:
        raise InputError(f"entry={function!r}: cannot be imported as {module}:{name}; {way_out}") from error
    if found is not function:
        raise InputError(f"entry={function!r}: {module}:{name} is another function; {way_out}")
    return f"{module}:{name}"


def check_entry(entry: Entry, run: Run) -> None:
    """Build the network of a run and start it as the entry says, before hours of training.

    Raises:
        InputError: Something that the entry sets has no effect or is out of range.
    """
    try:
        own = replace(run, **entry.settings)
        model = start_model(own, 0)
        if own.remedy not in ("none", ZERO_START):
            make_remedy(own.remedy, model, own.remedy_steps)
    except InputError as error:
        plain = entry.label == entry.initializer or str(error).startswith("entry=")  # which the error names
        raise InputError(str(error) if plain else f"entry={entry.label!r}: {error}") from error
