"""Initializers of your own: functions, ``package.module:function``, and what installed packages offer."""

import inspect
import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, closest, lookup
from zeroinit._imports import import_named
from zeroinit._modules.batch import describe
from zeroinit.init.distributions import ZERO, Distribution
from zeroinit.init.initializers import Initializer
from zeroinit.init.places import Place
from zeroinit.init.table import INITIALIZERS

__all__ = [
    "GROUP",
    "FunctionError",
    "ModuleFunction",
    "failed",
    "find_initializer",
    "look_up",
    "plugins",
    "with_options",
]

GROUP = "zeroinit.initializers"
"""Entry points of this group are initializers under the names that their packages give them."""
FORMS = (
    "must be a function (module) -> None that sets parameters of one module, or a function (tensor, generator) -> None "
    "that fills one weight; give further arguments with functools.partial"
)
TAKES = "without a parameter `generator` a function gets each module, with one it gets each weight as a tensor"


MISTAKEN = (TypeError, AttributeError)
"""What a function raises that takes a tensor for a module, or a module for a tensor."""


class FunctionError(InputError):
    """A function of your own failed on one model; with other random numbers it may not.

    Attributes:
        reason: What happened; the message adds the way out.
    """

    def __init__(self, reason: str, way_out: str = ""):
        super().__init__("; ".join(filter(None, (reason, way_out))))
        self.reason = reason


@dataclass(frozen=True)
class ModuleFunction:
    """A function ``(module) -> None`` that is called with each module of a model in turn."""

    name: str
    call: Callable[[nn.Module], object]


