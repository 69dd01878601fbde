"""What ``audit`` promises: errors that say what to type, settings that stay, plain reports, the same answer twice."""

import json
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import zeroinit
from zeroinit import InputError
from zeroinit._findings.choosing import choose, without_known, write_baseline

pytestmark = pytest.mark.usefixtures("without_type_checks")


def fails(*_):
    raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"build": nn.Linear(2, 2)}, "build=a Linear: is no function that builds a model; hand over a function"),
        ({"build": 3}, "build=3: is no function"),
        ({"build": fails}, r"build=fails: failed \(RuntimeError: on purpose\); run it alone first"),
        (
            {"build": lambda: "words"},
            r"build=.*<lambda>: returned 'words', which is no nn.Module; hand over a function",
        ),
        ({"build": lambda: nn.Linear(2, 2), "init": fails}, "init=fails: failed"),
        ({"build": lambda: nn.Linear(2, 2), "batch": torch.ones(1, 3)}, r"batch=a tensor \(1, 3\) of float32: failed"),
        ({"build": lambda: nn.Linear(2, 2), "ranks": nn.Linear(2, 2)}, "ranks=Linear: hand over a list"),
        ({"build": lambda: nn.Linear(2, 2), "ranks": []}, r"ranks=\[\]: hand over a list"),
        ({"build": lambda: nn.Linear(2, 2), "ranks": 2}, "ranks=2: hand over a list"),
        ({"build": lambda: nn.Linear(2, 2), "init": 3}, "init=3: must be a function"),
        ({"build": lambda: nn.Linear(2, 2), "ranks": [fails]}, r"ranks\[0\]=fails: failed"),
        ({"build": lambda: nn.Linear(2, 2), "ranks": [3]}, r"ranks\[0\]=3: is no function"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        zeroinit.audit(**arguments)


def restless(fail: bool = False):
    """Change every setting while a model is built."""
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    if fail:
        raise RuntimeError("on purpose")
    return nn.Linear(2, 2)


@pytest.mark.parametrize("fail", [False, True])
def test_settings_stay(fail):
    register = nn.Module.register_parameter
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    if fail:
        with pytest.raises(InputError):
            zeroinit.audit(lambda: restless(True))
    else:
        assert {each.code for each in zeroinit.audit(restless).warnings} == {"ZI201"}  # it stays on the meta device
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002
    assert torch.get_default_dtype() == torch.float32
    assert torch.empty(0).device == torch.device("cpu")
    assert torch.is_grad_enabled()
    assert nn.Module.register_parameter is register
    assert "data" not in vars(nn.Parameter)
    assert not torch.empty(3).isnan().all()


def test_a_default_device_that_was_taken_back_is_no_matter(monkeypatch):
    """As in torch 2.6, whose own question fails after ``set_default_device(None)``."""

    def fail():
        raise AttributeError("'NoneType' object has no attribute 'device'")

    monkeypatch.setattr(torch, "get_default_device", fail)
    assert zeroinit.audit(restless).warnings
    assert not zeroinit.audit(lambda: nn.Linear(2, 2)).warnings


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj, self.gate = nn.Linear(4, 4), nn.Parameter(torch.empty(4))
        self.register_buffer("seen", torch.zeros(2))


def test_a_report_is_plain_data_and_the_same_twice():
    first, second = zeroinit.audit(Net), zeroinit.audit(Net)
    assert first == second
    content = json.loads(json.dumps(first.to_dict(), allow_nan=False))
    assert [each["name"] for each in content["parameters"]] == ["gate", "proj.weight", "proj.bias", "seen"]
    assert content["parameters"][0]["rule"] == "nobody"
    assert content["parameters"][1] == {
        "name": "proj.weight",
        "shape": [4, 4],
        "is_buffer": False,
        "rule": "Linear.reset_parameters",
        "place": content["parameters"][1]["place"],
        "num_writes": 1,
    }
    assert [each["ruleId"] for each in first.to_sarif()["runs"][0]["results"]] == ["ZI201"]
    assert repr(first).startswith("AuditReport(Net, warnings=1, ")
    assert "ZI201 warning (the model itself): The parameter `gate` was never written" in str(first)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight


def test_an_empty_parameter_that_was_tied_is_tied_again():
    def build(again: bool = False) -> nn.Module:
        with torch.device("meta"):
            model = Tied()
        model.to_empty(device="cpu")  # this line makes the memory
        model.load_state_dict({"embed.weight": torch.randn(5, 4)}, strict=False)
        if again:
            exec(lines[0], {"model": model})
        return model

    found = {each.code: each for each in zeroinit.audit(build).warnings}
    assert found.keys() == {"ZI201", "ZI209"}
    assert found["ZI201"].suggestion == "Tie it again: `model.head.weight = model.embed.weight`."
    assert f"test_audit_contract.py:{build.__code__.co_firstlineno + 3} in " in found["ZI201"].message
    lines = re.findall("`([^`]*)`", found["ZI201"].suggestion)
    assert zeroinit.audit(lambda: build(again=True)).warnings == ()


def test_the_first_repair_of_joined_parameters_brings_no_other_fault():
    def build(again: bool) -> nn.Module:
        model = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(2))
        model[1].weight = model[0].weight if again else nn.Parameter(model[0].weight.data)
        return model

    (found,) = zeroinit.audit(lambda: build(False)).warnings
    assert (found.code, found.suggestion[:34]) == ("ZI210", "Use one `nn.Parameter` in all plac")
    assert zeroinit.audit(lambda: build(True)).warnings == ()


