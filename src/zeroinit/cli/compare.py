"""``zeroinit compare``."""

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from zeroinit._common import InputError
from zeroinit.cli.app import WIDTH, app, err, out
from zeroinit.cli.completion import complete_figures, complete_keys
from zeroinit.cli.options import DataDir, Results, Seeds, parse_seeds
from zeroinit.cli.reproduce import LONG, ask_before_long_work
from zeroinit.cli.tables import print_estimate


@app.command()
def compare(
    initializers: Annotated[
        list[str],
        typer.Argument(
            help="Names, module:function or zero_start; with a scale and remedies, as normal_bias*0.1+warmup:50.",
            autocompletion=complete_keys("init/initializers.py", "INITIALIZERS"),
        ),
    ],
    reference: Annotated[str, typer.Option("--reference", help="The entry to compare with.")] = "pytorch",
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
    seeds: Seeds = "5",
    epochs: Annotated[int | None, typer.Option("--epochs", help="Of each run; 20 on the digits, else 10.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="32 on the digits, else 128.")] = None,
    margin: Annotated[float, typer.Option("--margin", help="As good: a difference below so many points.")] = 1.0,
    target: Annotated[
        float | None,
        typer.Option("--target", help="Tell the first epoch with so many percent of the test images right."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", help="Processes, one thread each; one per core by default.")
    ] = None,
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    results: Results = Path("results"),
    report: Annotated[
        Path, typer.Option("--report", help="Folder for the table in every format, and a drawing.")
    ] = Path("comparison"),
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX of software and papers.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Begin more than an hour of work without being asked.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would run and about how long it takes; run and write nothing.")
    ] = False,
) -> None:
    """Compare initializers: a learning rate tuned for each, paired seeds, a table with intervals and verdicts."""
    forms = [
        name for name, is_asked in {"csv": csv, "latex": latex, "bibtex": bibtex, "json": json}.items() if is_asked
    ]
    if len(forms) > 1:
        raise InputError(f"--{forms[0]} and --{forms[1]}: print one format; the folder {report} gets all of them")
    rates, chosen_seeds = None if lr_grid is None else parse_rates(lr_grid), parse_seeds(seeds)
    given = {
        "dataset": dataset,
        "model": model,
        "optimizer": optimizer,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    from zeroinit.bench.progress import Progress

    progress = Progress(err)
    with progress:
        progress.begin("loading the program")
        from zeroinit.bench.comparison.compare import planned, prepare, run_comparison
        from zeroinit.bench.reproduce import check_writable
        from zeroinit.bench.running.estimate import estimate_tasks, tasks_may_take_longer
        from zeroinit.bench.running.schedule import Options
        from zeroinit.bench.store import Store

        for option, value in (("margin", margin), ("target", target)):
            if value is not None and not 0 < value < 100:
                raise InputError(f"{option}={value:g}: must lie between 0 and 100, in points of accuracy")
        goal = None if target is None else target / 100
        protocol = prepare(initializers, reference, chosen_seeds, rates, margin / 100, goal, study, settings)
        options = Options(results, data_dir, device)
        tasks, plan = planned(protocol, Store(results)), None
        if dry_run or (not yes and tasks_may_take_longer(LONG, list(tasks), options)):
            progress.begin("timing a few steps of each kind of run")
            plan = estimate_tasks(list(tasks), {task.run: name for task, name in tasks.items()}, options, jobs)
    if not forms:
        for line in protocol.lines():
            out.print(textwrap.fill(line, WIDTH), markup=False, highlight=False, soft_wrap=True)
        out.print()
    if dry_run:
        print_estimate(plan, results)
        return
    if plan is not None:
        ask_before_long_work(plan, None, "--epochs and --seeds make it shorter")
    check_writable(report)
    with progress:
        comparison = run_comparison(protocol, options, jobs=jobs, progress=progress)
        progress.begin("writing the tables")
        comparison.save(report)
    shown = comparison.write(forms[0] if forms else "table")
    out.print(shown, markup=False, highlight=False, soft_wrap=True)
    if not forms:
        out.print(f"tables and drawing: {report}", markup=False, highlight=False, soft_wrap=True)
    for problem in comparison.problems:
        err.print(f"failed: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if comparison.problems:
        raise typer.Exit(1)


def parse_rates(text: str) -> list[float]:
    """Turn ``"1e-4,1e-3"`` into learning rates.

    Raises:
        InputError: A part is no number.

    Example:
        >>> parse_rates("1e-4, 0.001")
        [0.0001, 0.001]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"lr-grid={text!r}: must be numbers, separated by commas, as 1e-4,1e-3") from None
