"""``zeroinit reproduce``."""

import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from zeroinit._common import InputError, check_writable
from zeroinit.cli.app import app, err
from zeroinit.cli.options import (
    DataDir,
    Figures,
    Jobs,
    OpenIt,
    ProfileName,
    ProtocolName,
    ReportDir,
    Results,
    Seeds,
    Shard,
    ShowClaims,
    TimeLimit,
    check_jobs,
    parse_duration,
    parse_seeds,
    parse_shard,
)
from zeroinit.cli.tables import print_estimate, print_outcome, print_unsent

LONG = 3600.0
"""Seconds of work that are not begun before somebody has said so."""


@app.command()
def reproduce(
    figures: Figures = None,
    profile: ProfileName = None,
    protocol: ProtocolName = "corrected",
    seeds: Seeds = "5",
    jobs: Jobs = None,
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    results: Results = "results",
    report: ReportDir = Path("report"),
    tensorboard: Annotated[Path | None, typer.Option("--tensorboard", help="Folder for TensorBoard logs.")] = None,
    histogram_every: Annotated[
        int, typer.Option("--histogram-every", help="Steps between histograms of parameters and gradients; 0: none.")
    ] = 0,
    time_limit: TimeLimit = None,
    checkpoint_every: Annotated[
        float,
        typer.Option("--checkpoint-every", help="Seconds between saves of a run's state; a killed run goes on there."),
    ] = 60.0,
    shard: Shard = "1/1",
    executor: Annotated[
        str, typer.Option("--executor", help="processes (on this machine) or ray (a cluster that shares the folders).")
    ] = "processes",
    address: Annotated[
        str | None,
        typer.Option("--address", help="Address of the Ray cluster: auto or HOST:PORT; without it, Ray starts here."),
    ] = None,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="List the runs without a result and run nothing; exit code 1 if there are any."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Begin more than an hour of work without being asked.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would run and about how long it takes; run and write nothing.")
    ] = False,
    claims: ShowClaims = False,
    open_it: OpenIt = False,
) -> None:
    """Run figures and studies, the longest runs first, keep every result, and write the report.

    Without a name: the first look, on small digits, in about a minute.
    """
    from zeroinit.bench.profiles import profile_for
    from zeroinit.bench.progress import Progress

    if histogram_every < 0:
        raise InputError(f"histogram-every={histogram_every}: must be at least 0")
    if histogram_every and tensorboard is None:
        raise InputError(f"histogram-every={histogram_every}: needs --tensorboard DIR to write to")
    if not checkpoint_every >= 0:
        raise InputError(f"checkpoint-every={checkpoint_every}: must be at least 0 seconds")
    deadline = None if time_limit is None else time.monotonic() + parse_duration(time_limit)
    profile = profile_for(figures) if profile is None else profile
    chosen_seeds, part = parse_seeds(seeds), parse_shard(shard)
    check_jobs(jobs)
    if not dry_run and not missing and part[1] == 1:
        check_writable(report)
    progress = Progress(err)
    with progress:
        progress.begin("loading the program")
        from zeroinit.bench.reproduce import choose_figures, list_missing, reproduce
        from zeroinit.bench.running.estimate import estimate, may_take_longer
        from zeroinit.bench.running.processes import show_warnings_in_one_line
        from zeroinit.bench.running.remote import open_results
        from zeroinit.bench.running.schedule import Options

        show_warnings_in_one_line()
        chosen = choose_figures(figures, profile)
        folder, remote = open_results(results)
        options = Options(
            *(folder, data_dir, device, tensorboard, histogram_every, checkpoint_every, deadline, part),
            *(executor, address, remote),
        )
        sizes: dict = {"seeds": chosen_seeds, "profile": profile, "protocol": protocol}
        plan = None
        if missing:
            lines = list_missing(chosen, options, **sizes)
        elif dry_run or (not yes and may_take_longer(LONG, chosen, options, **sizes)):
            progress.begin("timing a few steps of each kind of run")
            plan = estimate(chosen, options, jobs=jobs, **sizes)
    if missing:
        _end_with_list(lines)
    if dry_run:
        print_estimate(plan, results)
        return
    if plan is not None:
        ask_before_long_work(
            plan, deadline, "--time-limit 30m ends after half an hour; name fewer figures or seeds for less"
        )
    with progress:
        written = reproduce(chosen, options, **sizes, jobs=jobs, report_dir=report, progress=progress)
    if written is not None:
        print_outcome(written, report, with_claims=claims, open_it=open_it)
    is_lacking = written.problems if written is not None else part[1] > 1 and list_missing(chosen, options, **sizes)
    if print_unsent(remote) or is_lacking:
        raise typer.Exit(1)


def _end_with_list(lines: list[str]) -> NoReturn:
    """Print lines for other programs: neither wrapped nor colored, with tabs as they are."""
    for line in lines:
        typer.echo(line)
    raise typer.Exit(1 if lines else 0)


def ask_before_long_work(plan, deadline: float | None, less: str) -> None:
    """Ask if an estimate is above an hour; without a terminal nobody can be asked.

    Raises:
        InputError: There is no terminal.
    """
    from zeroinit._common import counted
    from zeroinit.bench.progress import format_duration

    limit = float("inf") if deadline is None else deadline - time.monotonic()
    if min(plan.seconds, limit) <= LONG:
        return
    where = f"on this machine ({plan.device}, --jobs {plan.jobs})"
    text = f"{counted(plan.num_runs, 'run')}, about {format_duration(plan.seconds)} {where}"
    if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        raise InputError(f"{text}: --yes begins, --dry-run lists the runs, {less}")
    err.print(f"{text}; Ctrl-C keeps what is done.", markup=False, highlight=False, soft_wrap=True)
    if not typer.confirm("Run all of them?", err=True):
        raise typer.Exit(1)
