"""The application: its commands, its two streams, and how it ends."""

import importlib
import sys

import typer
from rich.console import Console
from typer.core import TyperGroup

from zeroinit._common import InputError

__all__ = ["COMMANDS", "app", "err", "out", "run"]

COMMANDS = ("reproduce", "report", "list", "data", "inspect")
"""The commands; each has a file beside this one."""


class Stopped(Exception):
    """The user pressed Ctrl-C; the message says what is kept."""


class _Commands(TyperGroup):
    """Handles Ctrl-C itself: Typer would end the program without a word."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(str(error) or "interrupted") from None


app = typer.Typer(
    name="zeroinit",
    cls=_Commands,
    help="Neural-network initialization and symmetry breaking: zero weights, random biases, measured honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out, err = Console(width=None if sys.stdout.isatty() else 110), Console(stderr=True)


def run(arguments: list[str] | None = None) -> None:
    """Parse the arguments and run a command; ends the program."""
    for name in COMMANDS:
        importlib.import_module(f"zeroinit.cli.{name}")
    try:
        app(arguments, prog_name="zeroinit", standalone_mode=True)
    except InputError as error:
        message = " ".join(str(error).split())
        err.print(f"zeroinit: error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except Stopped as stopped:
        err.print(f"zeroinit: {stopped}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        sys.exit(130)
