"""Where the classes of modules stand in the source."""

import functools
import inspect
import linecache
import os
import re
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from torch import nn

__all__ = ["homes_of"]

OWN = ("zeroinit.", "jaxtyping", "beartype", "contextlib")


def homes_of(
    model: nn.Module, paths: Iterable[str], asking: tuple[str, int] | None = None
) -> dict[str, tuple[str, int]]:
    """Return where the classes of modules begin, or those of the modules around them; nothing of torch's own.

    Args:
        model: Its own class stands at ``""``; where that is one of torch, the line that asks for the report does.
        paths: Of modules.
        asking: That line; by default the innermost one that is not this package's.

    Example:
        >>> homes_of(nn.Linear(2, 2), ["0"], ("train.py", 7))
        {'': ('train.py', 7), '0': ('train.py', 7)}
    """
    found: dict[str, tuple[str, int]] = {}
    for path in dict.fromkeys(["", *sorted(paths)]):
        parts = path.split(".") if path else []
        around = (".".join(parts[:end]) for end in range(len(parts), -1, -1))
        home = next((line for each in around if (line := _class_line(model, each)) is not None), asking or _asking())
        found |= {path: home} if home is not None else {}
    return found


def _class_line(model: nn.Module, path: str) -> tuple[str, int] | None:
    try:
        kind: Any = type(model.get_submodule(path))
    except AttributeError:  # of a part that is not registered
        return None
    return None if kind.__module__.partition(".")[0] == "torch" else _line_of(kind)


@functools.cache
def _line_of(kind: type) -> tuple[str, int] | None:
    """Return where a class begins: the line above its first method that says so. No file is parsed."""
    functions: list[Any] = [inspect.unwrap(each) for each in vars(kind).values() if inspect.isfunction(each)]
    codes = [each.__code__ for each in functions if each.__qualname__.startswith(f"{kind.__qualname__}.")]
    if not codes:
        return None
    first = min(codes, key=lambda code: code.co_firstlineno)
    lines = linecache.getlines(first.co_filename)[: first.co_firstlineno]
    begins = re.compile(rf"\s*class {re.escape(kind.__name__)}\b")
    at = next((number for number in range(len(lines), 0, -1) if begins.match(lines[number - 1])), None)
    return (first.co_filename, at) if at is not None else None


def _asking() -> tuple[str, int] | None:
    """Return the innermost line of neither this package nor a wrapper of its functions, if it can be read."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(OWN):
        frame = frame.f_back
    line = (frame.f_code.co_filename, frame.f_lineno) if frame is not None else None
    return line if line is not None and os.path.isfile(line[0]) else None
