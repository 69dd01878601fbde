"""The command line: one file a command. Nothing here imports torch before a command runs."""

import contextlib
import os
import sys

from zeroinit.cli.streams import prepare_streams

__all__ = ["main"]

OF_THE_COMMAND_LINE = {"typer", "rich", "click"}
"""Packages of the extra ``cli``; a command that needs others needs those of ``bench``."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. What a user can mend is one line on standard error and exit code 2."""
    prepare_streams()
    try:
        from zeroinit.cli.app import run

        try:
            run(arguments)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or isinstance(error, BrokenPipeError):  # a file, or a reader such as `head`
            raise
        with contextlib.suppress(OSError, ValueError):  # so that Python does not try again at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"zeroinit: error: cannot write to standard output: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package == "zeroinit":
            raise
        extra = "cli" if package in OF_THE_COMMAND_LINE else "bench"
        print(
            f"zeroinit: error: the package {package} is not installed, which this command needs; "
            f"pip install 'torch-zeroinit[{extra}]' brings all of them",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("zeroinit: interrupted", file=sys.stderr)
        sys.exit(130)