def plugins() -> dict[str, EntryPoint]:
    """Return the initializers of installed packages by name, not yet imported."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def find_initializer(initializer: Any) -> tuple[str, Initializer | ModuleFunction]:
    """Return what sets a model, and its name for records and messages.

    A function with a parameter called ``generator`` fills one weight: ``function(tensor, generator=generator)``. So do
    those of ``torch.nn.init`` without one, as ``constant_``. Any other function without it sets one module:
    ``function(module)``. All other parameters need a default.

    Args:
        initializer: A key of ``INITIALIZERS``, the name of an entry point or of a function of ``torch.nn.init``,
            ``"package.module:function"``, an ``Initializer``, or a function.

    Raises:
        InputError: An unknown name, a package or module that cannot be imported, or a function of another form.

    Example:
        >>> find_initializer("zero")[1] is INITIALIZERS["zero"]
        True
        >>> name, found = find_initializer(nn.init.orthogonal_)
        >>> name, found.bias.text
        ('torch.nn.init:orthogonal_', '0')
    """
    is_name = isinstance(initializer, str)
    initializer = in_full(initializer) if is_name else initializer
    name, found = (initializer, look_up(initializer)) if is_name else (_name_of(initializer), initializer)
    if isinstance(found, Initializer):
        plain = name if is_name else _plain_name(found)
        return name, found if found.name == plain else replace(found, name=plain)
    if not callable(found):
        shown = repr(found) if found is None or isinstance(found, int | float | bytes) else describe(found)
        shown = f"{name!r}: is {describe(found)}, and" if is_name else f"{shown}:"
        raise InputError(f"initializer={shown} {FORMS}")
    if (objection := _objection(found)) is not None:
        raise InputError(f"initializer={name!r}: {objection}; it {FORMS}")
    if not _draws(found) and not _is_torchs(found):
        return name, ModuleFunction(name, found)
    weight = Distribution(name, partial(_fill, name, found), uses_fan_in=True, by_matrix=False, whole=True)
    plain, options = (name, {}) if is_name else _written(found)
    summary = f"weights from {name}, zero biases"
    return name, Initializer(weight, ZERO, summary, name, options=options, name=plain, is_function=True)


def in_full(name: str) -> str:
    """Return a name with its module if a function of ``torch.nn.init`` has it.

    Example:
        >>> in_full("trunc_normal_"), in_full("kaiming_normal")
        ('torch.nn.init:trunc_normal_', 'kaiming_normal')
    """
    is_torchs = name[:1].isalpha() and name.endswith("_") and name in vars(nn.init)
    return f"torch.nn.init:{name}" if is_torchs and name not in plugins() else name


def with_options(name: str, options: Mapping[str, Any]) -> Any:
    """Return an initializer with options by its name, as rules give it.

    Raises:
        InputError: An unknown name or option.

    Example:
        >>> with_options("torch.nn.init:normal_", {"std": 0.02}).keywords
        {'std': 0.02}
    """
    found = look_up(in_full(name))
    if not isinstance(found, Initializer):
        return partial(found, **options)
    try:
        return found.using(**options)
    except InputError as error:
        raise InputError(f"initializer={name!r}: {error}") from error


def look_up(name: str) -> Any:
    """Return what a name stands for: an ``Initializer`` or a function.

    Raises:
        InputError: An unknown name, or a package or module that cannot be imported.

    Example:
        >>> look_up("torch.nn.init:zeros_") is nn.init.zeros_
        True
    """
    if name in INITIALIZERS:
        return INITIALIZERS[name]
    if name.endswith(")"):
        raise InputError(f"initializer={name!r}: cannot be made again from its name; hand over the function itself")
    start, last = re.split(r"[.:](?=[^.:]*$)", name) if re.search("[.:]", name) else ("", name)
    if start in ("init", "nn.init") or (start == "torch.nn.init" and ":" not in name):
        torchs = [each for each in vars(nn.init) if each.endswith("_") and each[:1].isalpha()]
        near = next((each for each in torchs if each in (last, f"{last}_")), None)
        way = f"write {near!r}" if near else f"torch.nn.init has no {last!r}{closest(last, torchs)}"
        raise InputError(f"initializer={name!r}: {way}")
    if ":" in name:
        return import_named(name, "initializer", "write package.module:function")
    if name.replace(".", "").isidentifier() and "." in name and name not in plugins():
        raise InputError(f"initializer={name!r}: write {':'.join(name.rsplit('.', 1))!r}, package.module:function")
    entry = lookup({**INITIALIZERS, **plugins()}, name, "initializer")
    assert isinstance(entry, EntryPoint)
    other = next((each for each in entry_points(group=GROUP) if each.name == name and each.value != entry.value), None)
    if other is not None:
        raise InputError(
            f"initializer={name!r}: is both {other.value} of the package {_package(other)} and {entry.value} of the "
            f"package {_package(entry)}; uninstall one of them, or write package.module:function"
        )
    try:
        return entry.load()
    except Exception as error:
        raise InputError(
            f"initializer={name!r}: {entry.value} of the package {_package(entry)} cannot be imported "
            f"({type(error).__name__}: {error}); repair or uninstall this package"
        ) from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module.partition(".")[0]


def _name_of(initializer: Any) -> str:
    """``package.module:function`` of a function, with the arguments of ``functools.partial``; else the type."""
    if isinstance(initializer, Initializer):
        return _call(_plain_name(initializer), (), initializer.options)
    if isinstance(initializer, partial):
        return _call(_name_of(initializer.func), initializer.args, initializer.keywords)
    owner = initializer if hasattr(initializer, "__qualname__") else type(initializer)
    module = getattr(getattr(owner, "__objclass__", owner), "__module__", None) or "builtins"
    return f"{module}:{owner.__qualname__}"


def _plain_name(initializer: Initializer) -> str:
    known = INITIALIZERS.get(initializer.name)
    if known is not None and _texts(known.using(**initializer.options)) != _texts(initializer):
        return f"{initializer.name}, changed"
    return initializer.name or initializer.summary


def _call(name: str, arguments: tuple, named: Mapping[str, Any]) -> str:
    """Write a name with its arguments, as in ``normal_(std=0.02)``; without an address in memory."""
    shown = [*map(_value, arguments), *(f"{each}={_value(value)}" for each, value in named.items())]
    return f"{name}({', '.join(shown)})" if shown else name


def _value(value: Any) -> str:
    return repr(value) if _is_plain(value) else _name_of(value) if callable(value) else f"<{type(value).__name__}>"


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold a value."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _written(function: Callable) -> tuple[str, dict[str, Any]]:
    """Return a name and options from which ``with_options`` makes a function again; else a name that it refuses."""
    inner, options = function, {}
    if isinstance(function, partial):
        inner, options = function.func, function.keywords
        if function.args or "name" in options or not _is_plain([*options.values()]):
            return _name_of(function), {}
    plain = _name_of(inner)
    module, _, path = plain.partition(":")
    try:
        is_other = callable(inner) and operator.attrgetter(path)(sys.modules[module]) not in (inner, type(inner))
    except (AttributeError, KeyError):
        is_other = False
    return (f"{plain} (not importable)", {}) if is_other else (plain, dict(options))


def _texts(initializer: Initializer) -> list[str]:
    return [each.text for each in (initializer.weight, initializer.bias, *initializer.others.values())]


def _objection(function: Callable) -> str | None:
    """Say why a callable can be called neither with a module nor with a tensor and a generator."""
    inner = function.func if isinstance(function, partial) else function
    if isinstance(inner, type):
        return "is a class; hand over an object of it"
    if _is_torchs(inner) and f"{inner.__name__}_" in vars(nn.init):
        return f"is a name that torch has given up; write torch.nn.init.{inner.__name__}_"
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        if isinstance(function, partial):
            return "does not take these arguments"
        return "has no signature that Python can read; write a function around it"
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each for each in parameters if each.default is each.empty and each.kind not in variable]
    others = [each for each in needed if each.name != "generator"]
    if not others and any(each.kind in variable for each in parameters):
        return "takes any arguments, so nobody can tell which of the two it is; put functools.wraps on what wraps it"
    first = (
        others[0] if others and others[0] is parameters[0] and others[0].kind is not others[0].KEYWORD_ONLY else None
    )
    if further := [repr(each.name) for each in others if each is not first]:
        return f"needs {', '.join(further)}"
    return "takes neither a module nor a tensor" if first is None else None


def _draws(function: Callable) -> bool:
    return "generator" in inspect.signature(function).parameters


def _is_torchs(function: Callable) -> bool:
    """Tell whether a function fills a tensor without a generator, as ``torch.nn.init.constant_`` does."""
    function = function.func if isinstance(function, partial) else function
    return getattr(function, "__module__", None) == nn.init.__name__


def _fill(name: str, function: Callable[..., object], place: Place) -> Tensor:
    """Let a function fill a weight; what it leaves as it is would be whatever the memory held."""
    empty, generator = place.empty(), place.generator
    if not empty.numel():
        return empty
    empty.fill_(torch.nan)
    shape = tuple(empty.shape)
    try:
        function(empty, **({"generator": generator} if _draws(function) else {}))
    except Exception as error:
        raise failed(name, f"for a weight of shape {shape} (", error) from error
    if (empty.shape, empty.dtype) != (shape, torch.float32):
        raise FunctionError(
            f"initializer={name!r}: makes {describe(empty)} of a weight of shape {shape}",
            "fill the tensor in place: tensor.normal_(generator=generator)",
        )
    if not empty.isfinite().all():
        raise FunctionError(
            f"initializer={name!r}: leaves values of a weight of shape {shape} unset, NaN or infinite",
            f"fill the tensor in place: tensor.normal_(generator=generator). Note that {TAKES}",
        )
    return empty


def failed(name: str, where: str, error: Exception) -> FunctionError:
    """Return the error of a function that raised one; which of the two forms it has, it may have mistaken.

    Args:
        name: The function's.
        where: What it was called with, up to a bracket that the error closes.
        error: What it raised.
    """
    reason = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    way_out = TAKES if isinstance(error, MISTAKEN) else ""
    return FunctionError(f"initializer={name!r}: failed {where}{reason})", way_out)
