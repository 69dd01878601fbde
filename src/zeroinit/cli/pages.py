"""The pages of finding codes, which need no further package."""

import re
import textwrap
from pathlib import Path

from zeroinit._common import InputError, closest
from zeroinit._findings.codes import in_full, meant

__all__ = ["PAGES", "fitted", "page"]

PAGES = Path(__file__).with_name("findings")
"""One page a code, as the site shows it."""


def fitted(text: str, width: int) -> str:
    r"""Return a text whose paragraphs have this many columns; blocks of code stay as they are.

    Example:
        >>> print(fitted("one two\n\n```\na = b + c\n```", 5))
        one
        two
        <BLANKLINE>
        ```
        a = b + c
        ```
    """
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _wrapped(part, width) for part in parts)


def _wrapped(text: str, width: int) -> str:
    """Wrap at words what is longer than a line; a list or a table keeps its lines."""
    lines = re.sub(r"(?<=[^\n])\n(?!ZI\d)(?=[A-Za-z`\"(])", " ", text).split("\n")
    return "\n".join(
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) if len(line) > width else line
        for line in lines
    )


def page(code: str | None) -> str:
    r"""Return the page of a code, or a list of the codes that begin like this.

    Args:
        code: As ``"ZI006"``, ``"6"`` or ``"ZI0"``; ``None`` lists all.

    Raises:
        InputError: There is no such code.

    Example:
        >>> page("ZI006").partition("\n")[0]
        '# ZI006: two factors are zero, so that each cuts off the other'
    """
    pages = {path.stem: path for path in sorted(PAGES.glob("ZI*.md"))}
    start = "ZI" if code is None else code.strip().upper()
    listed = [path for name, path in pages.items() if name.startswith(start) and name != start]
    if listed:
        titles = [path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in listed]
        return "\n".join([*titles, "", f"More on one of them: zeroinit explain {listed[0].stem}"])
    name = in_full(start)
    if name not in pages:
        near = closest(meant(start), pages, f"it must be one of {', '.join(pages)}")
        raise InputError(f"code={code!r}: {near.removeprefix('; ')}")
    return pages[name].read_text(encoding="utf-8").rstrip()
