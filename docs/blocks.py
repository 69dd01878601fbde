"""Run the Python on the pages and compare what it prints with what the page shows.

A page is one session, from top to bottom. Below Python, a block without a language shows what it prints. After
a change of printed texts run `python docs/blocks.py`: it writes all of them anew.
"""

import contextlib
import io
import linecache
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODES = ROOT / "src" / "zeroinit" / "cli" / "findings"
FENCE = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```\n(?P<shown>.*?)^```\n)?", re.DOTALL | re.MULTILINE)
NEEDS = re.compile(r"^(?:from|import) (transformers|lightning|peft|matplotlib)\b", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Python on a page: its code, what the page shows below it, and where."""

    code: str
    shown: str | None
    line: int


def pages() -> list[Path]:
    """Return every page with Python that is run: README, site, and those of ``zeroinit explain``."""
    written = [path for path in (ROOT / "docs").rglob("*.md") if path.name not in ("gallery.md", "report.md")]
    written = [path for path in written if "_build" not in path.parts and path.parent.name != "findings"]
    written.append(ROOT / "README.md")
    return sorted(path for path in (*written, *CODES.glob("*.md")) if "```python" in path.read_text(encoding="utf-8"))


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page."""
    return [Block(each["code"], each["shown"], text[: each.start()].count("\n") + 1) for each in FENCE.finditer(text)]


def agree(shown: str, printed: str, tolerance: float = 0.0) -> bool:
    """Tell whether two texts are equal, but for differences of at most ``tolerance`` between their decimal numbers."""
    first, second = (re.findall(r"[+-]?\d+\.\d+", text) for text in (shown, printed))
    pairs = list(zip(first, second, strict=False))
    rest = [re.sub(r"[+-]?\d+\.\d+", "", text) for text in (shown, printed)]
    return (
        rest[0] == rest[1]
        and len(first) == len(second)
        and all(abs(float(a) - float(b)) <= tolerance for a, b in pairs)
    )


def run(path: Path, pictures: Path | None = None) -> Iterator[tuple[Block, str]]:
    """Run a page in an empty folder, and yield each block with what it prints.

    A block that imports a framework which is not installed counts as printing what the page shows. Pictures that the
    page saves go to the folder ``pictures``.
    """
    import torch

    names: dict = {"__name__": "__main__"}
    before = Path.cwd()
    with torch.random.fork_rng(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # what frameworks say of each other, and warnings that a page speaks of
        torch.manual_seed(0)
        os.chdir(folder)
        try:
            for block in blocks(path.read_text(encoding="utf-8")):
                if any(find_spec(name) is None for name in NEEDS.findall(block.code)):
                    yield block, block.shown or ""
                    continue
                printed = io.StringIO()
                code, name = "\n" * block.line + block.code, f"<{path.name}>"  # as a notebook names its cells: no file
                linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
                with contextlib.redirect_stdout(printed):
                    exec(compile(code, name, "exec"), names)
                yield block, "".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines())
            if pictures is not None:
                for picture in Path(folder).glob("*.png"):
                    pictures.mkdir(exist_ok=True)
                    shutil.copyfile(picture, pictures / picture.name)
        finally:
            os.chdir(before)


def rewritten(path: Path) -> str:
    """Return the page with what its code prints now below each block that prints something."""
    text = path.read_text(encoding="utf-8")
    outputs = iter([printed for _, printed in run(path, path.parent / "figures")])

    def renew(match: re.Match) -> str:
        printed = next(outputs)
        shown = f"\n```\n{printed}```\n" if printed else ""
        return f"```python\n{match['code']}```\n{shown}"

    return FENCE.sub(renew, text)


def main(names: list[str]) -> None:
    """Write the outputs of all pages anew, or of those whose path holds one of the names."""
    import torch

    torch.set_num_threads(1)
    for path in pages():
        if not names or any(name in str(path) for name in names):
            new = rewritten(path)
            if new != path.read_text(encoding="utf-8"):
                path.write_text(new, encoding="utf-8")
                print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
