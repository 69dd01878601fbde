"""``zeroinit audit``: a factory by name, formats, an exit code for continuous integration."""

import json
import sys
from pathlib import Path

import pytest

FACTORIES = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj, self.gate = nn.Linear(4, 4), nn.Parameter(torch.zeros(4))
        self.register_buffer("seen", torch.empty(4))

    def forward(self, x):
        self.seen.copy_(x[0])
        return self.proj(x) * self.gate

def healthy():
    return nn.Linear(4, 2), torch.ones(3, 4)

def set_proj(model):
    model.proj.reset_parameters()

def fails():
    raise RuntimeError("on purpose")

def words():
    return "words"
"""


@pytest.fixture(autouse=True)
def factories(secluded):
    Path("factories_for_audit.py").write_text(FACTORIES)
    kept = sys.path.copy()
    yield
    sys.path[:] = kept
    sys.modules.pop("factories_for_audit", None)


def test_a_healthy_model(zeroinit):
    ended = zeroinit("audit", "factories_for_audit:healthy", "--strict")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Initialized: no fault found in 2 parameters.")


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--strict",), 1)])
def test_strict_turns_warnings_into_an_exit_code(zeroinit, arguments, code):
    ended = zeroinit("audit", "factories_for_audit:Net", "--init", "factories_for_audit:set_proj", *arguments)
    assert ended.code == code
    assert "ZI201 warning (the model itself): The parameter `gate` was never written" in ended.out
    assert "`seen`" in ended.out


def test_inputs_fill_buffers_and_codes_are_chosen(zeroinit):
    filled = zeroinit("audit", "factories_for_audit:Net", "--inputs", "3x4", "--strict")
    assert filled.code == 0
    ignored = zeroinit("audit", "factories_for_audit:Net", "--ignore", "ZI201", "--strict")
    assert ignored.code == 0
    assert ignored.out.startswith("No other fault found in 3 parameters and 1 buffer: 1 warning left out by code.\n")


def test_a_code_of_inspect_is_refused(zeroinit):
    ended = zeroinit("audit", "factories_for_audit:Net", "--select", "ZI201,ZI006")
    assert (ended.code, ended.out) == (2, "")
    assert "select='ZI006': audit never gives this code; `zeroinit inspect` does" in ended.err
    assert "ZI201" in zeroinit("audit", "factories_for_audit:Net", "--select", "ZI201").out


def test_json_and_sarif(zeroinit):
    ended = zeroinit("audit", "factories_for_audit:Net", "--format", "json")
    content = json.loads(ended.out)
    assert content["findings"][0]["parameters"] == ["seen"]
    assert {each["name"]: each["rule"] for each in content["parameters"]}["proj.weight"] == "Linear.reset_parameters"
    log = json.loads(zeroinit("audit", "factories_for_audit:Net", "--format", "sarif").out)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("factories_for_audit.py")
    assert [each["ruleId"] for each in log["runs"][0]["results"]] == ["ZI201"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("factories_for_audit:fails",),
            "factory='factories_for_audit:fails': failed (RuntimeError: on purpose); run it alone first",
        ),
        (
            ("factories_for_audit:words",),
            "factory='factories_for_audit:words': returned 'words', which is no nn.Module; hand over a function",
        ),
        (("factories_for_audit:none",), "factories_for_audit has no function 'none'"),
        (("factories_for_audit:Net", "--init", "x"), "init='x': write package.module:function"),
        (("factories_for_audit:Net", "--format", "xml"), "format='xml': must be one of"),
    ],
)
def test_errors_are_one_line(zeroinit, arguments, says):
    ended = zeroinit("audit", *arguments)
    assert ended.code == 2
    assert says in ended.err
    assert len(ended.err.strip().splitlines()) == 1
