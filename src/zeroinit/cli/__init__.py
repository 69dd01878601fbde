"""The command line: one file a command. Nothing here imports torch before a command runs."""

import contextlib
import os
import sys
from typing import NoReturn

from zeroinit._common import InputError
from zeroinit._imports import MissingExtra, missing
from zeroinit.cli.pages import page
from zeroinit.cli.streams import prepare_streams

__all__ = ["main"]

NEED_NO_BENCH = {"", "--help", "--version", "inspect", "audit", "explain"}
"""How a command line begins that needs the extra ``cli`` alone; a comparison would ask for the other one next."""

NO_THREAD = "can't start new thread"
"""How Python says that the system's limit of threads is reached."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. What a user can mend is one line on standard error and exit code 2.

    ``explain`` works without the extra ``cli``, because reports name it.
    """
    prepare_streams()
    try:
        from zeroinit.cli.app import run

        try:
            run(arguments)
        except Exception:
            if "_ZEROINIT_COMPLETE" in os.environ:  # the shell would write it where the user types
                sys.exit(1)
            raise
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or isinstance(error, BrokenPipeError):  # a file, or a reader such as `head`
            raise
        with contextlib.suppress(OSError, ValueError):  # so that Python does not try again at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"zeroinit: error: cannot write to standard output: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except MissingExtra as error:
        given = [*(sys.argv[1:] if arguments is None else arguments), ""]
        if given[0] != "explain" or given[1].startswith("-"):
            _end(error if given[0] in NEED_NO_BENCH else MissingExtra(missing(str(error.name), "bench")))
        try:
            print(page(given[1] or None))
        except InputError as unknown:
            _end(unknown)
    except RuntimeError as error:
        if str(error) != NO_THREAD:
            raise
        _end(InputError("the system starts no further thread; raise its limit (ulimit -u), or end other programs"))
    except (ImportError, AttributeError):
        if not (file := _in_the_way()):
            raise
        _end(InputError(f"{file} stands in the place of the package of this name; rename it"))
    except KeyboardInterrupt:
        print("zeroinit: interrupted", file=sys.stderr)
        sys.exit(130)


def _in_the_way() -> str:
    """Return a file of the working folder that Python took for a package that zeroinit needs."""
    files = (getattr(sys.modules.get(name), "__file__", None) or "" for name in ("torch", "numpy", "typer", "rich"))
    return next((each for each in files if each and os.path.dirname(os.path.abspath(each)) == os.getcwd()), "")


def _end(error: InputError) -> NoReturn:
    print(f"zeroinit: error: {error}", file=sys.stderr)
    sys.exit(2)
