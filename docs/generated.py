"""What the site makes of the package: pages of codes, commands and names before the build, Markdown after it."""

import importlib
import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CODES = Path(__file__).parent.parent / "src" / "zeroinit" / "cli" / "findings"
NOTEBOOKS = Path(__file__).parent / "notebooks"
API = {
    "zeroinit": "The library: what `import zeroinit` gives you.",
    "zeroinit.init": "Initializers: in place, on any module.",
    "zeroinit.symmetry": "What `inspect` returns, and the observer of a training.",
    "zeroinit.audit": "What `audit` returns.",
    "zeroinit.remedies": "Hooks that act during the first updates.",
    "zeroinit.integrations": "What `watch` returns, and what the callbacks raise.",
    "zeroinit.bench": "The bench: data, networks, training, studies.",
    "zeroinit.bench.stats": "Intervals, tests and sample sizes.",
}
"""Each package with names of its own, and a page for it."""
SITE = "zeroinit"
SUMMARY = (
    "Will my layers learn? zeroinit looks at any PyTorch model for a few steps and tells you, "
    "and starts networks from zero weights."
)


def names() -> set[str]:
    """Return the pages and notebooks that are made here, seen from docs."""
    codes = {f"reference/findings/{path.name}" for path in CODES.glob("*.md")}
    notebooks = {f"notebooks/{path.stem}.ipynb" for path in NOTEBOOKS.glob("*.md")}
    return codes | notebooks | {"reference/cli.md"} | {f"reference/api/{name}.md" for name in API}


def write_pages(docs: Path) -> None:
    """Write the pages of codes, of the command line and of names."""
    for folder in ("findings", "api"):
        (docs / "reference" / folder).mkdir(parents=True, exist_ok=True)
    for path in CODES.glob("*.md"):
        _write(docs / "reference" / "findings" / path.name, path.read_text(encoding="utf-8"))
    _write(docs / "reference" / "cli.md", "\n".join(command_line()))
    for name, summary in API.items():
        text = "\n".join([f"# {name}\n\n{summary}\n", *directives(name)])
        _write(docs / "reference" / "api" / f"{name}.md", text)


def _write(path: Path, text: str) -> None:
    """Leave a page alone that says so already, so that Sphinx need not read it again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def command_line() -> Iterator[str]:
    """Yield the lines of the page of all commands."""
    import typer

    from zeroinit.cli import app

    for name in app.COMMANDS:
        importlib.import_module(f"zeroinit.cli.{name}")
    group: Any = typer.main.get_command(app.app)
    yield "# Command line\n\n`zeroinit COMMAND --help` prints the same in your terminal.\n"
    for name in app.COMMANDS:
        command = group.commands[name]
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        shown = " ".join(each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments)
        yield f"## zeroinit {name}\n\n{command.help}\n\n```sh\n{f'zeroinit {name} {shown}'.strip()} [OPTIONS]\n```\n"
        if not command.params:
            continue
        yield "| option | default | meaning |\n|---|---|---|"
        for each in command.params:
            is_option = each.param_type_name == "option"
            written = ", ".join(f"`{option}`" for option in each.opts) if is_option else f"`{each.name.upper()}`"
            default = "" if each.default in (None, "", False, ()) else f"`{each.default}`"
            yield f"| {written} | {default} | {(each.help or '').replace('|', '/')} |"
        yield ""


def public(module: str) -> Iterator[tuple[str, Any]]:
    """Yield the names of a package that ``zeroinit`` itself has not, with what they are: functions, classes, tables."""
    package = importlib.import_module(module)
    elsewhere = () if module == "zeroinit" else importlib.import_module("zeroinit").__all__
    found = [(name, getattr(package, name)) for name in package.__all__ if name not in elsewhere]
    found = [(name, getattr(value, name) if inspect.ismodule(value) else value) for name, value in found]
    yield from sorted(found, key=lambda each: (isinstance(each[1], dict), inspect.isclass(each[1])))


def directives(module: str) -> Iterator[str]:
    """Yield what Sphinx turns into the documentation of a package's names."""
    for name, value in public(module):
        if isinstance(value, dict):
            yield from table(name, value)
        elif callable(value):
            kind = "autoclass" if inspect.isclass(value) else "autofunction"
            home = (
                f"{module}.{name}" if f"{module}.{name}" in sys.modules else module
            )  # a package of the function's name
            yield f"```{{eval-rst}}\n.. {kind}:: {home}.{name}\n```\n"


