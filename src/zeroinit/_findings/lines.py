"""Lines of source that findings point to."""

import linecache
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Line", "as_location", "readable", "written"]

Line = tuple[str, int]
"""A file and the number of a line in it, from 1."""

WIDTH = 72


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


def _near(path: str) -> str:
    """Name a file from the working folder on where it lies below that, and a module of a library by its package."""
    inside = os.path.relpath(path)
    if not inside.startswith(".."):
        return inside
    _, found, below = path.rpartition("site-packages" + os.sep)
    return below if found else path
