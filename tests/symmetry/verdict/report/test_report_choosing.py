"""Codes that count, and a baseline of known warnings."""

import json

import pytest
from torch import nn

from zeroinit import InputError
from zeroinit._findings.choosing import choose, without_known, write_baseline
from zeroinit.symmetry import assert_symmetry_broken, inspect

from ...zoo import VECTORS, mlp


def flawed(*paths: str) -> nn.Sequential:
    model = mlp(nn.Tanh)
    for path in paths:
        for parameter in model.get_submodule(path).parameters():
            nn.init.zeros_(parameter)
    return model


def codes(report) -> set[str]:
    return {each.code for each in report.findings}


def test_codes_that_are_selected_or_ignored():
    report = inspect(flawed("2", "4"), VECTORS)
    assert {"ZI006", "ZI007"} <= codes(report)
    assert codes(choose(report, select=["ZI006"])) == {"ZI006"}
    assert "ZI006" not in codes(choose(report, ignore=["ZI006"]))
    assert {each.severity for each in choose(report, select=["ZI0"]).findings} == {"warning"}
    with pytest.raises(InputError, match=r"^select='ZI0': ignore='ZI' leaves none of these codes; leave one out$"):
        choose(report, select=["ZI0"], ignore=["ZI"])
    assert choose(report).findings == report.findings


def test_codes_in_lower_case_count():
    report = inspect(flawed("2", "4"), VECTORS)
    assert codes(choose(report, ignore=["zi006"])) == codes(choose(report, ignore=["ZI006"])) != codes(report)
    assert codes(choose(report, select="zi0")) == codes(choose(report, select="ZI0"))


def test_a_text_may_list_codes_as_on_the_command_line():
    report = inspect(flawed("2", "4"), VECTORS)
    assert codes(choose(report, ignore="ZI006, ZI007")) == codes(choose(report, ignore=["ZI006", "ZI007"]))
    with pytest.raises(InputError, match="ignore='ZI999': no code starts like this"):
        choose(report, ignore="ZI006,ZI999")


def test_pytest_shows_the_warnings_without_the_code_of_the_assertion():
    with pytest.raises(AssertionError) as caught:
        assert_symmetry_broken(flawed("2", "4"), VECTORS)
    assert caught.traceback[-1].frame.code.name == "assert_symmetry_broken"
    assert caught.traceback.filter(caught)[-1].frame.code.name != "assert_symmetry_broken"


def test_an_unknown_code_is_an_error():
    report = inspect(mlp(), VECTORS)
    with pytest.raises(
        InputError,
        match=r"select='ZI999': no code starts like this; did you mean .* `zeroinit explain` lists all codes",
    ):
        choose(report, select=["ZI999"])
    with pytest.raises(InputError, match="ignore=''"):
        choose(report, ignore=[""])


def test_the_assertion_counts_causes_as_the_report_does():
    """Each finding is listed, and the repair of its cause once."""
    alike = mlp()
    for parameter in (*alike[0].parameters(), alike[2].weight):
        nn.init.constant_(parameter, 0.1)
    for model in (flawed("2", "4"), alike):
        report = inspect(model, VECTORS)
        with pytest.raises(AssertionError) as caught:
            assert_symmetry_broken(model, VECTORS)
        head, *lines = str(caught.value).splitlines()
        assert f"\n{head}; " in str(report)
        assert sum(line.startswith("    -> ") for line in lines) == int(head.split()[1])
        assert {line.split()[0] for line in lines if line.startswith("  ZI")} == {each.code for each in report.warnings}


def test_the_assertion_takes_codes_to_ignore():
    with pytest.raises(AssertionError, match="ZI006"):
        assert_symmetry_broken(flawed("2", "4"), VECTORS)
    assert_symmetry_broken(flawed("2", "4"), VECTORS, ignore=["ZI006", "ZI007"])


def test_a_baseline_hides_what_is_known_and_nothing_else(tmp_path):
    known = tmp_path / "baseline.json"
    first = inspect(flawed("2", "4"), VECTORS)
    write_baseline(first, known)
    assert without_known(first, known).warnings == ()
    assert f"{len(first.warnings)} known warnings of {known} left out" in without_known(first, known).notes
    healthy = without_known(inspect(mlp(), VECTORS), known)
    assert any("not seen any more" in note for note in healthy.notes)
    write_baseline(choose(first, select=["ZI007"]), known)
    assert {each.code for each in without_known(first, known).warnings} == {"ZI006"}


def test_a_baseline_that_cannot_be_read(tmp_path):
    report = inspect(mlp(), VECTORS)
    for text in ("no json", json.dumps({"format": 1})):
        (tmp_path / "baseline.json").write_text(text)
        with pytest.raises(InputError, match="write one with --write-baseline"):
            without_known(report, tmp_path / "baseline.json")
    with pytest.raises(InputError, match="there is no such file; write it with --write-baseline"):
        without_known(report, tmp_path / "absent.json")


def test_the_verdict_says_that_warnings_were_left_out(tmp_path):
    report = inspect(flawed("2", "4"), VECTORS)
    write_baseline(report, tmp_path / "known.json")
    left = without_known(report, tmp_path / "known.json")
    (note,) = left.left_out
    assert note.endswith("known.json left out")
    assert left.verdict == f"No other warning: {note}."
    assert note in left.to_dict()["notes"]
    assert str(left).startswith("No other warning: ")
    assert choose(report, ignore=["ZI0"]).verdict.endswith(" left out by code.")


def test_the_verdict_stays_where_nothing_was_left_out_or_a_warning_is_new(tmp_path):
    write_baseline(inspect(flawed("2"), VECTORS), tmp_path / "known.json")
    healthy = inspect(flawed(), VECTORS)
    assert without_known(healthy, tmp_path / "known.json").verdict == healthy.verdict
    flawed_more = inspect(flawed("2", "4"), VECTORS)
    assert "left out" not in without_known(flawed_more, tmp_path / "known.json").verdict
