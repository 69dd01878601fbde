"""What every report has: findings, warnings among them, plain data, SARIF."""

from dataclasses import asdict
from typing import Any, ClassVar

from zeroinit._common import jsonable
from zeroinit._findings.finding import Finding
from zeroinit._findings.formats import to_sarif
from zeroinit._findings.lines import Line

__all__ = ["WIDTH", "Report"]

WIDTH = 100
"""Columns of a report as text."""


class Report:
    """The base of reports, which are frozen dataclasses.

    Attributes:
        findings: Warnings first.
        notes: What the reader should know about the report itself.
        homes: Where the classes of the modules that findings name begin, by path.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    homes: dict[str, Line]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that keep the model from learning as it should."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def left_out(self) -> tuple[str, ...]:
        """The notes on warnings that ``choose`` or a baseline left out."""
        return tuple(note for note in self.notes if note.endswith((" left out", " left out by code")))

    def to_text(self, width: int = WIDTH) -> str:
        """Return the report as text of this many columns; ``str(report)`` has 100. Lines of code may be longer."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.to_text()

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, strings and numbers, ready for JSON; what is not finite is ``None``."""
        return jsonable({name: each for name, each in asdict(self).items() if name != "homes"})

    def to_sarif(self) -> dict[str, Any]:
        """Return the findings as a SARIF 2.1.0 log."""
        return to_sarif(self.findings, self.homes)
