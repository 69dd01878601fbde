"""Tables and words that commands print."""

import textwrap
import webbrowser
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from zeroinit._common import counted
from zeroinit.cli.app import err, out

__all__ = ["print_estimate", "print_outcome", "print_unsent"]


def print_outcome(report, folder: Path, *, with_claims: bool = False, open_it: bool = False) -> None:
    """Print what came out: each start with its accuracy and first gradients, what that says, where the report lies."""
    from zeroinit.bench.reporting.outcome import outcome_rows

    out.print(report.title, style="bold", highlight=False, markup=False)
    for summary in report.summaries:
        if rows := outcome_rows(summary):
            _print_rows(f"{summary.figure.name}: {_title(summary)}", rows)
    out.print()
    for sentence in report.sentences:
        for line in textwrap.wrap(sentence.replace(" %", "\u00a0%").replace("± ", "±\u00a0"), min(out.width, 80)):
            out.print(line.replace("\u00a0", " "), highlight=False, markup=False)
    if with_claims:
        _print_claims(report)
    verdicts = [decision.word for decisions in report.decisions.values() for decision in decisions]
    if verdicts and not with_claims:
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        out.print(f"claims: {counts} (--claims lists them)", highlight=False)
    for summary in report.summaries:
        if summary.absent:
            err.print(f"not run: {', '.join(summary.absent)}", markup=False, highlight=False, soft_wrap=True)
    for problem in report.problems:
        err.print(f"left out: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if report.num_unchecked:
        stored = counted(report.num_unchecked, "result")
        err.print(
            f"note: {stored} of an older version without a checksum; damage to them does not show", soft_wrap=True
        )
    page = folder / "index.html"
    out.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
    if open_it and not webbrowser.open(page.resolve().as_uri()):
        err.print(f"no browser was found; open {page} yourself", markup=False, highlight=False, soft_wrap=True)


def _title(summary) -> str:
    """Return a figure's title; where its runs are on small digits, the data set of the paper is not named."""
    title = summary.figure.title
    on_digits = all(curve.curve.run.dataset == "digits" for curve in summary.curves)
    return title.partition(": ")[2].capitalize() if on_digits and title.startswith(("MNIST", "CIFAR-10")) else title


def _print_rows(title: str, rows) -> None:
    """Print one row per start; a column that would be empty, or say the same in every row, is left out."""
    counts = {row.num_seeds for row in rows}
    is_same = len(counts) == 1
    seeds = f" ({'one seed' if counts == {1} else f'{rows[0].num_seeds} seeds'})" if is_same else ""
    columns = {
        "start": [row.label for row in rows],
        "accuracy": [row.accuracy for row in rows],
        "first gradients at steps, first layer first": [row.steps for row in rows],
        "seeds": [] if is_same else [str(row.num_seeds) for row in rows],
    }
    shown = {heading: texts for heading, texts in columns.items() if any(texts)}
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in shown:
        table.add_column(heading, no_wrap=heading == "accuracy", justify="right" if heading == "seeds" else "left")
    for texts in zip(*shown.values(), strict=True):
        table.add_row(*(escape(text) for text in texts))
    out.print(f"\n{title}{seeds}", highlight=False, markup=False)
    out.print(table)


def _print_claims(report) -> None:
    """Print the verdicts as a table."""
    colors = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "not run": "dim"}
    table = Table("statement", "numbers", "verdict", "difference ± 95 %")
    for decision in (each for decisions in report.decisions.values() for each in decisions):
        table.add_row(
            escape(f"{decision.claim.id.split('-')[0]} {decision.claim.statement}"),
            escape(decision.numbers),
            f"[{colors[decision.verdict]}]{decision.word}[/]",
            escape(decision.difference if decision.shares else ""),
        )
    if table.row_count:
        out.print(table)


def print_estimate(plan, results: Path | str) -> None:
    """Print the runs that are left as a table, then the time of all runs and its accuracy."""
    from zeroinit.bench.progress import format_duration, partly

    stored = f"{partly(plan.num_stored, plan.num_stored + plan.num_runs)} stored already in {results}"
    if not plan.rows:
        out.print(f"nothing to run: {stored}", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(
        "curve",
        "network",
        title="Runs, in this order; FLOPs and time of each",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("epochs", "runs", "FLOPs", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in plan.rows:
        mark = "*" if row.is_extrapolated else " "
        numbers = (str(row.run.epochs), str(row.num_seeds), f"{row.flops:.1e}", f"{format_duration(row.seconds)}{mark}")
        table.add_row(escape(row.name), row.run.model, *numbers)
    out.print(table)
    total, most = sum(row.num_seeds * row.flops for row in plan.rows), "at most " if plan.device == "cuda" else ""
    where = f"{plan.device}, --jobs {plan.jobs}, {plan.threads} thread{'s' if plan.threads > 1 else ''} each"
    lines = [
        f"{counted(plan.num_runs, 'run')}, {total:.1e} FLOPs: {most}about "
        f"{format_duration(plan.seconds)} on this machine ({where})",
        *([stored] if plan.num_stored else []),
        f"Timed for {plan.calibration:.1f} s on noise: good to about a third, if the machine stays as busy as it is "
        "now; start-up and loading come on top.",
    ]
    if any(row.is_extrapolated for row in plan.rows):
        lines.append("* timed with a smaller batch, as a step of the run is too long for that")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def print_unsent(remote) -> bool:
    """Say where results are that a URL did not take, and what to do; return whether there are any."""
    if remote is None or not remote.unsent:
        return False
    err.print(f"results: {remote}; {remote.way_out}", style="red", markup=False, highlight=False, soft_wrap=True)
    return True
