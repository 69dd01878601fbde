"""The tables of the pages of boards, and the files of each network, from the stored runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zeroinit.bench.catalogue.boards import BOARDS
from zeroinit.bench.comparison.board import folder_of, read_board, stored_tasks, verdict_on
from zeroinit.bench.comparison.formats import percent, points
from zeroinit.bench.comparison.results import Comparison, Row, judge, with_rounding
from zeroinit.bench.stats import mean_interval
from zeroinit.bench.store import Store

__all__ = ["blocks", "save", "statements"]

WITH_TABLES = ("initbench", "transformers")
"""Boards whose networks each have a table and files; the ledger has one row a network."""

SCRIPTS = ("lora_sides", "merging_units", "all_zero")
"""Benchmarks that decide statements about networks that ``compare`` does not train."""

MARGIN = 0.01

AT_END = r"\*: the best rate is at the end of the extended grid."

Board = Mapping[str, Comparison | None]


def blocks(store: Store) -> dict[str, str]:
    """Return the content of each board's block, by the board's name."""
    found = {name: _tables(name, read_board(name, store), store) for name in WITH_TABLES}
    return found | {"headlines": _headlines(read_board("headlines", store))}


def save(store: Store, folder: Path) -> None:
    """Write the table of each network in every format, and its drawing, into a folder of the board."""
    for name in WITH_TABLES:
        for title, comparison in read_board(name, store).items():
            if comparison is not None:
                print(comparison.save(folder / name / folder_of(title)))


def _tables(name: str, board: Board, store: Store) -> str:
    done = {title: comparison for title, comparison in board.items() if comparison is not None}
    missing = [title for title in board if title not in done]
    hours = {title: _hours(comparison, store) for title, comparison in done.items()}
    lines = [_overview(done), ""] if done else []
    if len(done) > 1:
        lines += [
            f"The runs of these networks took {sum(hours.values()):.1f} hours in one process, on a busy machine.",
            "",
        ]
    if missing:
        lines += [f"Not run yet: {', '.join(missing)}.", ""]
    for title, comparison in done.items():
        folder = f"{name}/{folder_of(title)}"
        files = ", ".join(f"[{form}]({folder}/comparison.{form})" for form in ("csv", "tex", "bib", "json"))
        image = f"![{title}: test accuracy minus PyTorch's default]({folder}/differences.svg)"
        lines += [f"### {title}", "", image, "", *_details(comparison), ""]
        lines += [
            f"All runs took {hours[title]:.1f} hours in one process, on a busy machine. The table as {files}.",
            "",
        ]
    return "\n".join(lines).rstrip()


def _hours(comparison: Comparison, store: Store) -> float:
    tasks = stored_tasks(comparison.protocol, store)
    return sum(store.load(task.run, task.seed).seconds for task in tasks) / 3600


def _overview(done: Mapping[str, Comparison]) -> str:
    entries = list(dict.fromkeys(row.entry for comparison in done.values() for row in comparison.rows))
    cells = []
    for entry in entries:
        rows = [_row(comparison, entry) for comparison in done.values()]
        cells.append([f"`{entry}`", *("–" if row is None else _cell(row) for row in rows)])
    return "\n".join(_table(["test accuracy in %", *done], cells))


def _row(comparison: Comparison, entry: str) -> Row | None:
    return next((row for row in comparison.rows if row.entry == entry), None)


def _cell(row: Row) -> str:
    return f"{percent(row.accuracy)}{f', {row.verdict}' if row.verdict else ''}"


def _details(comparison: Comparison) -> list[str]:
    header = ["entry", "rate", "accuracy, %", "difference, points", "p", "verdict", "target at epoch", "diverged"]
    cells = []
    for row in comparison.rows:
        epoch = "never" if row.first_epoch == float("inf") else f"{row.first_epoch:g}"
        more = f"; about {row.more_seeds} more seeds would decide it" if row.more_seeds else ""
        cells.append(
            [
                *(f"`{row.entry}`", f"{row.rate:g}{'*' if row.is_at_end else ''}", percent(row.accuracy)),
                points(row.difference) or "reference",
                "" if row.difference is None else _p(row.p_value),
                *(f"{row.verdict}{more}" or "reference", epoch, str(row.num_diverged)),
            ]
        )
    lines = _table(header, cells)
    if any(row.is_at_end for row in comparison.rows):
        lines += ["", AT_END]
    return lines


def _headlines(board: Board) -> str:
    cells, is_at_end = [], False
    for title, track in BOARDS["headlines"].tracks.items():
        headline, comparison = track.headline, board[title]
        assert headline is not None
        result = ["not run", "", "", "", ""]
        if comparison is not None:
            reference, row = comparison.rows
            against = " against ".join(f"{percent(each.accuracy)}{'*' * each.is_at_end}" for each in (row, reference))
            is_at_end |= row.is_at_end or reference.is_at_end
            said = _said(headline.holds, row.verdict, row.verdict, row.more_seeds)
            p_value = _p(row.p_equivalent if row.verdict == "as good" else row.p_value)
            result = [said, against, points(row.difference), p_value]
            result.append(str(len(row.accuracies)))
        cells.append([f"{headline.statement.rstrip('.')} ({headline.source})", *result])
    lines = _table(["statement", "here", "accuracy, %", "difference, points", "p", "seeds"], cells)
    return "\n".join([*lines, *(["", AT_END] if is_at_end else [])])


def statements(folder: Path) -> str:
    """Return the table of the statements that scripts decide, from their stored results in a folder."""
    cells = []
    for script in SCRIPTS:
        path = folder / f"{script}.json"
        for found in json.loads(path.read_text(encoding="utf-8"))["statements"] if path.exists() else ():
            entry, reference = found["entry"], found["reference"]
            gaps = with_rounding(np.subtract(entry["shares"], reference["shares"]), 1 / found["num_items"])
            [(p_value, p_equivalent, verdict, more_seeds)] = judge([gaps], [1], MARGIN)
            word = {"better": "higher", "worse": "lower"}.get(verdict, verdict)
            cells.append(
                [
                    f"{found['statement']} ({found['source']})",
                    _said(found["holds"], verdict, word, more_seeds),
                    " against ".join(percent(mean_interval(each["shares"])) for each in (entry, reference)),
                    points(mean_interval(gaps)),
                    _p(p_equivalent if verdict == "as good" else p_value),
                    str(len(gaps)),
                ]
            )
    header = ["statement", "here", "accuracy or merged pairs, %", "difference, points", "p", "seeds"]
    return "\n".join(_table(header, cells)) if cells else "Not run yet."


def _said(holds: Sequence[str], verdict: str, word: str, more_seeds: int | None) -> str:
    """Write what a verdict says about a statement: "holds (better)"."""
    more = f"about {more_seeds} more seeds would decide it" if more_seeds else "no reasonable number would decide it"
    said = verdict_on(holds, verdict)
    return f"**{said}** ({more if said == 'undecided' else word})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _table(header: list[str], cells: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells)]
