"""``zeroinit audit``."""

from functools import wraps
from pathlib import Path
from typing import Annotated

import typer

from zeroinit._common import InputError, lookup
from zeroinit._findings.formats import FORMATS
from zeroinit.cli.app import app
from zeroinit.cli.completion import complete_keys
from zeroinit.cli.streams import for_the_report


@app.command(name="audit")
def audit_command(
    factory: Annotated[
        str, typer.Argument(help="package.module:factory; factory() returns a model, or (model, inputs).")
    ],
    init: Annotated[
        str | None, typer.Option("--init", help="package.module:function that initializes a model in place.")
    ] = None,
    inputs: Annotated[
        str | None, typer.Option("--inputs", help="Shapes to draw for one pass: 32x784, 8x16:int100, a=8x16.")
    ] = None,
    style: Annotated[
        str,
        typer.Option(
            "--format",
            help="table, json or sarif.",
            autocompletion=complete_keys("_findings/formats.py", "FORMATS"),
        ),
    ] = "table",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is a warning.")] = False,
    select: Annotated[str, typer.Option("--select", help="Codes that count, as ZI201,ZI205; all by default.")] = "",
    ignore: Annotated[str, typer.Option("--ignore", help="Codes to leave out, as ZI205.")] = "",
    baseline: Annotated[Path | None, typer.Option("--baseline", help="File of warnings to ignore.")] = None,
    write_to: Annotated[Path | None, typer.Option("--write-baseline", help="Write warnings to this file.")] = None,
) -> None:
    """Tell whether every parameter and buffer of a model was initialized, once, as meant."""
    from zeroinit.audit import audit
    from zeroinit.audit.building import FITS
    from zeroinit.cli.loading import as_typed, at_factory, find_factory, parse_inputs, split, users_code
    from zeroinit.cli.shown import check_codes, show

    lookup(FORMATS, style, "format")
    check_codes(select, ignore, "audit")
    batch = None if inputs is None else parse_inputs(inputs)
    with for_the_report(), users_code(factory):
        build, initialize = find_factory(factory), None if init is None else find_factory(init, "init")
        built: list = []

        @wraps(build, updated=())
        def made():
            built[:] = [split(build())[0]]
            return built[0]

        try:
            report = at_factory(audit(made, init=initialize, batch=batch), factory, *built)
        except InputError as error:
            typed = {"build": f"factory={factory!r}", "init": f"init={init!r}", "batch": f"inputs={inputs!r}"}
            raise InputError(as_typed(error, **typed).replace(FITS, "write the sizes that the model takes")) from error
    show(report, style, strict, select, ignore, baseline, write_to)
