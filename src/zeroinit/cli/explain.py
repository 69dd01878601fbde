"""``zeroinit explain``."""

from pathlib import Path
from typing import Annotated

import typer

from zeroinit._common import lookup
from zeroinit.cli.app import app, out

PAGES = Path(__file__).with_name("findings")
"""One page a code, as the site shows it."""


@app.command(name="explain")
def explain_command(
    code: Annotated[
        str | None, typer.Argument(help="Code of a finding, as ZI006, or its beginning; by default, list all.")
    ] = None,
) -> None:
    """Tell what a code of `inspect` or `audit` means: the smallest model that shows it, why, and what to type."""
    pages = {path.stem: path for path in sorted(PAGES.glob("ZI*.md"))}
    start = "ZI" if code is None else code.strip().upper()
    listed = [path for name, path in pages.items() if name.startswith(start) and name != start]
    if listed:
        titles = [path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in listed]
        text = "\n".join([*titles, "", f"More on one of them: zeroinit explain {listed[0].stem}"])
    else:
        number = start.removeprefix("ZI")
        name = f"ZI{int(number):03d}" if number.isdecimal() else start
        text = lookup(pages, name if name in pages else str(code), "code").read_text(encoding="utf-8").rstrip()
    out.print(text, markup=False, highlight=False, soft_wrap=True)
