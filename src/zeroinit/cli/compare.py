"""``zeroinit compare``."""

import math
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroinit._common import InputError, check_writable
from zeroinit.cli.app import WIDTH, app, err, out
from zeroinit.cli.completion import complete_boards, complete_entries, complete_figures, complete_keys
from zeroinit.cli.options import (
    DataDir,
    Device,
    DryRun,
    Jobs,
    Results,
    Shard,
    TimeLimit,
    Yes,
    check_jobs,
    parse_duration,
    parse_seeds,
    parse_shard,
)
from zeroinit.cli.reproduce import LONG, ask_before_long_work
from zeroinit.cli.tables import print_estimate, print_unsent

if TYPE_CHECKING:
    from zeroinit.bench.comparison.protocol import Protocol
    from zeroinit.bench.running.schedule import Options


@app.command()
def compare(
    initializers: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, module:function or zero_start; with a scale and remedies, as normal_bias*0.1+warmup:50.",
            autocompletion=complete_entries,
        ),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            "--board",
            help="Compare on a board, as initbench, with its entries and rules; yours join them.",
            autocompletion=complete_boards,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", help="The entry to compare with; by default pytorch.", autocompletion=complete_entries
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("--study", help="Train the network of a figure or study.", autocompletion=complete_figures),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="By default digits.",
            autocompletion=complete_keys("bench/data/__init__.py", "DATASETS"),
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="By default mnist_fnn.", autocompletion=complete_keys("bench/models/__init__.py", "MODELS")
        ),
    ] = None,
    optimizer: Annotated[str | None, typer.Option("--optimizer", help="By default adam.")] = None,
    lr_grid: Annotated[
        str | None, typer.Option("--lr-grid", help="Learning rates, ascending, as 1e-4,1e-3; one alone is not tuned.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Count, range (0-9) or list (0,3,7); by default 5, or the board's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="By default 20 on the digits, else 10.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="By default 32 on digits, else 128.")] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", help="As good: a difference below this number of points; by default 1.")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option("--target", help="Tell the first epoch with this percentage of the test images right."),
    ] = None,
    jobs: Jobs = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    results: Results = "results",
    report: Annotated[
        Path, typer.Option("--report", help="Folder for the table in every format, and a drawing.")
    ] = Path("comparison"),
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX of software and papers.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    time_limit: TimeLimit = None,
    shard: Shard = "1/1",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Compare initializers: a learning rate tuned for each, paired seeds, a table with intervals and verdicts."""
    forms = [
        name for name, is_asked in {"csv": csv, "latex": latex, "bibtex": bibtex, "json": json}.items() if is_asked
    ]
    if len(forms) > 1:
        raise InputError(f"--{forms[0]} and --{forms[1]}: print one format; the folder {report} gets all of them")
    given = {
        **{"reference": reference, "study": study, "dataset": dataset, "model": model, "optimizer": optimizer},
        **{"lr_grid": lr_grid, "epochs": epochs, "batch_size": batch_size, "margin": margin, "target": target},
    }
    given = {name: value for name, value in given.items() if value is not None}
    deadline = None if time_limit is None else time.monotonic() + parse_duration(time_limit)
    chosen_seeds, part = None if seeds is None else parse_seeds(seeds), parse_shard(shard)
    check_jobs(jobs)
    if not dry_run:
        check_writable(report)
    from zeroinit.bench.progress import Progress

    progress = Progress(err)
    with progress:
        progress.begin("loading the program")
        from zeroinit.bench.comparison.compare import planned
        from zeroinit.bench.reproduce import out_of_time
        from zeroinit.bench.running.estimate import estimate_tasks, tasks_may_take_longer
        from zeroinit.bench.running.processes import show_warnings_in_one_line
        from zeroinit.bench.running.remote import open_results
        from zeroinit.bench.running.schedule import Options, Task, missing
        from zeroinit.bench.store import Store

        show_warnings_in_one_line()
        protocols = _protocols(initializers or [], board, chosen_seeds, given)
        if forms and len(protocols) > 1:
            raise InputError(f"--{forms[0]}: name one network, as --board '{board}:{next(iter(protocols))}'")
        folder, remote = open_results(results)
        options = Options(folder, data_dir, device, deadline=deadline, shard=part, remote=remote)
        store, plan = Store(folder), None
        tasks = {task: name for protocol in protocols.values() for task, name in planned(protocol, store, part).items()}
        if dry_run or (not yes and tasks_may_take_longer(LONG, list(tasks), options)):
            progress.begin("timing a few steps of each kind of run")
            plan = estimate_tasks(list(tasks), {task.run: name for task, name in tasks.items()}, options, jobs)
    if dry_run:
        for title, protocol in protocols.items():
            _print_protocol(title, protocol)
        print_estimate(plan, results)
        return
    if plan is not None:
        less = "--time-limit 30m ends after half an hour; --epochs and --seeds make it shorter"
        ask_before_long_work(plan, deadline, less)
    problems, late = list[str](), dict[Task, str]()
    for title, protocol in protocols.items():
        tasks = planned(protocol, store, part)
        if options.is_out_of_time and missing(tasks, store):
            late |= tasks
        else:
            problems += _compare_one(title, protocol, options, jobs, report, forms, progress)
    if late:
        progress.print(out_of_time(len(late) - len(missing(late, store)), len(late), options))
    is_lacking = part[1] > 1 and any(missing(planned(each, store, part), store) for each in protocols.values())
    if print_unsent(remote) or problems or is_lacking:
        raise typer.Exit(1)


def _compare_one(
    title: str, protocol: "Protocol", options: "Options", jobs: int | None, report: Path, forms: list[str], progress
) -> Sequence[str]:
    """Carry out one comparison, print and save it; return what failed."""
    from zeroinit.bench.comparison.board import folder_of
    from zeroinit.bench.comparison.compare import run_comparison

    if not forms:
        _print_protocol(title, protocol)
    with progress:
        comparison = run_comparison(protocol, options, jobs=jobs, progress=progress)
        if comparison is None:
            return ()
        progress.begin("writing the tables")
        folder = comparison.save(report / folder_of(title) if title else report)
    shown = comparison.write(forms[0] if forms else "table")
    out.print(shown, markup=False, highlight=False, soft_wrap=True)
    if not forms:
        _print_all([f"tables and drawing: {folder}", *([""] if title else [])])
    for problem in comparison.problems:
        err.print(f"failed: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    return comparison.problems


def _print_protocol(title: str, protocol: "Protocol") -> None:
    _print_all([*([title] if title else []), *protocol.lines(), ""])


def _print_all(lines: Sequence[str]) -> None:
    for line in lines:
        out.print(textwrap.fill(line, WIDTH), markup=False, highlight=False, soft_wrap=True)


def _protocols(initializers: list[str], board: str | None, seeds: Sequence[int] | None, given: dict) -> dict:
    """Return the protocols of a board by network, or that of a comparison under no name.

    Raises:
        InputError: Options that a board fixes, or an entry or a setting that cannot be used.
    """
    from zeroinit.bench.comparison.board import open_board
    from zeroinit.bench.comparison.compare import prepare

    if board is not None:
        if given:
            raise InputError(
                f"--{next(iter(given)).replace('_', '-')}: --board {board} fixes it; leave one of them out"
            )
        return open_board(board, initializers, seeds)
    if not initializers:
        raise InputError("initializers: name at least one, as zero_start, or a board, as --board initbench")
    for option in ("margin", "target"):
        if option in given and not 0 < given[option] < 100:
            raise InputError(f"{option}={given[option]:g}: must lie between 0 and 100, in points of accuracy")
    rates = parse_rates(given.pop("lr_grid")) if "lr_grid" in given else None
    margin, goal = given.pop("margin", 1.0) / 100, given.pop("target", None)
    reference, study = given.pop("reference", "pytorch"), given.pop("study", None)
    goal = None if goal is None else goal / 100
    return {"": prepare(initializers, reference, seeds or range(5), rates, margin, goal, study, given)}


def parse_rates(text: str) -> list[float]:
    """Turn ``"1e-4,1e-3"`` into learning rates.

    Raises:
        InputError: A part is no number above 0, or the parts do not ascend.

    Example:
        >>> parse_rates("1e-4, 0.001")
        [0.0001, 0.001]
    """
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or rates != sorted(set(rates)) or not all(0 < each < math.inf for each in rates):
        raise InputError(f"lr-grid={text!r}: must be numbers above 0, ascending, separated by commas, as 1e-4,1e-3")
    return rates
