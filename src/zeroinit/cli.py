"""The command line: parse, call, print."""

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from zeroinit._common import InputError, lookup

__all__ = ["app", "main", "parse_seeds"]


class Stopped(Exception):
    """The user pressed Ctrl-C; the message says what is kept."""


class _Commands(TyperGroup):
    """Takes Ctrl-C out of Typer's hands: it would end the program without a word."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(str(error) or "interrupted") from None


app = typer.Typer(
    name="zeroinit",
    cls=_Commands,
    help="Neural-network initialization and symmetry breaking: zero weights, random biases, measured honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out, err = Console(width=None if sys.stdout.isatty() else 110), Console(stderr=True)

Figures = Annotated[list[str] | None, typer.Argument(help="Figures by name; those of the paper if none is named.")]
ProfileName = Annotated[str, typer.Option("--profile", help="quick: small digits, minutes. paper: the paper's data.")]
ProtocolName = Annotated[str, typer.Option("--protocol", help="corrected, or published (as the paper's code did it).")]
Seeds = Annotated[str, typer.Option("--seeds", help="A count (5), a range (0-9) or a list (0,3,7).")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Torchvision root to use as it is; else $ZEROINIT_DATA_DIR, else fetched."),
]
Results = Annotated[Path, typer.Option("--results", help="Folder of stored results.")]
ReportDir = Annotated[Path, typer.Option("--report", help="Folder for the report.")]


def parse_seeds(text: str) -> list[int]:
    """Turn ``"5"`` (a count), ``"0-9"`` (a range) or ``"0,3,7"`` (a list) into seeds.

    Raises:
        InputError: Another form, a range that runs backwards, or no seed at all.

    Example:
        >>> parse_seeds("3"), parse_seeds("7-9"), parse_seeds("0,4")
        ([0, 1, 2], [7, 8, 9], [0, 4])
    """
    help_text = "write a count (5), a range (0-9) or a list (0,3,7)"
    if re.fullmatch(r"\d+", text):
        seeds = list(range(int(text)))
    elif match := re.fullmatch(r"(\d+)-(\d+)", text):
        first, last = int(match[1]), int(match[2])
        if first > last:
            raise InputError(f"seeds={text!r}: the range runs backwards; did you mean {last}-{first}?")
        seeds = list(range(first, last + 1))
    elif re.fullmatch(r"\d+(,\d+)+", text):
        seeds = list(dict.fromkeys(int(part) for part in text.split(",")))
    else:
        raise InputError(f"seeds={text!r}: {help_text}")
    if not seeds:
        raise InputError(f"seeds={text!r}: leaves no seed; {help_text}")
    return seeds


def parse_duration(text: str) -> float:
    """Turn ``"90s"``, ``"8m"`` or ``"1.5h"`` into seconds.

    Raises:
        InputError: Another form, or no time at all.

    Example:
        >>> parse_duration("90s"), parse_duration("8m"), parse_duration("1.5h")
        (90.0, 480.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds:
        raise InputError(f"time-limit={text!r}: must be a number above 0 with its unit, as 90s, 8m or 1.5h")
    return seconds


@app.command()
def reproduce(
    figures: Figures = None,
    profile: ProfileName = "paper",
    protocol: ProtocolName = "corrected",
    seeds: Seeds = "5",
    jobs: Annotated[
        int | None, typer.Option("--jobs", help="Processes, one thread each; one per core by default.")
    ] = None,
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    results: Results = Path("results"),
    report: ReportDir = Path("report"),
    tensorboard: Annotated[Path | None, typer.Option("--tensorboard", help="Folder for TensorBoard logs.")] = None,
    histogram_every: Annotated[
        int, typer.Option("--histogram-every", help="Steps between histograms of parameters and gradients; 0: none.")
    ] = 0,
    time_limit: Annotated[
        str | None,
        typer.Option("--time-limit", help="End by then, as 90s, 8m or 1.5h; the same command goes on from there."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Run the whole paper without being asked.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would run and about how long it takes; run and write nothing.")
    ] = False,
) -> None:
    """Run figures of the paper, the longest runs first, keep every result, and write the report."""
    from zeroinit.bench.experiments.estimate import estimate
    from zeroinit.bench.experiments.reproduce import choose_figures, reproduce
    from zeroinit.bench.experiments.schedule import Options

    if histogram_every < 0:
        raise InputError(f"histogram-every={histogram_every}: must be at least 0")
    if histogram_every and tensorboard is None:
        raise InputError(f"histogram-every={histogram_every}: needs --tensorboard DIR to write to")
    deadline = None if time_limit is None else time.time() + parse_duration(time_limit)
    chosen = choose_figures(figures)
    options = Options(results, data_dir, device, tensorboard, histogram_every, deadline=deadline)
    if dry_run:
        plan = estimate(chosen, options, seeds=parse_seeds(seeds), profile=profile, protocol=protocol, jobs=jobs)
        _print_estimate(plan, results)
        return
    if not figures and not yes:
        _confirm_the_whole_paper(chosen, options, parse_seeds(seeds), profile, protocol, jobs)
    written = reproduce(
        chosen,
        options,
        seeds=parse_seeds(seeds),
        profile=profile,
        protocol=protocol,
        jobs=jobs,
        report_dir=report,
        console=err,
    )
    if written is not None:
        _print_claims(written, report)


@app.command(name="report")
def report_command(
    figures: Figures = None,
    profile: ProfileName = "paper",
    protocol: ProtocolName = "corrected",
    seeds: Seeds = "5",
    results: Results = Path("results"),
    report: ReportDir = Path("report"),
) -> None:
    """Write the report again from stored results; nothing is run."""
    from zeroinit.bench.experiments.report import build_report, write_report
    from zeroinit.bench.experiments.reproduce import choose_figures
    from zeroinit.bench.experiments.store import Store

    written = build_report(choose_figures(figures), Store(results), parse_seeds(seeds), profile, protocol)
    write_report(written, report)
    _print_claims(written, report)


@app.command(name="list")
def list_command() -> None:
    """List figures, initializers, remedies, data sets, networks and what else a run names."""
    from zeroinit.bench.data import AUGMENTATIONS, DATASETS, PIXELS
    from zeroinit.bench.experiments.catalogue import FIGURES
    from zeroinit.bench.models import ACTIVATIONS, MODELS
    from zeroinit.bench.training import OPTIMIZERS
    from zeroinit.init import INITIALIZERS
    from zeroinit.remedies import REMEDIES

    figures = {name: figure.title for name, figure in FIGURES.items()}
    initializers = {name: entry.summary for name, entry in INITIALIZERS.items()}
    remedies = {name: entry.summary for name, entry in REMEDIES.items()}
    for title, entries in (("figure", figures), ("initializer", initializers), ("remedy", remedies)):
        table = Table(title, "", box=None, pad_edge=False, title_justify="left")
        for name, text in entries.items():
            table.add_row(name, text)
        out.print(table, "")
    for title, names in (
        ("data sets", DATASETS),
        ("networks", MODELS),
        ("activations", ACTIVATIONS),
        ("optimizers", OPTIMIZERS),
        ("pixels", PIXELS),
        ("augmentations", AUGMENTATIONS),
    ):
        out.print(f"{title}: {', '.join(names)}")


@app.command()
def data(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets by name; all if none is named.")] = None,
    data_dir: DataDir = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch what is missing and decode it.")] = False,
) -> None:
    """Tell where the data sets are and whether they are whole."""
    from zeroinit.bench.data import DATASETS, dataset_status, load_dataset

    for name in names or DATASETS:
        lookup(DATASETS, name, "dataset")
    for name in names or DATASETS:
        if fetch:
            load_dataset(name, data_dir)
        out.print(str(dataset_status(name, data_dir)), markup=False, highlight=False, soft_wrap=True)


@app.command(name="inspect")
def inspect_command(
    factory: Annotated[
        str, typer.Argument(help="package.module:factory; factory() returns a model, or (model, inputs).")
    ],
    inputs: Annotated[
        str | None, typer.Option("--inputs", help="Drawn inputs: 32x784, 8x16:int100, a=8x16:int100,b=8:int2.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Updates; as many as there is news by default.")] = None,
    optimizer: Annotated[str, typer.Option("--optimizer", help="adam or sgd.")] = "adam",
    style: Annotated[str, typer.Option("--format", help="table, json or sarif.")] = "table",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is a warning.")] = False,
    select: Annotated[str, typer.Option("--select", help="Codes that count, as ZI006,ZI01; all by default.")] = "",
    ignore: Annotated[str, typer.Option("--ignore", help="Codes to leave out, as ZI107.")] = "",
    baseline: Annotated[Path | None, typer.Option("--baseline", help="A file of known warnings.")] = None,
    write_to: Annotated[Path | None, typer.Option("--write-baseline", help="Write the warnings there.")] = None,
) -> None:
    """Tell for any model whether it will learn, what stays identical, and when each layer gets its first gradient."""
    from zeroinit.symmetry import inspect
    from zeroinit.symmetry.choosing import choose, without_known, write_baseline
    from zeroinit.symmetry.formats import FORMATS
    from zeroinit.symmetry.loading import build

    write = lookup(FORMATS, style, "format")
    report = inspect(*build(factory, inputs), steps=steps, optimizer=optimizer)
    report = choose(report, _codes(select), _codes(ignore))
    if write_to is not None:
        write_baseline(report, write_to)
    if baseline is not None:
        report = without_known(report, baseline)
    out.print(write(report), markup=False, highlight=False, soft_wrap=True)
    if strict and report.warnings:
        raise typer.Exit(1)


def _confirm_the_whole_paper(figures, options, seeds: list[int], profile: str, protocol: str, jobs: int | None) -> None:
    """Ask before all figures are run at full length, with an estimate; without a terminal nobody can be asked.

    Raises:
        InputError: There is no terminal.
    """
    from zeroinit.bench.experiments.estimate import estimate
    from zeroinit.bench.experiments.schedule import Task, missing
    from zeroinit.bench.experiments.spec import PROFILES
    from zeroinit.bench.experiments.store import Store

    if not lookup(PROFILES, profile, "profile").is_paper:
        return
    tasks = [Task(curve.run, seed) for figure in figures for seed in seeds for curve in figure.at(profile, protocol)]
    num_left = len(missing(tasks, Store(options.results)))
    if not num_left:
        return
    less = "name some, as in `zeroinit reproduce fig3`, or use --profile quick for a look in minutes"
    if not sys.stdin.isatty():
        raise InputError(
            f"figures: none is named, which means the whole paper: {num_left} runs at full length, days to weeks on a "
            f"CPU; {less}; --dry-run estimates the time, --yes runs all of them"
        )
    plan = estimate(figures, options, seeds=seeds, profile=profile, protocol=protocol, jobs=jobs)
    time = f"about {format_duration(plan.seconds)} on this machine ({plan.device}, --jobs {plan.jobs})"
    message = f"No figure is named, which means the whole paper: {plan.num_runs} runs, {time}. For less, {less}."
    err.print(message, markup=False, highlight=False, soft_wrap=True)
    if not typer.confirm("Run all of them?", err=True):
        raise typer.Exit(1)


def _codes(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _print_claims(report, folder: Path) -> None:
    """Print the verdicts as a table, then where the report lies."""
    from zeroinit.bench.experiments.report import claim_records

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


def _print_estimate(plan, results: Path) -> None:
    """Print the runs that are left as a table, then the time of all and how far to trust it."""
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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. What a user can mend is one line on standard error and exit code 2."""
    try:
        app(arguments, prog_name="zeroinit", standalone_mode=True)
    except InputError as error:
        message = " ".join(str(error).split())
        err.print(f"zeroinit: error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except Stopped as stopped:
        err.print(f"zeroinit: {stopped}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        sys.exit(130)