def table(name: str, entries: dict[str, Any]) -> Iterator[str]:
    """Yield a table of named entries and what each of them does."""
    yield f"## {name}\n\n| name | meaning |\n|---|---|"
    for key, entry in entries.items():
        doc = (inspect.getdoc(entry) or "") if callable(entry) else ""
        text = getattr(entry, "summary", None) or getattr(entry, "title", None) or doc.partition("\n\n")[0]
        yield f"| `{key}` | {' '.join(text.replace('|', '/').split())} |"
    yield ""


def signatures(module: str) -> Iterator[str]:
    """Yield a package's names with their docstrings, as Markdown."""
    yield f"# {module}\n\n{API[module]}\n"
    for name, value in public(module):
        if isinstance(value, dict):
            yield from table(name, value)
        elif callable(value):
            is_error = inspect.isclass(value) and issubclass(value, Exception)
            signature = "" if is_error else inspect.signature(value)
            yield f"## {name}\n\n```text\n{name}{signature}\n\n{inspect.getdoc(value)}\n```\n"


def write_beside(docs: Path, built: Path, order: Sequence[str]) -> None:
    """Write what lies beside the pages: each as Markdown, ``llms.txt``, which lists them, and the reports of studies.

    Args:
        docs: The pages' sources.
        built: The folder of the site.
        order: The pages without their suffix, in the order of the contents.
    """
    lines = [f"# {SITE}", "", f"> {SUMMARY}", ""]
    for name in order:
        source, target = docs / f"{name}.md", built / f"{name}.md"
        if source.parent.name == "api":
            target.write_text("\n".join(signatures(source.stem)), encoding="utf-8")
        else:
            shutil.copyfile(source, target)
        title, first = _title(target.read_text(encoding="utf-8"))
        lines.append(f"* [{title}]({name}.md): {first}")
    (built / "llms.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    for path in NOTEBOOKS.glob("*.md"):
        cells = json.dumps(notebook(path.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
        (built / "notebooks" / f"{path.stem}.ipynb").write_text(f"{cells}\n", encoding="utf-8")
    for report in (docs / "results").glob("*/index.html"):
        folder = built / "results" / report.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(report, folder / "index.html")


def notebook(text: str) -> dict[str, Any]:
    """Return a page as a notebook: its Python as cells without output, pictures left out, for they are drawn again."""
    cells: list[dict[str, Any]] = []
    for part in re.split(r"^(```python\n.*?^```\n(?:\n```\n.*?^```\n)?)", text, flags=re.DOTALL | re.MULTILINE):
        code = re.match(r"```python\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
        source = code[1].strip() if code else re.sub(r"^!\[.*\n", "", part, flags=re.MULTILINE).strip()
        cell: dict[str, Any] = {"id": f"cell-{len(cells)}", "metadata": {}, "source": source.splitlines(keepends=True)}
        kind = {"cell_type": "code", "execution_count": None, "outputs": []} if code else {"cell_type": "markdown"}
        if source:
            cells.append({**kind, **cell})
    return {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


def _title(text: str) -> tuple[str, str]:
    """Return a page's title and first sentence."""
    match = re.search(r"^# (.+?)\n+(.*?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    assert match, text[:80]
    return match[1], re.split(r"(?<=[.?!])\s", " ".join(match[2].split()))[0]
