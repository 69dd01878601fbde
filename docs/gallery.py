"""Write docs/gallery.md, real faults with their reports and repairs, and docs/field.md, all models of tests/field.

Run it after a change of texts: `python docs/gallery.py`. The tests check that both pages say what is printed.
"""

import ast
import contextlib
import importlib
import inspect
import io
import re
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import torch

import zeroinit

sys.path.insert(0, str(Path(__file__).parent))
from faults import FAULTS, Fault  # beside this file

ROOT = Path(__file__).parent.parent
FIELD = ROOT / "docs" / "field.md"
GALLERY = ROOT / "docs" / "gallery.md"
KINDS = ("zeros", "flat", "still", "copies", "routing", "wiring", "numbers", "verdicts", "hidden", "steps", "memory")
FILES = (*KINDS, *(f"reports_{i}" for i in range(1, 13)))
FIELD_HEAD = """# Models from public reports

What `zeroinit.inspect` says about models that people asked about, and about healthy ones that look like them. Each
model is rebuilt in our own words. The first column names its function in `tests/field`. The tests run every model,
check the answer, and type the repair where it is a line of code. `benchmarks/rivals.py` runs other tools on the models
up to `reports_4`. Faults whose report is not right yet are not listed: `OPEN` in `tests/field/test_field_cases.py`.

| model | kind | source | verdict | first repair |
|---|---|---|---|---|
"""
HEAD = """# Gallery of real faults

{count} faults that people reported in public, each with the report of `inspect`, the repair and the report after. Every
model is small and rebuilt in our own words. A test runs all of it again.

Reports are shown without the checks that passed, which begin with `ok`. Every block needs these imports:

<!-- fmt: off -->

```python
import copy

import torch
import torch.nn.functional as F
from torch import nn

import zeroinit
```
"""


def cases() -> dict[str, Any]:
    """Return all models of tests/field by name."""
    sys.path.insert(0, str(ROOT / "tests"))
    for name in FILES:
        importlib.import_module(f"field.{name}")
    return importlib.import_module("field.harness").CASES


def row(name: str, case: Any) -> str:
    """Return one line of the table of all models."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batch = case.make()
    report = zeroinit.inspect(batch.model, batch.inputs, batch.targets, **(batch.settings or {}))
    repair = report.warnings[0].suggestion if report.warnings else ""
    cells = (f"`{name}`", case.kind, case.source, report.verdict, repair)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def field() -> str:
    """Return the page of all models."""
    all_cases = cases()
    unlisted = importlib.import_module("field.test_field_cases").OPEN
    rows = (row(name, case) for name, case in all_cases.items() if name not in unlisted)
    return FIELD_HEAD + "\n".join(rows) + "\n"


def script(case: Any) -> str:
    """Return the body of a case's function as a script that makes a model and its batch."""
    source = textwrap.dedent(inspect.getsource(case.make))
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    *body, last = function.body[1:]
    lines = source.splitlines()[body[0].lineno - 1 : last.lineno - 1]
    assert isinstance(last, ast.Return)
    assert isinstance(last.value, ast.Call)
    names = ("model", "inputs", "targets")
    made = [f"{name} = {ast.unparse(value)}" for name, value in zip(names, last.value.args[:3], strict=False)]
    return "\n".join([textwrap.dedent("\n".join(lines)), *(each for each in made if not _says_nothing(each)), ""])


def _says_nothing(line: str) -> bool:
    return line.endswith("= None") or len(set(line.split(" = "))) == 1


def call(case: Any) -> str:
    """Return the line that inspects what a script has made."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(case.make))).body
    arguments = function.body[-1].value.args
    shown = ["model", "inputs"]
    if len(arguments) > 2 and ast.unparse(arguments[2]) != "None":
        shown.append("targets")
    if len(arguments) > 3:
        settings = arguments[3]
        shown += [f"{key.value}={ast.unparse(each)}" for key, each in zip(settings.keys, settings.values, strict=True)]
    return f"report = zeroinit.inspect({', '.join(shown)})\nprint(report)\n"


def printed(code: str) -> tuple[str, Any]:
    """Run a script, and return its report, and what it prints but for the checks that passed."""
    names: dict[str, Any] = {"__name__": "gallery"}
    imports = re.search(r"```python\n(.*?)```", HEAD, re.DOTALL)
    assert imports
    out = io.StringIO()
    with torch.random.fork_rng(), contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(imports[1] + code, "<gallery>", "exec"), names)
    return "".join(f"{line}\n" for line in out.getvalue().splitlines() if not line.startswith("ok ")), names["report"]


def entry(number: int, fault: Fault, case: Any) -> str:
    """Return one fault: where it comes from, the model, the report, the repair, the report after."""
    code, inspected = script(case), call(case)
    report, _ = printed(code + inspected)
    mended = code
    for old, new in fault.changed:
        assert old in mended or old in inspected, f"{fault.name} has no {old!r}"
        mended, inspected = mended.replace(old, new), inspected.replace(old, new)
    typed = f"{fault.typed}\n" if fault.typed else ""
    after, mended_report = printed(f"{mended}{typed}{inspected}")
    assert not mended_report.warnings, f"{fault.name} is not mended: {after}"
    link = re.sub(r"^([\w.-]+/[\w.-]+)#(\d+).*", r"[\1#\2](https://github.com/\1/issues/\2)", case.source)
    parts = [
        f"### {number}. {fault.title}",
        f"{fault.story} Reported in {link}.",
        f"```python\n{code}{call(case)}```",
        f"```\n{report}```",
        "The repair:",
        f"```python\n{typed}```" if typed else f"```diff\n{difference(code + call(case), mended + inspected)}```",
        "The report after:",
        f"```\n{textwrap.fill(mended_report.verdict, 100)}\n```",
    ]
    return "\n\n".join(parts)


def difference(before: str, after: str) -> str:
    """Return the lines that differ, marked."""
    import difflib

    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    kept = [line for line in lines if line.startswith(("- ", "+ "))]
    margin = min(len(line[2:]) - len(line[2:].lstrip()) for line in kept)
    return "".join(f"{line[:2]}{line[2 + margin :]}\n" for line in kept)


def gallery() -> str:
    """Return the gallery."""
    all_cases = cases()
    parts, number = [], 0
    for group, faults in FAULTS.items():
        parts.append(f"## {group}")
        for fault in faults:
            number += 1
            parts.append(entry(number, fault, all_cases[fault.name]))
    return "\n\n".join([HEAD.format(count=number).strip(), *parts]) + "\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    GALLERY.write_text(gallery())
    if sys.argv[1:] != ["gallery"]:
        FIELD.write_text(field())
