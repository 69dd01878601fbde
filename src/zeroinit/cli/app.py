"""The application: its commands, its two streams, and how it ends."""

import contextlib
import importlib
import os
import re
import shlex
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from zeroinit._common import InputError, __version__, lookup, printable, unknown
from zeroinit._urls import without, without_secrets

__all__ = ["COMMANDS", "app", "err", "out", "run"]

COMMANDS = ("inspect", "audit", "explain", "compare", "reproduce", "report", "power", "verify", "list", "data")
"""The commands; each has a file beside this one."""

OTHER_WORDS = {
    "batch-size": "bs batch batches",
    "data-dir": "data-path data-root root",
    "dataset": "data",
    "epochs": "num-epochs n-epochs max-epochs",
    "format": "json sarif table",
    "initializer": "init initialization initialize",
    "inputs": "shape shapes size sizes input-size input-shape input-shapes",
    "jobs": "workers num-workers n-jobs num-jobs processes threads",
    "lr-grid": "lr lrs rates learning-rate learning-rates lr-range",
    "model": "network net arch architecture",
    "report": "report-dir",
    "results": "out output outputs output-dir out-dir results-dir",
    "seeds": "repeats runs trials num-seeds n-seeds",
    "steps": "num-steps updates iterations max-steps",
}
"""Words that other programs have for an option."""
FOLDERS = ("--results", "--report", "--data-dir", "--tensorboard")
"""Options that name a folder."""

WIDTH = 80
"""Columns outside a terminal."""

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the parser raises; in which package it lies depends on Typer's version."""


class Stopped(Exception):
    """The user pressed Ctrl-C, or a signal asked to end; the message says what is kept, ``code`` is the exit code."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class _Commands(TyperGroup):
    """Handles Ctrl-C itself: Typer would end the program without a word. Names the nearest command."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(str(error) or "interrupted", 128 + getattr(error, "signal", 2)) from None
        except typer.Abort as error:
            if not isinstance(error.__context__, KeyboardInterrupt):  # the end of the input is a no
                raise
            err.print()
            raise Stopped("interrupted", 130) from None

    def resolve_command(self, ctx, args):
        if not args[0].startswith("-"):
            if args[0] in ("version", "help"):
                raise InputError(f"command={args[0]!r}: write zeroinit --{args[0]}")
            lookup(dict.fromkeys(COMMANDS), args[0], "command")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="zeroinit",
    cls=_Commands,
    help="Will my layers learn? zeroinit looks at any PyTorch model for a few steps and tells you. It also starts "
    "networks from zero weights, and compares initializers.\n\nBegin with one of these:\n\n\b\n"
    "zeroinit reproduce                           eight starts on digits, in a minute\n"
    "zeroinit inspect my_package.models:build     will this model learn?\n"
    "zeroinit compare kaiming_normal_ zero_start  initializers under one protocol\n\n"
    "`zeroinit COMMAND --help` says more.",
    pretty_exceptions_enable=False,
)


class _Terminal(Console):
    """Prints texts without what a terminal would obey; colors of the program's own stay."""

    def print(self, *objects: Any, **settings: Any) -> None:
        super().print(*(_seen(each) if isinstance(each, str) else each for each in objects), **settings)

    def on_broken_pipe(self) -> None:
        """Go on without a word if the reader is gone, as after ``| head -1``: the exit code is that of the command."""
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()


def _seen(text: str) -> str:
    """Return a text of several lines as it should be seen; a URL without its secrets."""
    return re.sub(f"[^{KEPT}]+", lambda part: printable(part[0]), without_secrets(text))


KEPT = "\n\t\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
out = _Terminal(emoji=False, width=None if sys.stdout.isatty() else WIDTH)
err = _Terminal(stderr=True, emoji=False, width=None if sys.stderr.isatty() else WIDTH)


def _tell_version(is_asked: bool | None) -> None:
    if is_asked:
        out.print(f"zeroinit {__version__}", highlight=False)
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
    ] = None,
) -> None:
    pass


def run(arguments: list[str] | None = None) -> NoReturn:
    """Parse the arguments and run a command; ends the program."""
    given = sys.argv[1:] if arguments is None else arguments
    for name in COMMANDS:
        importlib.import_module(f"zeroinit.cli.{name}")
    try:
        _refuse_empty(given)
        code = app(given or ["--help"], prog_name="zeroinit", standalone_mode=False)
    except InputError as error:
        _end(2, f"error: {' '.join(str(error).split())}", "red")
    except UsageError as error:
        _end(2, f"error: {_refusal(error, given)}", "red")
    except typer.Abort:
        sys.exit(1)
    except SystemExit as error:  # so Rich ends a help text whose reader is gone
        sys.exit(error.code if "_ZEROINIT_COMPLETE" in os.environ else 0)
    except Stopped as stopped:
        _end(stopped.code, f"{stopped}; go on with: {_command(given)}", "yellow")
    sys.exit(code or 0)


def _refuse_empty(given: list[str]) -> None:
    """Refuse an empty folder, as of a variable that is not set: it would be the working folder.

    Raises:
        InputError: There is one.
    """
    for word, value in pairwise([*given, "-"]):
        option, sign, joined = word.partition("=")
        if option in FOLDERS and not (joined if sign else value):
            raise InputError(f"{option}: its value is empty; name a folder, or leave {option} out")


def _end(code: int, message: str, color: str) -> NoReturn:
    """End with one line on standard error."""
    err.print(f"zeroinit: {message}", style=color, markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def _refusal(error, given: list[str]) -> str:
    """Say in one line what the parser does not take: an option with its value, or the nearest option and all."""
    asked = error.ctx.command_path if error.ctx else "zeroinit"
    name = getattr(error, "option_name", None)
    if extra := re.search(r"unexpected extra argument\S* \((.*)\)", error.format_message()):
        return f"{extra[1]!r} is one name too many; see {asked} --help"
    parameters = error.ctx.command.params if error.ctx else []
    options = [option for parameter in parameters for option in parameter.opts if option[:2] == "--"]
    meant = next((each for each, words in OTHER_WORDS.items() if name and name.lstrip("-") in words.split()), "")
    if f"--{meant}" in options:
        return f"option={name!r}: did you mean '--{meant}'? See {asked} --help"
    if name and options:
        return unknown(name, [*options, "--help"], "option")
    message = error.format_message().rstrip(".")
    words = [word for each in given for word in (each.split("=", 1) if each.startswith("--") else [each])]
    for option in getattr(getattr(error, "param", None), "opts", ()):
        values = [after for before, after in pairwise(words) if before == option]
        if values and message.startswith("Invalid value"):
            kind = "a whole number" if "integer" in message else "a number"
            return f"{option[2:]}={values[-1]!r}: must be {kind}; see {asked} --help"
    return f"{message}; see {asked} --help"


def _command(arguments: list[str]) -> str:
    """Write the command as the user may type it again."""
    path = Path(sys.argv[0])
    program = "zeroinit"
    if path.name == "__main__.py":
        program = "python -m zeroinit"
    elif path.name == program and shutil.which(program) != str(path.absolute()):
        program = shlex.quote(str(path))
    return f"{program} {shlex.join(without(word, word) for word in arguments)}"