def test_findings_are_chosen_as_those_of_inspect_are(tmp_path):
    report = zeroinit.audit(Net)
    assert choose(report, ignore=["ZI201"]).warnings == ()
    told = "No other fault found in 3 parameters and 1 buffer: 1 "
    assert choose(report, ignore=["ZI201"]).verdict == f"{told}warning left out by code."
    assert choose(report, select=["ZI201"]).verdict == report.verdict
    write_baseline(report, tmp_path / "known.json")
    known = without_known(report, tmp_path / "known.json")
    assert known.warnings == ()
    assert known.verdict == f"{told}known warning of {tmp_path / 'known.json'} left out."


def test_assert_initialized_fails_with_the_report():
    zeroinit.assert_initialized(lambda: nn.Linear(2, 2))
    with pytest.raises(AssertionError, match=r"`gate` was never written"):
        zeroinit.assert_initialized(Net)


def test_models_of_ranks_stay_as_they_are():
    model = nn.Linear(3, 3)
    before = model.weight.detach().clone()
    zeroinit.audit(lambda: nn.Linear(3, 3), ranks=[model, model])
    assert torch.equal(before, model.weight)


def test_a_model_that_cannot_be_built_on_meta_is_audited_directly():
    def build():
        return nn.Linear(int(torch.tensor(3)), 2) if torch.empty(0).device.type != "meta" else fails()

    report = zeroinit.audit(build, init=lambda model: model.reset_parameters())
    assert report.warnings == ()
    assert report.notes[0].startswith("not built on the meta device: build=build: failed (RuntimeError: on purpose)")


def test_the_name_is_a_function_even_if_the_package_of_that_name_is_imported_first():
    code = "from zeroinit.audit import Written\nimport zeroinit\nfrom torch import nn\n"
    code += "print(zeroinit.audit(lambda: nn.Linear(2, 2)).verdict)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Initialized: no fault found in 2 parameters.\n"


def own_normal(tensor, generator=None):
    tensor.normal_(0, 0.02, generator=generator)


def started(*given, call=zeroinit.initialize_):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    call(model, *given)
    return model


def started_from_zero(model):
    zeroinit.zero_start_(model).detach()


@pytest.mark.filterwarnings("ignore::zeroinit.remedies.remedy.RemedyWarning")
@pytest.mark.parametrize(
    ("given", "call", "rules"),
    [
        (["kaiming_normal"], zeroinit.initialize_, {"kaiming_normal"}),
        ([{"*": "xavier_normal"}], zeroinit.initialize_, {"initialize_"}),
        ([nn.init.orthogonal_], zeroinit.initialize_, {"orthogonal_", "initialize_"}),
        ([], started_from_zero, {"zero_start_"}),
    ],
)
def test_what_zeroinit_sets_is_written_by_the_line_that_calls_it(given, call, rules):
    report = zeroinit.audit(lambda: started(*given, call=call))
    assert report.warnings == ()
    assert {each.rule for each in report.parameters} == rules
    assert {each.place.partition(":")[0] for each in report.parameters} == {"test_audit_contract.py"}
    caller = "started" if given else "started_from_zero"
    assert {each.place.rpartition(" ")[2] for each in report.parameters} == {caller}


def test_your_own_initializer_keeps_its_own_line():
    written = zeroinit.audit(lambda: started(own_normal)).parameters
    assert {each.place.rpartition(" ")[2] for each in written if "weight" in each.name} == {"own_normal"}


class Marked(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"<b>": nn.Linear(2, 2)})
        self.gate = nn.Parameter(torch.empty(3))


def test_a_notebook_shows_the_findings_and_the_table_escaped():
    report = zeroinit.audit(Marked)
    html = report._repr_html_()
    assert html.count("<tr>") == 1 + len(report.parameters)
    assert "parts.&lt;b&gt;.weight" in html
    assert "<b>.weight" not in html
    assert "never written" in html
    assert "nn.init.normal_(model.gate, std=0.02)" in html
    assert html.count("<li>") == html.count("</li>") == len(report.findings) + len(report.notes)


def test_pytest_shows_the_report_without_the_code_of_the_assertion():
    with pytest.raises(AssertionError) as caught:
        zeroinit.assert_initialized(Marked)
    assert caught.traceback[-1].frame.code.name == "assert_initialized"
    assert caught.traceback.filter(caught)[-1].frame.code.name != "assert_initialized"
