"""The pages of finding codes, which need no further package."""

from pathlib import Path

from zeroinit._common import lookup
from zeroinit._findings.codes import in_full

__all__ = ["PAGES", "page"]

PAGES = Path(__file__).with_name("findings")
"""One page a code, as the site shows it."""


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
    return lookup(pages, name if name in pages else str(code), "code").read_text(encoding="utf-8").rstrip()
