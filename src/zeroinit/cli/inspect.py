"""``zeroinit inspect``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from zeroinit._common import lookup, whole_number
from zeroinit._findings.formats import FORMATS
from zeroinit.cli.app import app
from zeroinit.cli.completion import complete_initializers, complete_keys
from zeroinit.cli.streams import for_the_report


@app.command(name="inspect")
def inspect_command(
    factory: Annotated[
        str, typer.Argument(help="package.module:factory; factory() returns a model, or (model, inputs).")
    ],
    inputs: Annotated[
        str | None, typer.Option("--inputs", help="Shapes to draw: 32x784, 8x16:int100, a=8x16:int100,b=8:int2.")
    ] = None,
    initializer: Annotated[
        str | None,
        typer.Option(
            "--initializer",
            help="Set the model first: zero, ..., package.module:function.",
            autocompletion=complete_initializers,
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Updates of the copy; as needed by default.")] = None,
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer", help="adam or sgd.", autocompletion=complete_keys("symmetry/shadow/updates.py", "RULES")
        ),
    ] = "adam",
    style: Annotated[
        str,
        typer.Option(
            "--format",
            help="table, json or sarif.",
            autocompletion=complete_keys("_findings/formats.py", "FORMATS"),
        ),
    ] = "table",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is a warning.")] = False,
    select: Annotated[str, typer.Option("--select", help="Codes that count, as ZI006,ZI01; all by default.")] = "",
    ignore: Annotated[str, typer.Option("--ignore", help="Codes to leave out, as ZI107.")] = "",
    baseline: Annotated[Path | None, typer.Option("--baseline", help="File of warnings to ignore.")] = None,
    write_to: Annotated[Path | None, typer.Option("--write-baseline", help="Write warnings to this file.")] = None,
) -> None:
    """Tell for any model whether it will learn, what stays identical, and when each layer gets its first gradient."""
    from zeroinit.cli.loading import at_factory, build, in_words_of_options, users_code
    from zeroinit.cli.shown import check_codes, show
    from zeroinit.symmetry import inspect

    lookup(FORMATS, style, "format")
    check_codes(select, ignore, "inspect")
    if steps is not None:
        whole_number(steps, "steps", least=1)
    with for_the_report(), users_code(factory):
        model, batch, notes = build(factory, inputs, initializer)
        with in_words_of_options(factory, model, batch, inputs):
            found = inspect(model, batch, steps=steps, optimizer=optimizer)
        report = at_factory(replace(found, notes=(*notes, *found.notes)), factory, model)
    show(report, style, strict, select, ignore, baseline, write_to)
