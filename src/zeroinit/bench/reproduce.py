"""Reproduce figures: carry out the missing runs, store their results, write the report."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zeroinit._common import InputError, lookup
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.reporting.report import Report, build_report, check_figures, write_report
from zeroinit.bench.running.device import choose_device
from zeroinit.bench.running.schedule import Options, Task, choose_jobs, flops, missing, run_all
from zeroinit.bench.running.start import load
from zeroinit.bench.spec import Figure
from zeroinit.bench.store import Store

__all__ = ["Interrupted", "choose_figures", "reproduce"]


class Interrupted(KeyboardInterrupt):
    """The user stopped a reproduction; the message says what is stored."""


def choose_figures(names: Sequence[str] | None) -> list[Figure]:
    """Return figures by name; the figures of the paper if none is named.

    Raises:
        InputError: An unknown name.

    Example:
        >>> [figure.name for figure in choose_figures(["fig4", "fig3"])]
        ['fig4', 'fig3']
    """
    if not names:
        return [figure for figure in FIGURES.values() if figure.in_paper]
    return [lookup(FIGURES, name, "figure") for name in dict.fromkeys(names)]


def reproduce(
    figures: Sequence[Figure],
    options: Options,
    *,
    seeds: Sequence[int],
    profile: str = "paper",
    protocol: str = "corrected",
    jobs: int | None = None,
    report_dir: Path,
    console: Console,
) -> Report | None:
    """Run the missing runs of some figures, store each result as it comes, and write the report.

    Everything that can be checked is checked before the first run.

    Args:
        figures: The figures to reproduce.
        options: Where to store results; the data, the device, the logs.
        seeds: Each curve is run once with each seed.
        profile: A key of ``PROFILES``.
        protocol: A key of ``PROTOCOLS``.
        jobs: Number of processes; if ``None``, ``choose_jobs`` chooses.
        report_dir: Where the report goes.
        console: Where progress is shown.

    Returns:
        The report that was written; ``None`` if the deadline of ``options`` came before any result.

    Raises:
        InputError: You can fix the cause: an unknown name, missing data, a folder that cannot be written to.
    """
    check_figures(figures)
    jobs = choose_jobs(jobs, choose_device(options.device))
    tasks = [Task(curve.run, seed) for figure in figures for seed in seeds for curve in figure.at(profile, protocol)]
    for folder in (options.results, report_dir, options.tensorboard):
        if folder is not None:
            check_writable(folder)
    store = Store(options.results)
    todo = missing(tasks, store)
    for task in set(tasks).difference(todo):
        store.load(task.run, task.seed)
    for dataset in sorted({task.run.dataset for task in todo}):
        load(dataset, options.data_dir)
    num_stored = len(dict.fromkeys(tasks)) - len(todo)
    if num_stored:
        note = (
            "; stored runs write no TensorBoard logs: give --results an empty folder to run them again"
            if options.tensorboard
            else ""
        )
        message = f"{num_stored} of {num_stored + len(todo)} runs are stored already in {options.results}{note}"
        console.print(message, markup=False, highlight=False, soft_wrap=True)
    _run_with_progress(todo, options, jobs, console, store)
    left = [task for task in todo if not store.has(task.run, task.seed)]
    if left:
        console.print(
            f"out of time: {len(todo) - len(left)} of {len(todo)} runs are done and stored in {options.results}; "
            "the same command goes on from there",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        if len(left) == len(dict.fromkeys(tasks)):
            return None
    report = build_report(figures, store, seeds, profile, protocol)
    write_report(report, report_dir)
    return report


def check_writable(folder: Path) -> None:
    """Check now, not after hours of training, that a folder can be written to; the folder is not created.

    Raises:
        InputError: The folder cannot be written to.
    """
    try:
        tempfile.TemporaryFile(dir=_nearest(folder.absolute())).close()  # a file without a name
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write to {folder}: {reason}; choose a folder that can be written to") from error


def _nearest(path: Path) -> Path:
    """Return the path itself if it exists, or else the nearest folder above it."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return _nearest(path.parent)
    return path


def _run_with_progress(todo: list[Task], options: Options, jobs: int, console: Console, store: Store) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    work = {task: flops(task.run) for task in todo}
    done = dict.fromkeys(todo, 0)
    with Progress(*columns, console=console, transient=not console.is_terminal, speed_estimate_period=600) as progress:
        bar = progress.add_task(f"0 of {len(todo)} runs", total=sum(work.values()) or 1)

        def on_epoch(task: Task, epoch: int) -> None:
            share, done[task] = (epoch - done[task]) / (task.run.epochs or 1), epoch
            num_finished = sum(number == each.run.epochs for each, number in done.items())
            progress.update(bar, advance=share * work[task], description=f"{num_finished} of {len(todo)} runs")

        try:
            run_all(todo, options, jobs=jobs, progress=on_epoch)
            if options.is_out_of_time:
                return
        except KeyboardInterrupt:
            stored = sum(store.has(task.run, task.seed) for task in todo)
            raise Interrupted(
                f"interrupted: {stored} of {len(todo)} runs are stored in {options.results}; "
                "the same command goes on from there"
            ) from None
        progress.update(bar, completed=progress.tasks[0].total, description=f"{len(todo)} of {len(todo)} runs")
