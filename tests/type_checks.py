"""Check the types of a function as jaxtyping does, at a tenth of the cost where no annotation names a shape."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import beartype.roar
import jaxtyping

__all__ = ["checked"]

CHECKED: set[types.CodeType] = set()
"""Code of functions inside functions whose types have been checked once."""
EITHER = """
def around(function, make, config, Violation, TypeCheckError):
    checks = []
    def either(*args, **kwargs):
        __tracebackhide__ = True
        if config.jaxtyping_disable:
            return function(*args, **kwargs)
        if not checks:
            checks.extend(make())
        given, returned = checks
        try:
            given(*args, **kwargs)
        except Violation as error:
            raise TypeCheckError(str(error)) from error
        result = function(*args, **kwargs)
        try:
            returned(result)
        except Violation as error:
            raise TypeCheckError(str(error)) from error
        return result
    return either
"""
space: dict[str, Any] = {"__name__": "jaxtyping.either"}
exec(compile(EITHER, "<@beartype or not>", "exec"), space)  # the package passes over frames of these names
with_shapes = jaxtyping.jaxtyped


def checked(thing: Any = None, *, typechecker: Callable | None = None) -> Any:
    """Check the types of a function or a dataclass. A function inside another is checked the first time it is made.

    Such a function is made anew at each call. Compiling its checks each time took a third of an inspection. Binding
    each call to its signature, as jaxtyping does for the sake of shapes, took a quarter of all tests.
    """
    if thing is None:
        return functools.partial(checked, typechecker=typechecker)
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) and not hasattr(thing.__init__, "__wrapped__"):
            thing.__init__ = checked(thing.__init__, typechecker=typechecker)
        return thing
    if "<locals>" in thing.__qualname__:
        if thing.__code__ in CHECKED or jaxtyping.config.jaxtyping_disable:
            return thing
        CHECKED.add(thing.__code__)
    hints = hints_of(thing)
    if any(map(names_shape, hints.values())):
        return with_shapes(thing, typechecker=typechecker)
    if not hints:
        return thing
    violation = beartype.roar.BeartypeCallHintViolation
    make = functools.partial(compiled, thing, hints, typechecker)
    around = space["around"](thing, make, jaxtyping.config, violation, jaxtyping.TypeCheckError)
    return functools.wraps(thing)(around)


def compiled(function: Callable, hints: dict[str, Any], typechecker: Callable) -> list[Callable]:
    """Compile the checks of a function, which is done at its first call: few tests call many functions."""
    return [typechecker(each) for each in stand_ins(function, hints)]


def stand_ins(function: Callable, hints: dict[str, Any]) -> tuple[Callable, Callable]:
    """Return a function with the parameters of another, and one that takes its result. They do nothing."""
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    names = [
        each.replace(annotation=empty, default=empty if each.default is empty else None)
        for each in signature.parameters.values()
    ]
    bare = signature.replace(parameters=names, return_annotation=empty)
    made: dict[str, Any] = {}
    exec(f"def given{bare}: pass\ndef returned(result): return result", made)
    given, returned = made["given"], made["returned"]
    given.__defaults__, given.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    given.__annotations__ = {name: hint for name, hint in hints.items() if name != "return"}
    returned.__annotations__ = {"return": hints["return"]} if "return" in hints else {}
    for each in (given, returned):
        each.__qualname__, each.__module__ = function.__qualname__, function.__module__
    return given, returned


def hints_of(function: Callable) -> dict[str, Any]:
    """Return the annotations of a function; one that names what is not there yet is left out, as jaxtyping does."""
    found = {}
    for name, hint in function.__annotations__.items():
        holder = types.SimpleNamespace(__annotations__={name: hint})
        try:
            found |= get_type_hints(holder, function.__globals__, include_extras=True)
        except Exception:  # whatever evaluating it raises
            continue
    return found


def names_shape(hint: Any) -> bool:
    """Tell whether a hint holds an array type of jaxtyping at any depth."""
    shaped = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return shaped or any(map(names_shape, get_args(hint))) or (isinstance(hint, list) and any(map(names_shape, hint)))
