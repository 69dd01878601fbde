"""Who writes: the initializer's name, the line of the user's code, and what calls it, from the stack of calls."""

import ast
import inspect
import linecache
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from types import FrameType
from typing import Any

import torch
from torch import nn

__all__ = ["GENERATOR", "Rule", "calling_rule", "is_by_hand", "is_in_loop", "source_around"]

TORCH = os.path.dirname(torch.__file__) + os.sep
OWN = os.path.dirname(__file__) + os.sep
SETTERS = tuple(f"{os.path.dirname(OWN[:-1])}{os.sep}{part}{os.sep}" for part in ("init", "zero_start", "remedies"))
"""Folders of the code that sets a model for the user, whose line is the one that calls it."""
INITIALIZERS = {name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")}
PASSED_OVER = (f"{os.sep}jaxtyping{os.sep}", "<@beartype", f"{os.sep}typing_extensions.py")
"""Parts of the names of files that are no user's code: those that check types, or warn, around each call."""
STANDARD, PACKAGES = os.path.dirname(os.__file__) + os.sep, re.compile(r"[\\/](site|dist)-packages[\\/]")
"""Folder of Python's own modules, as of `copy.deepcopy`, and those of packages inside it, which may be the user's."""
LOADERS = re.compile(r"^_?load|_load_|load_(weights|state|checkpoint|pretrained)|from_pretrained|^_?restore")
"""Names of functions that load a checkpoint, if no constructor runs below them."""
GENERATOR = ", generator=generator"
RESETS = ("reset_parameters", "_reset_parameters", "reset_running_stats", "initialize_parameters", "init_weights")


@dataclass(frozen=True)
class Rule:
    """What wrote some values.

    Attributes:
        label: The function of ``torch.nn.init`` or of the layer, as ``xavier_uniform_``; empty for a bare operation.
        place: Where the user's code calls it, as ``net.py:12 in Net.__init__``.
        site: File, line and position of that call in the code.
        function: The function that holds the line.
        caller: File, line and position of the call of this function; empty if torch calls it, as `Module.apply` does.
        origin: ``"library"`` for the default of a torch layer that is being made, ``"user"`` for everything else.
        made_in: Type of the module whose constructor runs; ``None`` outside of constructors.
        method: Whether this function is a method of a module.
        applied: Whether ``Module.apply`` calls the function.
        root: The identity of the module whose ``apply`` that is, the outermost one; 0 if there is none.
        loading: Whether a checkpoint is being loaded.
        presumed: Whether the name of a user's function alone tells so.
        shape: Of the tensor that the initializer was called with; ``None`` for a bare operation.
        mode: ``"fan_in"`` or ``"fan_out"`` of a Kaiming rule, ``"average"`` of a Xavier rule,
            ``"longest"`` of ``orthogonal_``, else empty.
        gain: That the user hands to a Xavier rule, else 1.
        options: Of the function of `torch.nn.init`, as one types them, as ``", std=0.02"``.
        calls: The calls of the user's functions around it, the innermost first: where each function stands, and which
            arguments it has.
    """

    label: str = ""
    place: str = ""
    site: tuple[str, int, int] = ("", 0, 0)
    function: str = ""
    caller: tuple[str, int, int] = ("", 0, 0)
    origin: str = "user"
    made_in: type | None = None
    method: bool = False
    applied: bool = False
    root: int = 0
    loading: bool = False
    presumed: bool = False
    shape: tuple[int, ...] | None = None
    mode: str = ""
    gain: float = 1.0
    options: str = ""
    calls: tuple[tuple, ...] = ()

    def __str__(self) -> str:
        name = f"`{self.label}`" if self.label else "a write"
        return f"{name} ({self.place})" if self.place else name


def calling_rule() -> Rule:
    """Return who is writing now.

    Frames of torch are skipped, and so are functions that have the name of an initializer: they wrap one.
    """
    found: dict = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "watched":
        code = frame.f_code
        file, name = code.co_filename, code.co_name
        if not file.startswith(OWN) and not _is_passed_over(file):
            if file.startswith(SETTERS):
                _read_setter(found, frame, name)
            else:
                _read(found, frame, file, name, file.startswith(TORCH))
        frame = frame.f_back
    site = found.pop("site", ("", 0, 0))
    if not found.get("place") and found.get("label"):
        found["origin"] = "library"
    return Rule(site=site, calls=tuple(found.pop("open", ())), **found)


@lru_cache(maxsize=1024)
def _is_passed_over(file: str) -> bool:
    """Whether a file is no user's code: of Python itself, or of what wraps calls."""
    of_python = file.startswith(STANDARD) and not PACKAGES.search(file)
    return of_python or any(part in file for part in PASSED_OVER)


def _read(found: dict, frame: FrameType, file: str, name: str, of_torch: bool) -> None:
    """Add what one frame tells, from the innermost on."""
    if name == "__init__" and "made_in" not in found and isinstance(owner := _first_argument(frame), nn.Module):
        found["made_in"] = type(owner)
    if not of_torch and (arguments := frame.f_code.co_varnames[: frame.f_code.co_argcount]):
        held = frame.f_locals
        call = (file, frame.f_code.co_firstlineno, *(id(held.get(each)) for each in arguments))
        found.setdefault("open", []).append(call)
    if LOADERS.search(name) and not found.get("label") and "made_in" not in found:
        found["loading"], found["presumed"] = True, found.get("presumed", True) and not of_torch
    if "site" in found:
        found.setdefault("caller", ("", 0, 0) if of_torch else (file, frame.f_lineno, frame.f_lasti))
        if of_torch and name == "apply":
            found["applied"], found["root"] = True, id(_first_argument(frame))
        return
    if name in INITIALIZERS:
        found["label"] = name
        if file.endswith(f"nn{os.sep}init.py") and isinstance(frame.f_locals.get("tensor"), torch.Tensor):
            found["shape"], found["mode"] = tuple(frame.f_locals["tensor"].shape), _mode(name, frame.f_locals)
            found["options"] = _options(name, frame.f_locals)
            if found["mode"] == "average":
                found["gain"] = float(frame.f_locals.get("gain", 1.0))
    elif of_torch:
        if name in ("__init__", "initialize_parameters"):
            found["origin"] = "library"
        elif name in RESETS:
            found["label"] = f"{type(frame.f_locals.get('self')).__name__}.{name}"
    else:
        found["site"], found["function"] = (file, frame.f_lineno, frame.f_lasti), name
        owner = _first_argument(frame)
        found["method"] = isinstance(owner, nn.Module) and hasattr(type(owner), name)
        found["place"] = f"{os.path.basename(file)}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _read_setter(found: dict, frame: FrameType, name: str) -> None:
    """Name what the user called: ``initialize_`` with its initializer, or ``zero_start_``."""
    if name == "initialize_":
        given = frame.f_locals.get("initializer")
        found.setdefault("label", given if isinstance(given, str) else name)
    elif name == "zero_start_":
        found["label"] = name


def _first_argument(frame: FrameType) -> Any:
    return frame.f_locals.get(frame.f_code.co_varnames[0]) if frame.f_code.co_argcount else None


def _mode(name: str, values: dict) -> str:
    if name.startswith(("xavier", "orthogonal")):
        return "average" if name.startswith("xavier") else "longest"
    return str(values.get("mode", "fan_in")) if name.startswith("kaiming") else ""


def _options(name: str, values: dict) -> str:
    """Return the options of a function of `torch.nn.init` that are not the defaults."""
    given = [(key, values.get(key), default) for key, default in _defaults(name)]
    shown = [(key, value) for key, value, default in given if isinstance(value, int | float | str) and value != default]
    texts = [f", {key}={value!r}" if isinstance(value, str) else f", {key}={value:.4g}" for key, value in shown]
    return "".join([*texts, GENERATOR * (values.get("generator") is not None)])


@lru_cache
def _defaults(name: str) -> list[tuple[str, Any]]:
    function = inspect.unwrap(getattr(nn.init, name))
    return [(key, each.default) for key, each in inspect.signature(function).parameters.items() if key != "tensor"]


def is_by_hand(rule: Rule) -> bool:
    """Whether the user's code names what it writes: in no loop, and in no method of a module but a constructor."""
    return (rule.function == "__init__" or not rule.method) and not rule.applied and not is_in_loop(rule.site)


@lru_cache(maxsize=1024)
def is_in_loop(site: tuple[str, int, int]) -> bool:
    """Whether a line of the user's code stands in a loop; ``False`` where its source is not known."""
    return any(first <= site[1] <= last for first, last in _loops(site[0]))


@lru_cache(maxsize=1024)
def source_around(site: tuple[str, int, int]) -> str:
    """Return the function that holds a line, and those of its file that it names; ``""`` where no source is known."""
    functions = [node for node in ast.walk(_tree(site[0])) if isinstance(node, ast.FunctionDef)]
    around = [node for node in functions if node.lineno <= site[1] <= (node.end_lineno or 0)][-1:]
    named = {each.id for node in around for each in ast.walk(node) if isinstance(each, ast.Name)}
    named |= {each.attr for node in around for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    return "\n".join(ast.unparse(node) for node in (*around, *(each for each in functions if each.name in named)))


@lru_cache(maxsize=64)
def _tree(file: str) -> ast.Module:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ast.Module([], [])


@lru_cache(maxsize=64)
def _loops(file: str) -> list[tuple[int, int]]:
    """Return the first and the last line of each loop of a file."""
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
    return [(node.lineno, node.end_lineno or 0) for node in ast.walk(_tree(file)) if isinstance(node, loops)]
