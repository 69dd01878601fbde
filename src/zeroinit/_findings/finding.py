"""One thing to know: its code, the place, the reason, the repair."""

from dataclasses import dataclass

from zeroinit._findings.codes import CODES
from zeroinit._findings.lines import Line

__all__ = ["Finding", "finding"]


@dataclass(frozen=True)
class Finding:
    """One entry of a report of ``inspect`` or ``audit``: a code, a place, a reason, a repair.

    Attributes:
        code: A code that never changes its meaning, such as ``"ZI001"``; see ``CODES``.
        severity: ``"warning"`` if the model does not learn or start as it should, else ``"info"``.
        path: The module; ``""`` is the model itself.
        parameters: The parameters concerned.
        message: What happens and why.
        suggestion: What to do.
        cause: Equal for all findings that have one cause; empty if a finding has its own.
        lines: Where the cause stands in the source, such as ``("/home/ann/model.py", 12)``; empty if unknown.
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
