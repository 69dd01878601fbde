"""``zeroinit verify``."""

import random
from typing import Annotated

import typer

from zeroinit._common import counted
from zeroinit.cli.app import app, err, out
from zeroinit.cli.options import DataDir, Device, Results, parse_duration

LARGEST = 2**31


@app.command()
def verify(
    results: Results = "results",
    sample: Annotated[int, typer.Option("--sample", help="How many runs.")] = 5,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the choice of runs; random by default.")] = None,
    time_limit: Annotated[
        str, typer.Option("--time-limit", help="End after this time, as 90s, 8m or 1.5h; longer runs are left out.")
    ] = "10m",
    data_dir: DataDir = None,
    device: Device = "auto",
    imports: Annotated[
        bool, typer.Option("--imports", help="Import the initializers package.module:function that results name.")
    ] = False,
) -> None:
    """Carry out some stored runs again and compare: bits on the same kind of machine, accuracies elsewhere."""
    from zeroinit.bench.progress import Progress

    budget, chosen = parse_duration(time_limit), random.randrange(LARGEST) if seed is None else seed
    with Progress(err) as progress:
        progress.begin("loading the program")
        from zeroinit.bench.running.remote import open_results
        from zeroinit.bench.running.schedule import Options
        from zeroinit.bench.verify import OUTCOMES, verify

        checks, num_too_long = verify(
            Options(open_results(results)[0], data_dir, device),
            sample=sample,
            seed=chosen,
            budget=budget,
            imports=imports,
            progress=progress,
        )
    for check in checks:
        out.print(str(check), markup=False, highlight=False, soft_wrap=True)
    outcomes = [check.outcome for check in checks]
    parts = [f"{outcomes.count(outcome)} {outcome}" for outcome in OUTCOMES if outcome in outcomes]
    parts += [f"{num_too_long} too long for --time-limit {time_limit}"] if num_too_long else []
    out.print(
        f"{counted(len(checks), 'run')}: {', '.join(parts)}; --seed {chosen} chooses the same ones again",
        highlight=False,
        soft_wrap=True,
    )
    if any(check.is_wrong for check in checks) or not any(check.is_compared for check in checks):
        raise typer.Exit(1)
