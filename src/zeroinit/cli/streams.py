"""The two streams of the command line: standard output belongs to what a command prints, in any encoding."""

import codecs
import contextlib
import os
import sys

__all__ = ["for_the_report", "prepare_streams"]

IN_ASCII = {
    "×": "x",
    "±": "+-",
    "…": "...",
    "–": "-",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
}
"""What stands for characters that an encoding lacks; "?" for all others."""


def prepare_streams() -> None:
    """Let both streams take every text; end the program if standard output is closed."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until the program ends
    if sys.stdout is None:
        print("zeroinit: error: standard output is closed; > /dev/null drops what is printed", file=sys.stderr)
        sys.exit(2)
    codecs.register_error("zeroinit", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a stream of another kind takes care of itself
            stream.reconfigure(errors="zeroinit")  # type: ignore[union-attr]


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(IN_ASCII.get(each, "?") for each in error.object[error.start : error.end]), error.end


def for_the_report() -> contextlib.AbstractContextManager:
    r"""Send what a model's code prints to standard error, so that the report alone is on standard output.

    Example:
        >>> import io
        >>> with contextlib.redirect_stderr(io.StringIO()) as err, for_the_report():
        ...     print("building the model")
        >>> err.getvalue()
        'building the model\n'
    """
    return contextlib.redirect_stdout(sys.stderr)
