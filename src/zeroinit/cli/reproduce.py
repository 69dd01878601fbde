"""``zeroinit reproduce``."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from zeroinit._common import InputError, lookup
from zeroinit.cli.app import app, err
from zeroinit.cli.options import (
    DataDir,
    Figures,
    ProfileName,
    ProtocolName,
    ReportDir,
    Results,
    Seeds,
    parse_duration,
    parse_seeds,
)
from zeroinit.cli.tables import format_duration, print_claims, print_estimate


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
    from zeroinit.bench.reproduce import choose_figures, reproduce
    from zeroinit.bench.running.estimate import estimate
    from zeroinit.bench.running.schedule import Options

    if histogram_every < 0:
        raise InputError(f"histogram-every={histogram_every}: must be at least 0")
    if histogram_every and tensorboard is None:
        raise InputError(f"histogram-every={histogram_every}: needs --tensorboard DIR to write to")
    deadline = None if time_limit is None else time.time() + parse_duration(time_limit)
    chosen = choose_figures(figures)
    options = Options(results, data_dir, device, tensorboard, histogram_every, deadline=deadline)
    if dry_run:
        plan = estimate(chosen, options, seeds=parse_seeds(seeds), profile=profile, protocol=protocol, jobs=jobs)
        print_estimate(plan, results)
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
        print_claims(written, report)


def _confirm_the_whole_paper(figures, options, seeds: list[int], profile: str, protocol: str, jobs: int | None) -> None:
    """Ask before all figures are run at full length, with an estimate; without a terminal nobody can be asked.

    Raises:
        InputError: There is no terminal.
    """
    from zeroinit.bench.profiles import PROFILES
    from zeroinit.bench.running.estimate import estimate
    from zeroinit.bench.running.schedule import Task, missing
    from zeroinit.bench.store import Store

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
