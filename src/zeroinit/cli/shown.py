"""How a report leaves the command line: chosen findings, a format, an exit code."""

from pathlib import Path

import typer

from zeroinit._common import InputError, counted, lookup
from zeroinit._findings.choosing import check_choice, choose, known_codes, without_known, write_baseline
from zeroinit._findings.codes import CODES
from zeroinit._findings.formats import FORMATS
from zeroinit._findings.report import WIDTH, Report
from zeroinit.cli.app import err, out

__all__ = ["check_codes", "show"]


def show(
    report: Report, style: str, strict: bool, select: str, ignore: str, baseline: Path | None, write_to: Path | None
) -> None:
    """Print a report. The arguments are the options of ``inspect`` and ``audit``."""
    write = lookup(FORMATS, style, "format")
    report = choose(report, _codes(select), _codes(ignore))
    left = report if baseline is None else without_known(report, baseline)
    if write_to is not None:  # last of all: a command that fails writes nothing
        write_baseline(report, write_to)
        num = counted(len(report.warnings), "place")  # one cause may have several
        err.print(f"{num} with a warning written to {write_to}", markup=False, soft_wrap=True)
    width = min(out.width, WIDTH) if out.is_terminal else WIDTH
    text = left.to_text(width) if style == "table" else write(left)
    out.print(text, markup=False, highlight=False, soft_wrap=True)
    if strict and left.warnings:
        raise typer.Exit(1)


def check_codes(select: str, ignore: str, command: str) -> None:
    """Refuse codes that are none, that a command never gives, or that leave nothing, before it runs.

    Args:
        select: The option.
        ignore: The option.
        command: ``"inspect"`` or ``"audit"``.

    Raises:
        InputError: It is so.

    Example:
        >>> check_codes("ZI201", "", "audit")
    """
    check_choice(_codes(select), _codes(ignore))
    for code in known_codes(_codes(select), "select"):
        owners = {"audit" if each.startswith("ZI2") else "inspect" for each in CODES if each.startswith(code)}
        if command not in owners:
            raise InputError(f"select={code!r}: {command} never gives this code; `zeroinit {owners.pop()}` does")


def _codes(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
