"""``zeroinit explain``."""

from typing import Annotated

import typer

from zeroinit.cli.app import app, out
from zeroinit.cli.completion import complete_codes
from zeroinit.cli.pages import fitted, page


@app.command(name="explain")
def explain_command(
    code: Annotated[
        str | None,
        typer.Argument(
            help="Code of a finding, as ZI006, or its beginning; by default, list all.", autocompletion=complete_codes
        ),
    ] = None,
) -> None:
    """Tell what a code of `inspect` or `audit` means: the smallest model that shows it, why, and what to type."""
    text = fitted(page(code), out.width) if out.is_terminal else page(code)
    out.print(text, markup=False, highlight=False, soft_wrap=True)
