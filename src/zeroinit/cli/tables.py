"""Tables and words that commands print."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from zeroinit.cli.app import out

__all__ = ["format_duration", "print_claims", "print_estimate"]


def print_claims(report, folder: Path) -> None:
    """Print the verdicts as a table, then where the report lies."""
    from zeroinit.bench.reporting.report import claim_records

    colors = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "not run": "dim"}
    table = Table("statement", "verdict", "estimate [95 %]", title=report.title, title_justify="left")
    for record in claim_records(report):
        low, high = record["interval"] or (None, None)
        bounds = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
        if bounds and record["level"] != 0.95:
            bounds += f" (at {100 * record['level']:.1f} %)"
        estimate = "–" if record["estimate"] is None else f"{record['estimate']:.3f}{bounds}"
        color = colors[record["verdict"]]
        table.add_row(
            escape(f"{record['id'].split('-')[0]} {record['statement']}"),
            f"[{color}]{record['verdict']}[/]",
            escape(estimate),
        )
    if table.row_count:
        out.print(table)
    out.print(f"report: {folder / 'index.html'}", markup=False, highlight=False, soft_wrap=True)


def print_estimate(plan, results: Path) -> None:
    """Print the runs that are left as a table, then the time of all runs and its accuracy."""
    stored = f"{plan.num_stored} of {plan.num_stored + plan.num_runs} runs are stored already in {results}"
    if not plan.rows:
        out.print(f"nothing to run: {stored}", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table("curve", "network", title="Runs, in this order", title_justify="left")
    for name in ("epochs", "runs", "FLOPs each", "time each"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in plan.rows:
        mark = "*" if row.is_extrapolated else " "
        numbers = (str(row.run.epochs), str(row.num_seeds), f"{row.flops:.1e}", f"{format_duration(row.seconds)}{mark}")
        table.add_row(escape(row.name), row.run.model, *numbers)
    out.print(table)
    total, most = sum(row.num_seeds * row.flops for row in plan.rows), "at most " if plan.device == "cuda" else ""
    where = f"{plan.device}, --jobs {plan.jobs}, {plan.threads} thread{'s' if plan.threads > 1 else ''} each"
    lines = [
        f"{plan.num_runs} run{'s' if plan.num_runs > 1 else ''}, {total:.1e} FLOPs: {most}about "
        f"{format_duration(plan.seconds)} on this machine ({where})",
        *([stored] if plan.num_stored else []),
        f"Timed for {plan.calibration:.1f} s on noise: good to about a third, if the machine stays as busy as it is "
        "now; start-up and loading come on top.",
    ]
    if any(row.is_extrapolated for row in plan.rows):
        lines.append("* timed with a smaller batch, as a step of the run is too long for that")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def format_duration(seconds: float) -> str:
    """Write a duration in its largest sensible unit, with two digits or more.

    Example:
        >>> [format_duration(value) for value in (0.04, 3.21, 75, 400, 10_000, 400_000)]
        ['< 0.1 s', '3.2 s', '75 s', '6.7 min', '2.8 h', '4.6 days']
    """
    if seconds < 0.1:
        return "< 0.1 s"
    units = {"s": 1, "min": 60, "h": 3600, "days": 86400}
    unit = next(unit for unit, below in zip(units, (120, 7200, 172_800, float("inf")), strict=True) if seconds < below)
    value = seconds / units[unit]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
