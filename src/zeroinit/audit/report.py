"""What an audit found: findings, and by which rule each parameter and buffer got its values."""

import textwrap
from dataclasses import dataclass, field
from html import escape

from zeroinit._common import counted
from zeroinit._findings.finding import Finding
from zeroinit._findings.formats import FEWEST, shortened, suggestion_lines, told_once
from zeroinit._findings.lines import Line
from zeroinit._findings.naming import joined, pattern_of, starred
from zeroinit._findings.report import WIDTH, Report

__all__ = ["AuditReport", "Written"]

HEAD = ("parameter", "written by", "at")


@dataclass(frozen=True)
class Written:
    """How a parameter or buffer got its values.

    Attributes:
        name: Its name in the model.
        shape: Its shape.
        is_buffer: Whether it is a buffer.
        rule: The initializer or operation that wrote last; ``"nobody"`` if none did.
        place: The line of the user's code that called the rule.
        num_writes: How many rules wrote all of it, one after the other.
    """

    name: str
    shape: tuple[int, ...]
    is_buffer: bool
    rule: str
    place: str
    num_writes: int


@dataclass(frozen=True, repr=False)
class AuditReport(Report):
    """Whether every parameter was initialized, once, as meant.

    Attributes:
        model: The model's type.
        parameters: Parameters and buffers in the model's order, with the rule that wrote each.
        findings: Warnings first.
        notes: What the reader should know about the audit itself.
        homes: For each module that findings name, by path: where its class begins in the source.
    """

    model: str
    parameters: tuple[Written, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = field(default=())
    homes: dict[str, Line] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """One sentence: is every parameter initialized as meant, and if not, which is not."""
        buffers = sum(each.is_buffer for each in self.parameters)
        if not self.warnings:
            where = counted(len(self.parameters) - buffers, "parameter")
            where += f" and {counted(buffers, 'buffer')}" if buffers else ""
            told = f"No other fault found in {where}: {joined(self.left_out)}."
            return told if self.left_out else f"Initialized: no fault found in {where}."
        wrong = {name for each in self.warnings for name in each.parameters}
        total = len(wrong | {each.name for each in self.parameters})  # ranks may have names of their own
        first = self.warnings[0].message.rstrip(".")
        return f"Not initialized as meant: {len(wrong)} of {total} parameters or buffers. {first}."

    def to_text(self, width: int = WIDTH) -> str:
        """Return the report as text of this many columns; ``str(report)`` has 100. Lines of code may be longer."""
        lines = textwrap.wrap(self.verdict, width, break_on_hyphens=False)
        for each in told_once(self.warnings):
            lines += textwrap.wrap(str(each), width, subsequent_indent="    ", break_on_hyphens=False)
            lines += suggestion_lines(each.suggestion, width)
        lines += _table(self.parameters)
        for each in told_once(each for each in self.findings if each.severity == "info"):
            lines += textwrap.wrap(str(each), width, subsequent_indent="    ", break_on_hyphens=False)
        for note in self.notes:
            lines += textwrap.wrap(f"note: {note}", width)
        lines += [f"more: zeroinit explain {each.code}" for each in self.warnings[:1]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        others = [str(each) for each in told_once(each for each in self.findings if each.severity == "info")]
        repairs = [f"{each} → {each.suggestion}" for each in told_once(self.warnings)]
        lines = "".join(f"<li>{escape(line)}</li>" for line in (*repairs, *others, *self.notes))
        head = "".join(f"<th>{escape(cell)}</th>" for cell in HEAD)
        rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in _rows(self.parameters))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return (
            f'<div class="zeroinit"><p><b>{escape(self.verdict)}</b></p>{f"<ul>{lines}</ul>" if lines else ""}'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def __repr__(self) -> str:
        return f"AuditReport({self.model}, warnings={len(self.warnings)}, {shortened(self.verdict, 90)!r})"


def _rows(parameters: tuple[Written, ...]) -> list[tuple[str, str, str]]:
    """Return name, rule and place; parameters that differ by numbers in their names share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for each in parameters:
        rows.setdefault((starred(each.name), each.rule, each.place), []).append(each.name)
    found = []
    for (_, rule, place), names in rows.items():
        shown = names if len(names) < FEWEST else [f"{pattern_of(names)} ({len(names)} of them)"]
        found += [(name, rule, place) for name in shown]
    return found


def _table(parameters: tuple[Written, ...]) -> list[str]:
    """Return the rules as lines."""
    cells = [HEAD, *((shortened(name, 40), shortened(rule, 28), place) for name, rule, place in _rows(parameters))]
    first, second = (max(len(row[at]) for row in cells) for at in (0, 1))
    room = WIDTH - first - second - 6
    return [f"  {row[0]:<{first}}  {row[1]:<{second}}  {_start(row[2], room)}".rstrip() for row in cells]


def _start(text: str, width: int) -> str:
    """Cut the end of a text that is too long."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
