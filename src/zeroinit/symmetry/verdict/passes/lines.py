"""In which line of the user's code an operation was called."""

import re
import sys
from types import FrameType

from zeroinit._findings.lines import Line

__all__ = ["line_at_hand"]

OTHERS = ("zeroinit.", "torch.", "beartype", "jaxtyping", "contextlib", "copy")
"""Whose frames are passed over."""
TRANSFORMS, FUNCTIONAL = "torch._functorch.", "torch.autograd.functional"
INNER = re.compile(r"(\.<locals>\.<\w+>)+$")
"""Comprehensions and lambdas inside of a method."""
ENTRIES = ("zeroinit.symmetry.shadow.objective", "zeroinit.symmetry.shadow.single_pass")
"""The modules that call a model and its loss: beyond them no frame belongs to these."""


def line_at_hand() -> tuple[Line | None, str, str]:
    """Return the innermost line that is neither torch's nor this package's, up to the call of the model or the loss.

    Returns:
        The line. The method of a class in which it stands, if that is another one than ``forward``. The function of
        ``torch.func`` in between, if there is one, or that of ``torch.autograd``, as ``functional.jacobian``.
    """
    frame: FrameType | None = sys._getframe(1)
    through = ""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name in ENTRIES:
            return None, "", ""
        if name != "torch" and not name.startswith(OTHERS):
            name = INNER.sub("", frame.f_code.co_qualname)
            owner, _, method = name.rpartition("<locals>.")[2].rpartition(".")
            known = owner.isidentifier() and method.isidentifier() and method not in ("forward", "__call__")
            return (frame.f_code.co_filename, frame.f_lineno), f"{owner}.{method}" if known else "", through
        through = frame.f_code.co_name if name.startswith(TRANSFORMS) else through
        through = f"functional.{frame.f_code.co_name}" if name == FUNCTIONAL else through
        frame = frame.f_back
    return None, "", ""
