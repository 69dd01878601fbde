"""Each case gets its right answer: verdict, place, cause, and a repair that works; healthy ones get no warning."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from zeroinit.symmetry import SymmetryReport, inspect

from . import (
    copies,
    flat,
    hidden,
    memory,
    numbers,
    reports_1,
    reports_2,
    reports_3,
    reports_4,
    reports_5,
    reports_6,
    reports_7,
    reports_8,
    reports_9,
    reports_10,
    reports_11,
    reports_12,
    reports_13,
    reports_14,
    reports_15,
    reports_16,
    reports_17,
    reports_18,
    reports_19,
    reports_20,
    reports_21,
    reports_22,
    reports_23,
    reports_24,
    reports_25,
    reports_26,
    reports_27,
    reports_28,
    reports_29,
    reports_30,
    reports_31,
    reports_32,
    reports_33,
    routing,
    steps,
    still,
    verdicts,
    wiring,
    zeros,
)
from .harness import CASES, Batch, Case

pytestmark = pytest.mark.usefixtures("without_type_checks")
PAGE = (Path(__file__).parents[2] / "docs" / "field.md").read_text()
LINES = dict(re.findall(r"^\| `(\w+)` \|(.*)", PAGE, re.MULTILINE))
"""What docs/field.md shows of each model."""
SECOND = (reports_1, reports_2, reports_3, reports_4)
THIRD = (reports_5, reports_6, reports_7, reports_8, reports_9, reports_10, reports_11)
FOURTH = (reports_12, reports_13, reports_14, reports_15, reports_16, reports_17, reports_18, reports_19)
FIFTH = (
    reports_20,
    reports_21,
    reports_22,
    reports_23,
    reports_24,
    reports_25,
    reports_26,
    reports_27,
    reports_28,
    reports_29,
    reports_30,
    reports_31,
    reports_32,
    reports_33,
)
REPORTS = (*SECOND, *THIRD, *FOURTH, *FIFTH)
"""Models of further readers, who did not know the inspector; their kinds are many."""
OPEN: set[str] = set()
"""Faults whose report is not right yet: a wrong reason, a repair that does not help, or nothing at all.

Whoever mends one takes it off this list; if the words there do not fit the new report, change them in the case.
"""
FAULTS = {name: case for name, case in CASES.items() if case.code}
HEALTHY = {name: case for name, case in CASES.items() if not case.code}
assert set(FAULTS) >= OPEN
modules = (copies, flat, hidden, memory, numbers, routing, steps, still, verdicts, wiring, zeros, *REPORTS)
assert all(module.__name__ for module in modules)


def built(case: Case) -> Batch:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return case.make()


def marked(name: str):
    """Mark a fault that is not reported as it should be; an error other than a failed check counts as one."""
    xfail = pytest.mark.xfail(strict=True, raises=AssertionError, reason="not right yet")
    return pytest.param(name, marks=xfail if name in OPEN else ())


def looked_at(batch: Batch) -> SymmetryReport:
    return inspect(batch.model, batch.inputs, batch.targets, **(batch.settings or {}))


def is_on_the_page(name: str, report: SymmetryReport) -> bool:
    """Whether docs/field.md shows the verdict as it is now; if not, run ``python docs/gallery.py``."""
    return name in OPEN or report.verdict.replace("|", "/") in LINES[name]


def plain(report: SymmetryReport) -> str:
    return " ".join(str(report).split())


@pytest.mark.filterwarnings(
    "ignore:None of the inputs have requires_grad",
    "ignore:std\\(\\)",
    "ignore:var\\(\\)",
    "ignore:Using a target",
    "ignore:Converting a",
)
@pytest.mark.parametrize("name", [marked(name) for name in FAULTS])
def test_a_fault_is_found_explained_and_mended(name):
    case = FAULTS[name]
    batch = built(case)
    report = looked_at(batch)
    right = [each for each in report.warnings if each.code == case.code]
    assert right, str(report)
    assert {each.code for each in report.warnings} <= {case.code, *_allowed(case)}, str(report)
    assert any(case.where in (each.path, *each.parameters) or _inside(case.where, each) for each in right), str(report)
    assert case.says in plain(report), str(report)
    assert not case.never or case.never not in plain(report), str(report)
    assert not report.verdict.startswith("Will learn:")
    assert is_on_the_page(name, report)
    assert "Cause not found" not in str(report)
    assert all(len(line) <= 100 for line in str(report).splitlines())
    if lines := typed(report):
        with torch.random.fork_rng():
            torch.manual_seed(2**31)  # not the seed of any model: its first draws would come again
            for line in lines:
                exec(line, {"nn": nn, "model": batch.model})
        assert looked_at(batch).warnings == (), str(looked_at(batch))


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`",
    "ignore:`torch.jit.script`",
    "ignore:Using a target",
    "ignore:Converting a tensor",
    "ignore:Full backward hook",
    "ignore:Using backward",
)
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_gets_no_warning(name):
    case = HEALTHY[name]
    report = looked_at(built(case))
    assert [str(each) for each in report.warnings] == []
    assert report.verdict.startswith(("Will learn: ", "No verdict: "))
    assert is_on_the_page(name, report)
    assert case.says in plain(report), str(report)


def typed(report: SymmetryReport) -> list[str]:
    """Return the lines with ``nn.init`` that the report says to type, also loops, where it says nothing else."""
    lines = []
    for each in report.warnings:
        found = re.findall(r"`((?:for \w in [^`]*: |\[)?nn\.init\.[^`]*)`", each.suggestion)
        if not found or "each p of" in each.suggestion:
            return []
        lines += found
    return list(dict.fromkeys(lines))


def _allowed(case: Case) -> tuple[str, ...]:
    consequences = ("ZI007",) if case.code in ("ZI006", "ZI008") else ()
    return (*case.also, *consequences)


def _inside(where: str, finding) -> bool:
    return any(name.startswith(where) for name in finding.parameters)


def test_the_page_has_all_models_but_the_open_ones():
    assert set(LINES) == set(CASES) - OPEN


def test_every_kind_has_a_healthy_model():
    names = {module.__name__ for module in REPORTS}
    kinds = {case.kind for case in FAULTS.values() if case.make.__module__ not in names}
    without = {"diverges", "sequence of one", "dead layer"}
    assert kinds - {case.kind for case in HEALTHY.values()} <= without
