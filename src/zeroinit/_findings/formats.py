"""What reports share: findings as lines, findings that differ by numbers told once, SARIF, and the formats by name."""

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from zeroinit._common import __version__
from zeroinit._findings.codes import CODES
from zeroinit._findings.finding import Finding
from zeroinit._findings.lines import Line, as_location, written
from zeroinit._findings.naming import exact, in_common, pattern_of, starred

__all__ = [
    "FEWEST",
    "FORMATS",
    "line_lines",
    "shortened",
    "starred_in_text",
    "suggestion_lines",
    "to_sarif",
    "told_once",
]

MOST_LINES = 3
FEWEST = 3
"""So many findings or rows that differ by numbers in paths alone are told once."""
IN_PATHS = re.compile(r"(?<=[`.])\d+(?=[.`])|(?<=[a-z_\]]\[)\d+(?=\])")
"""Numbers in the paths of a message, not its counts."""


def shortened(text: str, width: int) -> str:
    """Cut a path in the middle, so that both ends can be read.

    Example:
        >>> shortened("transformer.h.0.attn.c_attn", 15)
        'transfo….c_attn'
    """
    if len(text) <= width:
        return text
    kept = width - 1
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def suggestion_lines(suggestion: str, width: int) -> list[str]:
    """Return what to type, below a finding.

    Example:
        >>> suggestion_lines("Type this.", 80)
        ['    -> Type this.']
    """
    return textwrap.wrap(
        f"-> {suggestion}", width, initial_indent="    ", subsequent_indent="       ", break_on_hyphens=False
    )


def line_lines(findings: Iterable[Finding], width: int) -> list[str]:
    """Return where in the source the cause of some findings stands, below these."""
    found = list(dict.fromkeys(line for each in findings for line in each.lines))
    wrapper = textwrap.TextWrapper(width, "    at ", "       ", break_on_hyphens=False)
    return [line for each in found[:MOST_LINES] for line in wrapper.wrap(written(each))]


def told_once(findings: Iterable[Finding], known: Iterable[str] = ()) -> list[Finding]:
    """Return one finding for many that differ by numbers in paths alone; of frozen modules one for all.

    Args:
        findings: Of a report.
        known: Paths of all modules: where a pattern would hold for others of them, it names the numbers.
    """
    places = set(known)
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for each in findings:
        similar: tuple[str, ...] = (each.code, starred(each.path), starred_in_text(each.message))
        if each.code == "ZI102":
            similar = (f"ZI102 {each.cause}",)
        groups.setdefault(similar, []).append(each)
    kept = []
    for similar, members in groups.items():
        if len(members) < FEWEST:
            kept += members
        elif len(similar) == 1:
            kept.append(
                replace(
                    members[0], path=f"{members[0].path or '(the model itself)'} and {len(members) - 1} more modules"
                )
            )
        else:
            paths = [each.path for each in members]
            pattern, path = pattern_of(paths), exact(paths, places)
            kept.append(
                replace(
                    members[0],
                    path=f"{path} ({len(members)} of them)",
                    parameters=tuple(name for each in members for name in each.parameters),
                    message=_once(in_common((each.message for each in members), IN_PATHS)).replace(pattern, path),
                    suggestion=_typed_once([each.suggestion for each in members]),
                    cause=members[0].cause if len({each.cause for each in members}) == 1 else "",
                )
            )
    return kept


def _typed_once(suggestions: list[str]) -> str:
    """Return what to type for several places: for the first one, if a line of code would hold a star."""
    starred = _once(in_common(suggestions, IN_PATHS))
    return starred if "[*]" not in starred else f"{suggestions[0]} Do the same for the other {len(suggestions) - 1}."


def starred_in_text(text: str) -> str:
    """Replace the numbers in the paths of a message.

    Example:
        >>> starred_in_text("3 units of `blocks.11.dense` and `4.weight` at step 1: `model[2].w`")
        '3 units of `blocks.*.dense` and `*.weight` at step 1: `model[*].w`'
    """
    return _once(IN_PATHS.sub("*", text))


def _once(text: str) -> str:
    """Name what is listed several times once."""
    return re.sub(r"(`[^`]+`)(?:(?:, | and )\1)+", r"\1", text)


def _location(finding: Finding, homes: Mapping[str, Line]) -> dict[str, Any]:
    place: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": finding.path or "model", "kind": "member"}]}
    line = next(iter(finding.lines), homes.get(finding.path, homes.get("")))
    return place | ({"physicalLocation": as_location(line)} if line is not None else {})


def to_sarif(findings: Iterable[Finding], homes: Mapping[str, Line]) -> dict[str, Any]:
    """Return the findings as a SARIF 2.1.0 log; a module is a logical location, a line of source a physical one.

    Args:
        findings: Of a report.
        homes: A line for each path, and for ``""``; code hosts refuse results without one.

    Source:
        OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
    """
    rules = [
        {
            "id": code,
            "shortDescription": {"text": entry.title},
            "help": {"text": f"{entry.suggestion} More: `zeroinit explain {code}`."},
        }
        for code, entry in CODES.items()
    ]
    results = [
        {
            "ruleId": each.code,
            "level": "warning" if each.severity == "warning" else "note",
            "message": {"text": f"{each.message} {each.suggestion}".strip()},
            "locations": [_location(each, homes)],
        }
        for each in findings
    ]
    driver = {"name": "zeroinit", "version": __version__, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


FORMATS: dict[str, Callable] = {
    "table": str,
    "json": lambda report: json.dumps(report.to_dict(), indent=2, allow_nan=False),
    "sarif": lambda report: json.dumps(report.to_sarif(), indent=2, allow_nan=False),
}
"""What the command line prints, by name."""
