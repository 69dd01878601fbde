"""Find what an object leads to: through containers, closures, bound methods, globals and attributes."""

import types
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ATOMS", "DEEPEST", "cells_of", "globals_of", "has_attributes", "is_full", "leads_to"]

ATOMS = (
    type(None), bool, int, float, complex, str, bytes, type, range, slice, type(Ellipsis), torch.dtype, torch.device,
    torch.Size, torch.layout, torch.memory_format, types.ModuleType, types.CodeType, property,
)  # fmt: skip


DEEPEST = 5


def leads_to(value: Any, is_it: Callable[[Any], bool], depth: int = DEEPEST, seen: set[int] | None = None) -> bool:
    """Tell whether a value is, or holds, something: in containers, closures, bound methods and attributes.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> leads_to(lambda x: layer(x), lambda each: each is layer)
        True
    """
    seen = set() if seen is None else seen
    if isinstance(value, ATOMS) or id(value) in seen:
        return False
    if is_it(value):
        return True
    seen.add(id(value))
    return depth > 0 and any(leads_to(each, is_it, depth - 1, seen) for each in _inside(value))


def _inside(value: Any) -> list[Any]:
    if isinstance(value, types.FunctionType):
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return [*cells_of(value), *defaults, *globals_of(value).values()]
    if isinstance(value, types.MethodType | types.BuiltinMethodType):
        return [value.__self__, getattr(value, "__func__", None)]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, weakref.ref):
        return [value()]
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    return list(vars(value).values()) if has_attributes(value) else []


def has_attributes(value: Any) -> bool:
    """Tell whether a value is an object with attributes, and no class, module or function."""
    return hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType | types.FunctionType)


def cells_of(function: types.FunctionType) -> list[Any]:
    """Return what a function's closure holds."""
    return [each.cell_contents for each in function.__closure__ or () if is_full(each)]


def is_full(cell: types.CellType) -> bool:
    """Tell whether a cell of a closure has been filled."""
    try:
        return cell.cell_contents is not None or True
    except ValueError:
        return False


def globals_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the global objects that a function uses by name: modules, tensors, and functions beside it."""
    if (function.__module__ or "").split(".")[0] == "torch":
        return {}
    found = {}
    for name in _names_in(function.__code__):
        value = function.__globals__.get(name)
        beside = isinstance(value, types.FunctionType) and value.__module__ == function.__module__
        if isinstance(value, nn.Module | Tensor) or (beside and value is not function):
            found[name] = value
    return found


def _names_in(code: types.CodeType) -> set[str]:
    inner = [_names_in(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return set(code.co_names).union(*inner)
