"""Which findings count: by code, and without those that a baseline file knows already."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from zeroinit._common import InputError, closest, counted, write_atomically
from zeroinit._findings.codes import CODES, meant
from zeroinit._findings.finding import Finding
from zeroinit._findings.report import Report

__all__ = ["check_choice", "choose", "known_codes", "without_known", "write_baseline"]

FORMAT = 1


Kind = TypeVar("Kind", bound=Report)


def choose(report: Kind, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> Kind:
    """Return a report with the findings of some codes only.

    Args:
        report: What ``inspect`` or ``audit`` returned.
        select: Codes, or what they start with, as ``"ZI0"`` for all warnings; all codes if there is none.
        ignore: The same for codes to leave out; it wins over ``select``.

    Raises:
        InputError: No code starts like that, or none is left.

    Example:
        >>> from torch import nn, ones
        >>> from zeroinit.symmetry import inspect
        >>> report = inspect(nn.Linear(2, 2).requires_grad_(True), ones(4, 2) * 2)
        >>> choose(report, ignore=["ZI"]).findings
        ()
    """
    chosen, left_out = check_choice(select, ignore)
    kept = [
        each
        for each in report.findings
        if (not chosen or each.code.startswith(chosen)) and not (left_out and each.code.startswith(left_out))
    ]
    hidden = len(report.warnings) - sum(each.severity == "warning" for each in kept)
    notes = [f"{counted(hidden, 'warning')} left out by code"] if hidden else []
    return replace(report, findings=tuple(kept), notes=(*report.notes, *notes))


def check_choice(select: Iterable[str], ignore: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the codes of ``choose``, checked.

    Raises:
        InputError: As ``choose``.
    """
    chosen, left_out = known_codes(select, "select"), known_codes(ignore, "ignore")
    if chosen and left_out and all(each.startswith(left_out) for each in CODES if each.startswith(chosen)):
        raise InputError(
            f"select={','.join(chosen)!r}: ignore={','.join(left_out)!r} leaves none of these codes; leave one out"
        )
    return chosen, left_out


def known_codes(starts: Iterable[str], argument: str) -> tuple[str, ...]:
    """Return codes, or what they start with, in capitals; refuse what no code starts with.

    Args:
        starts: As handed over: a list, or a text with commas as on the command line; also in lower case.
        argument: How the caller's user knows them.

    Raises:
        InputError: No code starts like that.

    Example:
        >>> known_codes(["ZI0", "zi201"], "ignore")
        ('ZI0', 'ZI201')
    """
    if not isinstance(starts, Iterable):
        raise InputError(f"{argument}={starts!r}: must be a list of codes, such as ['ZI006']")
    given = tuple(each.strip() for each in starts.split(",")) if isinstance(starts, str) else tuple(starts)
    for each in given:
        if not isinstance(each, str):
            raise InputError(f"{argument}={each!r}: must be a code, such as 'ZI006'")
        if not each or not any(code.startswith(each.upper()) for code in CODES):
            near = closest(meant(each), CODES, "`zeroinit explain` lists all codes")
            raise InputError(f"{argument}={each!r}: no code starts like this{near}")
    return tuple(each.upper() for each in given)


def write_baseline(report: Report, path: Path) -> None:
    """Write the warnings of a report to a file, so that later reports leave them out.

    Args:
        report: Whose warnings are known from now on.
        path: A JSON file.

    Raises:
        InputError: It cannot be written.
    """
    known = sorted({_place(each) for each in report.warnings})
    content = {"format": FORMAT, "findings": [{"code": code, "path": where} for code, where in known]}
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def without_known(report: Kind, path: Path) -> Kind:
    """Return a report without the warnings that a file of ``write_baseline`` holds; a note says how many those are.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    known = _read(path)
    left = [each for each in report.findings if each.severity != "warning" or _place(each) not in known]
    hidden = len(report.findings) - len(left)
    gone = len(known - {_place(each) for each in report.warnings})
    notes = [f"{counted(hidden, 'known warning')} of {path} left out"] if hidden else []
    notes += [f"{counted(gone, 'known warning')} of {path} not seen any more"] if gone else []
    return replace(report, findings=tuple(left), notes=(*report.notes, *notes))


def _place(finding: Finding) -> tuple[str, str]:
    return finding.code, finding.path


def _read(path: Path) -> set[tuple[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"baseline={str(path)!r}: there is no such file; write it with --write-baseline") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"baseline={str(path)!r}: cannot be read ({type(error).__name__}: {error}); write one with --write-baseline"
        ) from error
    try:
        return {(str(each["code"]), str(each["path"])) for each in content["findings"]}
    except (KeyError, TypeError):
        raise InputError(
            f"baseline={str(path)!r}: holds no findings with code and path; write one with --write-baseline"
        ) from None
