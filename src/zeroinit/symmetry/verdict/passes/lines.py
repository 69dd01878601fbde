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
STEPS = ("zeroinit.integrations.lightning_step", "zeroinit.integrations.trainer_loss", "transformers.trainer")
"""The modules that call what stands for a model's ``forward``: a step or a loss of a Trainer."""


def line_at_hand() -> tuple[Line | None, str, str]:
    """Return the innermost line that is neither torch's nor this package's, up to the call of the model or the loss.

    Returns:
        The line. The method of a class in which it stands, or that calls its function, if that is another one than
        ``forward``; for a step that is no method, the function. The function of ``torch.func`` in between, if there is
        one, or that of ``torch.autograd``, as ``functional.jacobian``.
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
