"""In which line of the user's code an operation was called."""

import sys
from types import FrameType

from zeroinit._findings.lines import Line

__all__ = ["line_at_hand"]

OTHERS = ("zeroinit.", "torch.", "beartype", "jaxtyping", "contextlib", "copy")
"""Whose frames are passed over."""
ENTRIES = ("zeroinit.symmetry.shadow.objective", "zeroinit.symmetry.shadow.single_pass")
"""The modules that call a model and its loss: beyond them no frame belongs to these."""


def line_at_hand() -> Line | None:
    """Return the innermost line that is neither torch's nor this package's, up to the call of the model or the loss."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name in ENTRIES:
            return None
        if name != "torch" and not name.startswith(OTHERS):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None
