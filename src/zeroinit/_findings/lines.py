"""Lines of source that findings point to."""

import inspect
import linecache
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn  # for checkers alone: the command line shows its help without torch

__all__ = ["Line", "as_location", "homes_of", "readable", "written"]

Line = tuple[str, int]
"""A file and the number of a line in it, from 1."""

WIDTH = 72
OWN = ("zeroinit.", "jaxtyping", "beartype", "contextlib")


def readable(lines: Iterable[Line | None]) -> tuple[Line, ...]:
    """Return the lines whose text can be read, each once.

    Example:
        >>> readable([None, ("<string>", 3)])
        ()
    """
    return tuple(each for each in dict.fromkeys(lines) if each is not None and linecache.getline(*each).strip())


def written(line: Line) -> str:
    """Write a line for a reader: file, number and text; the number alone where the text is in no file, as a cell's."""
    text = linecache.getline(*line).strip()
    place = f"{_near(line[0])}:{line[1]}" if os.path.isfile(line[0]) else f"line {line[1]}"
    return f"{place}: {text if len(text) <= WIDTH else f'{text[:WIDTH]} …'}"


def as_location(line: Line) -> dict:
    """Return a line as a physical location of SARIF 2.1.0."""
    near = _near(line[0])
    uri = Path(near).as_posix() if not os.path.isabs(near) else Path(near).as_uri()
    return {"artifactLocation": {"uri": uri}, "region": {"startLine": line[1]}}


def homes_of(model: "nn.Module", paths: Iterable[str], asking: Line | None = None) -> dict[str, Line]:
    """Return where the classes of modules begin, or those of the modules around them; nothing of torch's own.

    Args:
        model: Its own class stands at ``""``; where that is one of torch, the line that asks for the report does.
        paths: Of modules.
        asking: That line; by default the innermost one that is not this package's.

    Example:
        >>> from torch import nn
        >>> homes_of(nn.Linear(2, 2), ["0"], ("train.py", 7))
        {'': ('train.py', 7), '0': ('train.py', 7)}
    """
    found: dict[str, Line] = {}
    for path in {"", *paths}:
        parts = path.split(".") if path else []
        around = (".".join(parts[:end]) for end in range(len(parts), -1, -1))
        home = next((line for each in around if (line := _class_line(model, each)) is not None), asking or _asking())
        found |= {path: home} if home is not None else {}
    return found


def _class_line(model: "nn.Module", path: str) -> Line | None:
    try:
        kind = type(model.get_submodule(path))
        if kind.__module__.partition(".")[0] == "torch":
            return None
        return str(inspect.getsourcefile(kind)), inspect.getsourcelines(kind)[1]
    except (AttributeError, OSError, TypeError):
        return None


def _asking() -> Line | None:
    """Return the innermost line of neither this package nor a wrapper of its functions, if it can be read."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(OWN):
        frame = frame.f_back
    line = (frame.f_code.co_filename, frame.f_lineno) if frame is not None else None
    return line if line is not None and os.path.isfile(line[0]) else None


def _near(path: str) -> str:
    """Name a file from the working folder on where it lies below that, and a module of a library by its package."""
    inside = os.path.relpath(path)
    if not inside.startswith(".."):
        return inside
    _, found, below = path.rpartition("site-packages" + os.sep)
    return below if found else path
