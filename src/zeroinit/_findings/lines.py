"""Lines of source that findings point to, and the one of the user's that runs now."""

import linecache
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

__all__ = ["Line", "as_location", "line_at_hand", "readable", "written"]

Line = tuple[str, int]
"""A file and the number of a line in it, from 1."""

WIDTH = 72
OTHERS = ("zeroinit.", "torch.", "beartype", "jaxtyping", "contextlib", "copy", "warnings")
"""Whose frames are passed over."""
TRANSFORMS, FUNCTIONAL = "torch._functorch.", "torch.autograd.functional"
INNER = re.compile(r"(\.<locals>\.<\w+>)+$")
"""Comprehensions and lambdas inside of a method."""
ENTRIES = ("zeroinit.symmetry.shadow.objective", "zeroinit.symmetry.shadow.single_pass")
"""The modules that call a model and its loss: beyond them no frame belongs to these."""
STEPS = ("zeroinit.integrations.lightning_step", "zeroinit.integrations.trainer_loss", "transformers.trainer")
"""The modules that call what stands for a model's ``forward``: a step or a loss of a Trainer."""


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


def line_at_hand() -> tuple[Line | None, str, str]:
    """Return the innermost line that is neither torch's nor this package's, up to the call of the model or the loss.

    Returns:
        The line. The method of a class in which it stands or that calls its function; empty for ``forward``. For a step
        that is no method, the function. The function of ``torch.func`` in between, if there is one, or that of
        ``torch.autograd``, as ``functional.jacobian``.
    """
    frame: FrameType | None = sys._getframe(1)
    line: Line | None = None
    through = function = ""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name in ENTRIES or (line is not None and name in STEPS):
            return line, function if name in STEPS else "", through
        if name != "torch" and not name.startswith(OTHERS):
            qualified = INNER.sub("", frame.f_code.co_qualname).rpartition("<locals>.")[2]
            owner, _, method = qualified.rpartition(".")
            line = line or (frame.f_code.co_filename, frame.f_lineno)
            function = function or method.strip("<>")
            if owner.isidentifier() and method.isidentifier():
                return line, "" if method in ("forward", "__call__") else qualified, through
        elif line is None:
            through = frame.f_code.co_name if name.startswith(TRANSFORMS) else through
            through = f"functional.{frame.f_code.co_name}" if name == FUNCTIONAL else through
        frame = frame.f_back
    return line, "", through
