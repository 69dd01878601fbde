"""Write docs/field.md: the models of tests/field, where each comes from, and what ``inspect`` prints for it now.

Run it after a change of texts: `python docs/gallery.py`. The tests check that the page says what is printed.
"""

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from zeroinit.symmetry import inspect

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "field.md"
KINDS = ("zeros", "flat", "still", "copies", "routing", "wiring", "numbers", "verdicts", "hidden", "steps", "memory")
FILES = (*KINDS, *(f"reports_{i}" for i in range(1, 12)))
HEAD = """# Models from public reports

What `zeroinit.inspect` says about models that people asked about, and about healthy ones that look like them. Each
model is rebuilt in our own words. The first column names its function in `tests/field`. The tests run every model,
check the answer, and type the repair where it is a line of code. `benchmarks/rivals.py` runs other tools on the models
up to `reports_4`. Faults whose report is not right yet are not listed: `OPEN` in `tests/field/test_field_cases.py`.

| model | kind | source | verdict | first repair |
|---|---|---|---|---|
"""


def row(name: str, case: Any) -> str:
    """Return one line of the table."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batch = case.make()
    report = inspect(batch.model, batch.inputs, batch.targets, **(batch.settings or {}))
    repair = report.warnings[0].suggestion if report.warnings else ""
    cells = (f"`{name}`", case.kind, case.source, report.verdict, repair)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def page() -> str:
    """Return the whole page."""
    sys.path.insert(0, str(ROOT / "tests"))
    for name in FILES:
        importlib.import_module(f"field.{name}")
    cases = importlib.import_module("field.harness").CASES
    unlisted = importlib.import_module("field.test_field_cases").OPEN
    rows = (row(name, case) for name, case in cases.items() if name not in unlisted)
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    PAGE.write_text(page())
