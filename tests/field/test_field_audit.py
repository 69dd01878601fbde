"""Each case of the audit gets its right answer: exactly the parameters at fault and the reason; healthy ones none."""

import pytest
import torch

from zeroinit.audit import AuditReport, audit

from . import (
    audit_bounds,
    audit_copies,
    audit_healthy,
    audit_models,
    audit_outside,
    audit_outside_2,
    audit_outside_3,
    audit_outside_4,
    audit_outside_5,
    audit_outside_6,
    audit_parts,
    audit_products,
    audit_received,
    audit_repairs,
    audit_threads,
    audit_written,
)
from .audit_harness import CASES

pytestmark = [pytest.mark.usefixtures("without_type_checks"), pytest.mark.filterwarnings("ignore")]
modules = (
    audit_bounds,
    audit_copies,
    audit_healthy,
    audit_models,
    audit_outside,
    audit_outside_2,
    audit_outside_3,
    audit_outside_4,
    audit_outside_5,
    audit_outside_6,
    audit_parts,
    audit_products,
    audit_received,
    audit_repairs,
    audit_threads,
    audit_written,
)
assert all(module.__name__ for module in modules)
FAULTS = [name for name, case in CASES.items() if case.code]
HEALTHY = [name for name, case in CASES.items() if not case.code]


def looked_at(name: str) -> AuditReport:
    arguments = CASES[name].make()
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    report = audit(arguments.pop("build"), **arguments)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_default_dtype() == dtype
    return report


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_name_and_explained(name):
    case = CASES[name]
    report = looked_at(name)
    is_information = case.code.startswith("ZI25")
    assert not (is_information and report.warnings), str(report)
    found = report.findings if is_information else report.warnings
    assert {each.code for each in found} == {case.code}, str(report)
    assert {at for each in found for at in each.parameters} == set(case.names), str(report)
    assert case.says in " ".join(str(report).split()), str(report)
    assert all(len(line) <= 100 for line in str(report).splitlines())


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_gets_no_warning(name):
    report = looked_at(name)
    assert report.warnings == (), str(report)
    assert report.verdict.startswith("Initialized: ")


def test_copied_biases_of_layers_that_differ_are_information():
    report = looked_at("biases_alone_are_copies")
    copies = [each for each in report.findings if each.code == "ZI252"]
    assert len(copies) == 4
    assert copies[0].message.endswith("linear1.bias` have the same random values; their other values differ.")


def test_gates_that_a_rule_for_all_layers_draws_are_information():
    report = looked_at("one_rule_for_all_matrices_of_a_model_with_an_lstm")
    packed = {each.parameters for each in report.findings if each.code == "ZI251"}
    assert packed == {("1.weight_ih_l0",), ("1.weight_hh_l0",)}


def test_a_verdict_counts_names_that_ranks_alone_have():
    report = looked_at("tied_matrix_differs_between_stages")
    assert report.verdict.startswith("Not initialized as meant: 2 of 4 parameters"), report.verdict


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.kind == "chosen" and not case.code])
def test_a_number_that_stays_or_is_set_by_name_is_no_information(name):
    assert looked_at(name).findings == ()


@pytest.mark.parametrize(
    ("name", "end"),
    [("rule_after_weight_norm_in_three_layers", "weight_g"), ("layers_that_are_deep_copies", "1.weight")],
)
def test_the_table_names_the_line_of_the_user_where_python_calls(name, end):
    places = {each.place.partition(":")[0] for each in looked_at(name).parameters if each.name.endswith(end)}
    assert places == {"audit_outside_5.py"}


def test_the_table_names_what_a_layer_copies():
    written = {each.name: each.rule for each in looked_at("critics_that_load_the_first_one").parameters}
    assert written["1.0.weight"] == "copy of 0.0.weight"
