"""The gallery: every fault is inspected, mended and inspected again, and the page shows what is printed."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import gallery  # noqa: E402  # docs/gallery.py
from faults import FAULTS, Fault  # noqa: E402

PAGE = gallery.GALLERY.read_text(encoding="utf-8")
LISTED = [fault for faults in FAULTS.values() for fault in faults]


@pytest.fixture(scope="module")
def cases():
    return gallery.cases()


@pytest.mark.parametrize("number", range(1, len(LISTED) + 1), ids=[fault.name for fault in LISTED])
def test_the_page_shows_a_fault_its_report_its_repair_and_the_report_after(number, cases, without_type_checks):
    fault = LISTED[number - 1]
    assert gallery.entry(number, fault, cases[fault.name]) in PAGE, "run `python docs/gallery.py`"


def test_there_are_twenty_real_faults_at_least():
    shown = re.findall(r"^### \d+\. .*\n\n.* Reported in \[[\w.-]+/[\w.-]+#\d+\]\(https://", PAGE, re.MULTILINE)
    assert len(shown) == len(LISTED) == PAGE.count("\n### ") >= 20
    assert PAGE.startswith(f"# Gallery of real faults\n\n{len(LISTED)} faults")


def test_a_repair_that_does_not_help_is_noticed(cases, without_type_checks):
    with pytest.raises(AssertionError, match="lora_a_and_b_zero is not mended"):
        gallery.entry(1, Fault("lora_a_and_b_zero", "", "", typed="pass"), cases["lora_a_and_b_zero"])


def test_a_repair_of_a_line_that_is_not_there_is_noticed(cases):
    with pytest.raises(AssertionError, match="has no 'no such line'"):
        gallery.entry(1, Fault("mse_broadcast", "", "", changed=(("no such line", ""),)), cases["mse_broadcast"])
