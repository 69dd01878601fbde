"""``zeroinit data``."""

from typing import Annotated

import typer

from zeroinit._common import lookup
from zeroinit.cli.app import app, out
from zeroinit.cli.completion import complete_keys
from zeroinit.cli.options import DataDir


@app.command()
def data(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Data sets by name; all if none is named.",
            autocompletion=complete_keys("bench/data/__init__.py", "DATASETS"),
        ),
    ] = None,
    data_dir: DataDir = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch what is missing and decode it.")] = False,
) -> None:
    """Tell where the data sets are and whether they are whole. Exit with 1 if none of them can be used."""
    from zeroinit.bench.data import DATASETS, dataset_status, load_dataset

    for name in names or DATASETS:
        lookup(DATASETS, name, "dataset")
    states = set()
    for name in names or DATASETS:
        if fetch:
            load_dataset(name, data_dir)
        status = dataset_status(name, data_dir)
        states.add(status.state)
        out.print(str(status), markup=False, highlight=False, soft_wrap=True)
    if states == {"unusable"}:
        raise typer.Exit(1)
