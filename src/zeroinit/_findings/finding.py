"""One thing to know: its code, the place, the reason, the repair."""

from dataclasses import dataclass

from zeroinit._findings.codes import CODES
from zeroinit._findings.lines import Line

__all__ = ["Finding", "finding"]


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        code: Stable, as ``"ZI001"``; see ``CODES``.
        severity: ``"warning"`` for what keeps the model from learning as it should, else ``"info"``.
        path: The module; ``""`` is the model itself.
        parameters: The parameters concerned.
        message: What is the matter, in plain words.
        suggestion: What to do about it.
        cause: The same for all findings with one cause; empty where each stands for itself.
        lines: Where the cause stands in the source, as ``("/home/ann/model.py", 12)``; empty where that is not
            known.
    """

    code: str
    severity: str
    path: str
    parameters: tuple[str, ...]
    message: str
    suggestion: str
    cause: str = ""
    lines: tuple[Line, ...] = ()

    def __str__(self) -> str:
        return f"{self.code} {self.severity} {self.path or '(the model itself)'}: {self.message}"


def finding(
    code: str,
    path: str,
    parameters: tuple[str, ...] | list[str],
    message: str,
    repair: str = "",
    cause: str = "",
    lines: tuple[Line, ...] = (),
) -> Finding:
    """Make a finding, with the severity of its code and, unless there is another, what the code suggests."""
    entry = CODES[code]
    return Finding(code, entry.severity, path, tuple(parameters), message, repair or entry.suggestion, cause, lines)
