"""A report as text and as HTML."""

import os
import re
import textwrap
from html import escape
from typing import TYPE_CHECKING

from zeroinit._findings.finding import Finding
from zeroinit._findings.formats import FEWEST, line_lines, shortened, suggestion_lines, told_once
from zeroinit._findings.naming import NUMBERS, few, pattern_of
from zeroinit.symmetry.verdict.report.parts import LayerReport
from zeroinit.symmetry.verdict.report.sentence import by_cause, learns_on, of_units

if TYPE_CHECKING:
    from zeroinit.symmetry.verdict.report.report import SymmetryReport  # for checkers alone: the report calls this file

__all__ = ["layer_rows", "to_html", "to_text"]

HEAD = ("layer", "type", "gradient", "units", "distinct", "broken by")
NEVER, STILL = " never get", ("ZI018", "ZI020", "ZI022", "ZI109", "ZI111", "ZI113")
NAME_WIDTH, TYPE_WIDTH, SHORT_TYPE, MOST_INFOS = 24, 22, 12, 6


def layer_rows(report: "SymmetryReport") -> list[tuple[str, ...]]:
    """Return the cells of the table of layers with two or more axes; layers that are similar share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    frozen = _frozen(report)
    for layer in report.layers:
        if not layer.is_matrix or layer.weight in frozen:
            continue
        first = "never" if layer.first_gradient_step is None else f"step {layer.first_gradient_step}"
        width = f"{layer.num_distinct_units}" + (f" ({layer.dead} dead)" if layer.dead else "")
        cells = (layer.kind, first, f"{layer.num_units}", width, layer.source or "nothing")
        path, of, axis = _name(layer).partition(" axis ")
        rows.setdefault((NUMBERS.sub("*", path) + of + axis, *cells), []).append(_name(layer))
    return [row for (_, *cells), names in rows.items() for row in _merged(tuple(cells), names)]


def _frozen(report: "SymmetryReport") -> set[str]:
    return {each.name for each in report.parameters if each.reason == "frozen"}


def _merged(cells: tuple[str, ...], names: list[str]) -> list[tuple[str, ...]]:
    """Return one row for many layers that differ by a number in their path alone, else one for each."""
    if len(names) < FEWEST:
        return [(name, *cells) for name in names]
    return [(f"{pattern_of(names)} ({len(names)} of them)", *cells)]


def _name(layer: LayerReport) -> str:
    if layer.unit.startswith("slices"):
        return f"{layer.weight.replace('parametrizations.', '')} {layer.unit.removeprefix('slices of ')}"
    return layer.path or "(the model itself)"


def to_text(report: "SymmetryReport", width: int) -> str:
    """Return a report as lines of at most ``width`` characters: verdict, causes, layers, information, checks."""
    lines = textwrap.wrap(report.verdict, width)
    lines += _warning_lines(report, width)
    told = [line.split()[0] for line in lines if re.match(r"ZI\d+ warning", line)]
    lines += textwrap.wrap(_headline(report), width)
    lines += _table_lines(report, width)
    lines += _info_lines(report, width)
    for name, reason in report.not_inspected.items():
        lines += textwrap.wrap(f"not inspected: {name}: {reason}", width)
    for note in report.notes:
        lines += textwrap.wrap(f"note: {note}", width)
    for each in report.checks:
        mark = "ok" if each.passed else "--"
        lines += textwrap.wrap(f"{mark} {each.name}: {each.result}", width, subsequent_indent="   ")
    lines += [f"more: zeroinit explain {code}" for code in told[:1]]
    return "\n".join(lines)


def _table_lines(report: "SymmetryReport", width: int) -> list[str]:
    lines = []
    rows, head = _fitted(layer_rows(report), width)
    if rows:
        widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
        for row in [head, *rows]:
            cells = [
                f"{cell:>{size}}" if at in (3, 4) else f"{cell:<{size}}"
                for at, (cell, size) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append(shortened(f"  {'  '.join(cells)}".rstrip(), width))
    if frozen := sum(layer.is_matrix and layer.weight in _frozen(report) for layer in report.layers):
        lines.append(f"  ({_count(frozen, 'frozen layer')} not shown)")
    return lines


def _fitted(rows: list[tuple[str, ...]], width: int) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Make the first two columns fit; where paths are long, the start that all share moves into the heading."""
    rows, head = [(row[0], shortened(row[1], TYPE_WIDTH), *row[2:]) for row in rows], HEAD
    if not rows:
        return rows, head
    room = _room(rows, head, width)
    if any(len(row[0]) > room for row in rows):
        rows = [(row[0], shortened(row[1], SHORT_TYPE), *row[2:]) for row in rows]
        room = _room(rows, head, width)
    shared = os.path.commonprefix([row[0] for row in rows]).rpartition(".")[0]  # noqa: RUF071, of names
    if shared and any(len(row[0]) > room for row in rows):
        head = (shortened(f"layer in {shared}", room), *head[1:])
        rows = [(row[0].removeprefix(f"{shared}."), *row[1:]) for row in rows]
    return [(_ending(row[0], room), *row[1:]) for row in rows], head


