"""How a report leaves the command line: chosen findings, a format, an exit code."""

from pathlib import Path

import typer

from zeroinit._common import lookup
from zeroinit._findings.choosing import choose, without_known, write_baseline
from zeroinit._findings.formats import FORMATS
from zeroinit._findings.report import Report
from zeroinit.cli.app import out

__all__ = ["show"]


def show(
    report: Report, style: str, strict: bool, select: str, ignore: str, baseline: Path | None, write_to: Path | None
) -> None:
    """Print a report. The arguments are the options of ``inspect`` and ``audit``."""
    write = lookup(FORMATS, style, "format")
    report = choose(report, _codes(select), _codes(ignore))
    left = report if baseline is None else without_known(report, baseline)
    if write_to is not None:  # last of all: a command that fails writes nothing
        write_baseline(report, write_to)
    out.print(write(left), markup=False, highlight=False, soft_wrap=True)
    if strict and left.warnings:
        raise typer.Exit(1)


def _codes(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
