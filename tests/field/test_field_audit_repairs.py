"""Each repair that the audit prints is typed, and the audit runs again: the fault is gone, and no other one came."""

import re

import pytest
import torch
from torch import nn

from zeroinit.audit import AuditReport, audit

from . import test_field_audit
from .audit_harness import CASES

pytestmark = [pytest.mark.usefixtures("without_type_checks"), pytest.mark.filterwarnings("ignore")]
assert test_field_audit.modules
PROSE = ("Compute ", "Register it", "Set the values of ", "Initialize before the parametrization", "Go over ")
"""Starts of repairs that hold no line to type."""


GENERATOR = torch.Generator()
"""In the place of the user's own: each line that is typed goes on drawing from it."""


def lines_of(report: AuditReport) -> list[str]:
    told = dict.fromkeys(each.suggestion for each in report.warnings if each.code in ("ZI201", "ZI202", "ZI205"))
    return [re.findall("`([^`]*)`", each)[-1] for each in told if not each.startswith(PROSE)]


def typed(model: nn.Module, lines: list[str]) -> nn.Module:
    for line in lines:
        exec(line, {"model": model, "nn": nn, "torch": torch, "generator": GENERATOR})
    return model


def repaired(name: str) -> tuple[list[str], AuditReport]:
    """Return the lines that the first report says to type, and the report after they were typed."""
    arguments = CASES[name].make()
    build, init, ranks = (arguments.pop(key, None) for key in ("build", "init", "ranks"))
    lines = lines_of(audit(build, init=init, ranks=ranks, **arguments))

    def init_and_type(model: nn.Module) -> None:
        made = init(model)
        typed(made if isinstance(made, nn.Module) else model, lines)

    def with_lines(function):
        return (lambda: typed(function(), lines)) if init is None else function

    more = {} if ranks is None else {"ranks": [with_lines(each) for each in ranks]}
    return lines, audit(with_lines(build), init=init and init_and_type, **more, **arguments)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.code in ("ZI201", "ZI205")])
def test_the_fault_is_gone_after_the_repair_and_no_other_came(name):
    lines, report = repaired(name)
    codes = {each.code for each in report.warnings}
    if "ranks" in CASES[name].make():  # a line typed on one rank alone draws once more than the others
        codes -= {"ZI208"}
    assert not lines or not codes, (lines, str(report))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.code == "ZI202"])
def test_a_repair_of_a_lost_write_reaches_the_forward_pass(name):
    arguments = CASES[name].make()
    lines = lines_of(audit(arguments["build"], batch=arguments.get("batch")))
    if not lines or "batch" not in arguments:
        return
    torch.manual_seed(0)
    model = arguments["build"]()
    with torch.no_grad():
        before = model(arguments["batch"])
        after = typed(model, lines)(arguments["batch"])
    assert not torch.allclose(before, after)


@pytest.mark.parametrize("name", ["heads_are_an_expanded_view", "heads_of_vmap_with_one_randomness"])
def test_slices_of_one_memory_get_memory_of_their_own(name):
    build = CASES[name].make()["build"]
    (warning,) = audit(build).warnings
    lines = [each for each in re.findall("`([^`]*)`", warning.suggestion) if "model." in each]
    assert len(lines) == 2
    assert audit(lambda: typed(build(), lines)).warnings == ()
    assert 0 not in typed(build(), lines).w.stride()