def _room(rows: list[tuple[str, ...]], head: tuple[str, ...], width: int) -> int:
    """Return how many characters the other columns leave for the names."""
    others = sum(max(len(row[at]) for row in [head, *rows]) + 2 for at in range(1, len(head)))
    return max(width - others - 2, NAME_WIDTH)


def _ending(text: str, width: int) -> str:
    """Cut a path at its start, since layers differ at the end.

    Example:
        >>> _ending("encoder.layers.0.q_proj.lora_A", 18)
        '…s.0.q_proj.lora_A'
    """
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _headline(report: "SymmetryReport") -> str:
    trained = [each for each in report.parameters if each.reason != "frozen"]
    stuck = {name for each in report.findings if each.code in STILL for name in each.parameters}
    if any(each.code == "ZI013" and not learns_on(each) for each in report.warnings):
        stuck = {each.name for each in trained}
    learning = sum(each.first_gradient_step is not None and each.name not in stuck for each in trained)
    causes = by_cause(told_once(report.warnings))
    return (
        f"{report.model}: {_count(len(causes), 'warning')}; {learning} of {len(trained)} parameters learn "
        f"within {_count(report.num_steps, 'step')} ({report.optimizer}, {report.loss})"
    )


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def _warning_lines(report: "SymmetryReport", width: int) -> list[str]:
    """One paragraph for each cause: where, what happens and why, what to type."""
    lines: list[str] = []
    for members in by_cause(told_once(report.warnings, _paths(report))):
        first, names = members[0], list(dict.fromkeys(name for each in members for name in each.parameters))
        text = str(first)
        if len(members) > 1:
            paths = list(dict.fromkeys(each.path or "(the model itself)" for each in members))
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            text = f"{first.code} warning {paths[0]}{more}: {_of_all(first, names)}"
        lines += textwrap.wrap(text, width, subsequent_indent="    ", break_on_hyphens=False)
        lines += line_lines(members, width)
        lines += suggestion_lines(first.suggestion, width)
        lines += _other_members(members, width)
    return lines


def _paths(report: "SymmetryReport") -> set[str]:
    return {each.path for each in report.parameters}


def _other_members(members: list["Finding"], width: int) -> list[str]:
    """Tell what else happens by the same cause, where the first paragraph does not name it."""
    first, lines = members[0], []
    told = {_without_names(first)}
    for each in members[1:]:
        if _without_names(each) not in told and not (NEVER in first.message and NEVER in each.message):
            told.add(_without_names(each))
            text = f"also {each.code} {each.path or '(the model itself)'}: {each.message}"
            lines += textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return lines


def _without_names(finding: Finding) -> str:
    """Return a message without names and numbers, to see whether two say the same."""
    return re.sub(r"`[^`]*`(?:, | and )?|\d+( more| times)?|\bgets?\b|[() ]", "", finding.message)


def _of_all(first: Finding, names: list[str]) -> str:
    """Put all names of one cause into the message of the first finding."""
    _, verb, rest = first.message.partition(NEVER)
    if not verb or of_units(first) or first.message.startswith(few(names)):
        return first.message
    return f"{few(names)} never get{rest.removeprefix('s') if len(names) > 1 else rest}"


def _info_lines(report: "SymmetryReport", width: int) -> list[str]:
    infos = [each for each in told_once(report.findings, _paths(report)) if each.severity == "info"]
    lines = []
    for members in by_cause(infos)[:MOST_INFOS]:
        paths = list(dict.fromkeys(each.path or "(the model itself)" for each in members))
        text = str(members[0])
        if len(paths) > 1:
            text = f"{members[0].code} info {paths[0]} and {len(paths) - 1} more: {_without_effect(members)}"
        lines += textwrap.wrap(text, width, subsequent_indent="    ", break_on_hyphens=False)
    if len(by_cause(infos)) > MOST_INFOS:
        lines.append(f"... and {len(by_cause(infos)) - MOST_INFOS} more of severity info, in .findings")
    return lines


def _without_effect(members: list[Finding]) -> str:
    """Name all parameters without effect in the first message; other messages stay as they are."""
    first, names = members[0], list(dict.fromkeys(name for each in members for name in each.parameters))
    if len(names) < 2 or not first.message.endswith("has no effect. The loss is the same whatever its value."):
        return first.message
    return f"{few(names)} have no effect. The loss is the same whatever their values."


def to_html(report: "SymmetryReport") -> str:
    """Return a fragment with the same content as the text, every name escaped."""
    head = "".join(f"<th>{cell}</th>" for cell in HEAD)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in layer_rows(report))
    findings = "".join(
        f'<li class="{escape(each.severity)}"><b>{escape(each.code)}</b> <code>{escape(each.path)}</code>: '
        f"{escape(each.message)} <i>{escape(each.suggestion)}</i></li>"
        for each in report.findings
    )
    left = "".join(
        f"<li>not inspected: <code>{escape(name)}</code>: {escape(reason)}</li>"
        for name, reason in report.not_inspected.items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        f'<section class="symmetry"><p><b>{escape(report.verdict)}</b></p><p>{escape(_headline(report))}</p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<ul>{findings}{left}{notes}</ul></section>"
    )
