"""``zeroinit inspect``: a factory by name, three formats, and an exit code for continuous integration."""

import json
import sys
from pathlib import Path

import pytest

FACTORIES = """
import argparse
import torch
from torch import nn

def healthy():
    return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 5))

def flawed():
    model = healthy()
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.zeros_(model[0].bias)
    nn.init.constant_(model[2].weight, 0.1)
    return model, torch.randn(8, 12, generator=torch.Generator().manual_seed(0))

def frozen():
    model, inputs = flawed()
    return model.requires_grad_(False), inputs

def deep():
    return nn.Sequential(nn.Linear(12, 8), nn.Sequential(nn.Tanh(), nn.Linear(7, 3)))

def reads_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=8)
    return nn.Linear(12, parser.parse_args().width)

def misfit():
    return healthy(), torch.ones(8, 13)

def fails():
    raise RuntimeError("on purpose")

def needs(width):
    pass

async def later():
    pass

def kind():
    return Named

def array():
    return healthy(), torch.ones(8, 12).numpy()

def noisy():
    print("building the model")
    return flawed()

MODEL = healthy()

class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 5)

    def forward(self, input_ids, mask=None):
        return self.layer(input_ids)

class Loud(Named):
    def forward(self, input_ids):
        print("in the pass")
        return super().forward(input_ids)

def words():
    return "words"

def all_one(tensor, generator):
    tensor.fill_(1.0)

def of_no_form(model, data):
    pass

def ends():
    raise SystemExit(0)

def stops():
    raise GeneratorExit

class Ends(nn.Linear):
    def forward(self, inputs):
        raise SystemExit(0)

def ends_in_forward():
    return Ends(12, 8)
"""


@pytest.fixture(autouse=True)
def factories(secluded):
    Path("factories_for_inspect.py").write_text(FACTORIES)
    kept = sys.path.copy()
    yield
    sys.path[:] = kept
    sys.modules.pop("factories_for_inspect", None)


def test_a_factory_that_reads_arguments_gets_none_of_ours(zeroinit):
    sys.argv[1:] = ["inspect", "--strict"]
    ended = zeroinit("inspect", "factories_for_inspect:reads_arguments", "--inputs", "16x12", "--strict")
    assert (ended.code, ended.err) == (0, "")
    assert sys.argv == ["zeroinit", "inspect", "--strict"]


def test_an_absolute_path_below_the_present_folder_is_a_module(zeroinit):
    ended = zeroinit("inspect", f"{Path.cwd()}/pkg/models.py:healthy")
    assert ended.err.endswith("write 'pkg.models:healthy', a module and not a file\n")


@pytest.mark.parametrize("style", ["json", "sarif"])
@pytest.mark.parametrize("factory", ["noisy", "Loud"])
def test_what_the_model_prints_does_not_break_the_report(zeroinit, style, factory):
    inputs = ["--inputs", "input_ids=8x12"] if factory == "Loud" else []
    ended = zeroinit("inspect", f"factories_for_inspect:{factory}", *inputs, "--format", style)
    assert ended.code == 0
    assert json.loads(ended.out)
    assert ("building the model\n" if factory == "noisy" else "in the pass\n") in ended.err


def test_warnings_that_the_choice_of_codes_hides_are_counted(zeroinit):
    ended = zeroinit("inspect", "factories_for_inspect:flawed", "--strict", "--select", "ZI006")
    assert ended.code == 0
    assert "1 warning left out by code" in ended.out
    assert "left out" not in zeroinit("inspect", "factories_for_inspect:healthy", "--inputs", "8x12").out


def test_the_table(zeroinit):
    ended = zeroinit("inspect", "factories_for_inspect:healthy", "--inputs", "8x12", "--strict")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Will learn: all 4 parameters get a gradient by step 1.\nSequential: no warnings; 4 of")


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--strict",), 1)])
def test_strict_turns_warnings_into_an_exit_code(zeroinit, arguments, code):
    ended = zeroinit("inspect", "factories_for_inspect:flawed", *arguments, "--optimizer", "sgd", "--steps", "3")
    assert ended.code == code
    assert "ZI001 warning 0: All 8 units of `0` are identical" in ended.out
    assert "within 3 steps (sgd," in ended.out


@pytest.mark.parametrize("initializer", ["factories_for_inspect:all_one", "constant_bias"])
def test_an_initializer_by_name_or_by_path(zeroinit, initializer):
    arguments = ("inspect", "factories_for_inspect:healthy", "--inputs", "8x12", "--strict", "--initializer")
    ended = zeroinit(*arguments, initializer)
    assert ended.code == 1
    assert "All 8 units of `0` are identical" in ended.out
    assert zeroinit(*arguments, "torch.nn.init:orthogonal_").code == 0


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        ("factories_for_inspect:all_on", "has no function 'all_on'; did you mean 'all_one'?"),
        ("factories_for_inspect:of_no_form", "of_no_form': needs 'data'; it must be a function (module) -> None"),
        ("constant_bais", "did you mean 'constant_bias'?"),
    ],
)
def test_an_initializer_that_is_none(zeroinit, initializer, message):
    ended = zeroinit("inspect", "factories_for_inspect:healthy", "--inputs", "8x12", "--initializer", initializer)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_json_and_sarif(zeroinit):
    content = json.loads(zeroinit("inspect", "factories_for_inspect:flawed", "--format", "json").out)
    assert content["findings"][0]["code"] == "ZI001"
    log = json.loads(zeroinit("inspect", "factories_for_inspect:flawed", "--format", "sarif").out)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("factories_for_inspect.py")
    assert place["region"]["startLine"] == 1 + FACTORIES.splitlines().index("def flawed():")
    assert log["runs"][0]["results"][0]["ruleId"] == "ZI001"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("factories_for_inspect",),
            "factory='factories_for_inspect': write package.module:factory, where factory() returns",
        ),
        (("nowhere_at_all:f",), "factory='nowhere_at_all:f': nowhere_at_all cannot be imported (ModuleNotFoundError"),
        (("factories_for_inspect:healty",), "has no function 'healty'; did you mean 'healthy'?"),
        (("factories_for_inspect:fails",), "failed in factories_for_inspect.py, line 32 (RuntimeError: on purpose)\n"),
        (("factories_for_inspect:needs",), "positional argument: 'width'); it is called without arguments\n"),
        (("factories_for_inspect:MODEL",), "is a Sequential, not a function; write package.module:factory"),
        (("factories_for_inspect.py:healthy",), "write 'factories_for_inspect:healthy', a module and not a file\n"),
        (("pkg/models.py:healthy",), "write 'pkg.models:healthy', a module and not a file\n"),
        (("./pkg/models.py:healthy",), "write 'pkg.models:healthy', a module and not a file\n"),
        ((r"pkg\models.py:healthy",), "write 'pkg.models:healthy', a module and not a file\n"),
        (("/pkg/models.py:healthy",), "write 'models:healthy', a module and not a file; start zeroinit in /pkg\n"),
        (("../models.py:healthy",), "write 'models:healthy', a module and not a file; start zeroinit in /"),
        ((r"C:\x\models.py:healthy",), "write 'models:healthy', a module and not a file; start zeroinit in C:\\x\n"),
        ((r"C:\x\models.py",), "models.py': write package.module:factory, where factory() returns"),
        (("factories_for_inspect:healthy()",), "has no function 'healthy()'; did you mean 'healthy'?"),
        (("factories_for_inspect:healthy", "--select", "ZI6"), "no code starts like this; did you mean 'ZI006'?"),
        (
            ("factories_for_inspect:Named", "--inputs", "ids=8x12"),
            "inputs='ids=8x12': forward has no argument 'ids'; did you mean 'input_ids'? It takes input_ids, mask\n",
        ),
        (("factories_for_inspect:flawed", "--baseline", "other.json"), "holds no findings with code and path"),
        (("factories_for_inspect:words",), "returned 'words', which is no nn.Module; write package.module:factory"),
        (
            ("factories_for_inspect:healthy",),
            "healthy': returns a model without inputs; add their sizes, as --inputs",
        ),
        (("factories_for_inspect:healthy", "--inputs", "8 by 12"), "inputs='8 by 12': write sizes as 32x784"),
        (("factories_for_inspect:healthy", "--inputs", "x=8x12,8"), "name all inputs or none"),
        (("factories_for_inspect:flawed", "--format", "xml"), "format='xml': must be one of json, sarif, table"),
        (
            ("factories_for_inspect:healthy", "--inputs", "8x13"),
            "inputs='8x13': the forward pass failed in `0` (RuntimeError",
        ),
        (
            ("factories_for_inspect:deep", "--inputs", "8x12"),
            "inputs='8x12': the forward pass failed in `1.1` (RuntimeError",
        ),
        (("factories_for_inspect:healthy", "--inputs", "8x13"), "; write the sizes that the model takes\n"),
        (("factories_for_inspect:healthy", "--inputs", "0x12"), "inputs='0x12': 0 leaves nothing to draw; write sizes"),
        (
            ("factories_for_inspect:healthy", "--inputs", f"8x12:int{10**17}"),
            f"inputs='8x12:int{10**17}': is too large; draw at most 2,147,483,648 values, none larger\n",
        ),
        (("factories_for_inspect:healthy", "--inputs", f"8x12:int{10**30}"), "': write sizes as 32x784"),
        (
            ("factories_for_inspect:flawed", "--write-baseline", ""),
            "cannot write .: is no regular file; write the name",
        ),
        (
            ("factories_for_inspect:flawed", "--write-baseline", "."),
            "cannot write .: is no regular file; write the name",
        ),
        (
            ("factories_for_inspect:flawed", "--initializer", "zero*0.1"),
            "initializer='zero*0.1': did you mean 'zero'? It must be one of ",
        ),
        (
            ("factories_for_inspect:flawed", "--initializer", "fixup"),
            "initializer='fixup': the forward pass shows no residual branch; choose another initializer\n",
        ),
        (("factories_for_inspect:frozen",), "factory='factories_for_inspect:frozen': its model: has no trainable"),
        (
            ("factories_for_inspect:misfit",),
            "factory='factories_for_inspect:misfit': its inputs, a tensor (8, 13) of float32: the forward",
        ),
        (("factories_for_inspect:flawed", "--steps", "0"), "steps=0: must be at least 1\n"),
        (("factories_for_inspect:flawed", "--baseline", "none.json"), "'none.json': there is no such file; write it"),
        (("broken_at_import:build",), "cannot be imported (ValueError: too early) in broken_at_import.py, line 2\n"),
        (("nowhere_at_all:f",), "; looked in "),
    ],
)
def test_what_a_user_can_mend(zeroinit, arguments, message):
    Path("other.json").write_text("[1, 2]")
    Path("broken_at_import.py").write_text("import math\nraise ValueError('too early')\n")
    ended = zeroinit("inspect", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("zeroinit: error: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_an_initializer_that_needs_a_probe_gets_the_inputs(zeroinit):
    """It is the batch of --inputs or of the factory; nobody can type probe= here."""
    for arguments in (("healthy", "--inputs", "64x12"), ("flawed",)):
        ended = zeroinit("inspect", f"factories_for_inspect:{arguments[0]}", *arguments[1:], "--initializer", "lsuv")
        assert ended.code == 0
        assert "ZI001" not in ended.out
    ended = zeroinit("inspect", "factories_for_inspect:healthy", "--inputs", "64x13", "--initializer", "lsuv")
    assert ended.err.startswith("zeroinit: error: inputs='64x13': the forward pass failed in `0` (RuntimeError: ")
    assert ended.err.endswith("; write the sizes that the model takes\n")
    assert "probe" not in ended.err


def test_inputs_stand_in_for_those_of_the_factory(zeroinit):
    ended = zeroinit("inspect", "factories_for_inspect:flawed", "--inputs", "8x12")
    assert "note: --inputs 8x12 stands in for the inputs of factories_for_inspect:flawed\n" in ended.out
    for arguments in (("flawed",), ("healthy", "--inputs", "8x12")):
        assert "stands in" not in zeroinit("inspect", f"factories_for_inspect:{arguments[0]}", *arguments[1:]).out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("later", "returned a coroutine, which awaits something; leave out async; write package.module:factory"),
        ("kind", "returned Named, which is a class; make an instance, as Named(...); write package.module"),
        ("array", "its inputs, a ndarray: holds no tensor; return torch.as_tensor(...)"),
    ],
)
def test_what_a_factory_returns(zeroinit, name, message):
    ended = zeroinit("inspect", f"factories_for_inspect:{name}")
    assert ended.err.startswith(f"zeroinit: error: factory='factories_for_inspect:{name}': {message}")
    assert ended.err.count("\n") == 1


def test_codes_that_leave_nothing(zeroinit):
    ended = zeroinit("inspect", "factories_for_inspect:fails", "--select", "ZI006,ZI001", "--ignore", "zi0")
    assert ended.err == (
        "zeroinit: error: select='ZI006,ZI001': ignore='ZI0' leaves none of these codes; leave one out\n"
    )
    assert zeroinit("inspect", "factories_for_inspect:flawed", "--select", "ZI0", "--ignore", "ZI001").code == 0
    assert "ignore='ZI999'" in zeroinit("inspect", "factories_for_inspect:fails", "--ignore", "ZI999").err


def test_codes_and_a_baseline(zeroinit, tmp_path):
    """A model with a fault passes --strict once its code is ignored, or the fault is in the baseline."""
    flawed = ("inspect", "factories_for_inspect:flawed", "--inputs", "8x12", "--strict")
    known = str(tmp_path / "known.json")
    assert zeroinit(*flawed).code == 1
    assert zeroinit(*flawed, "--ignore", "ZI001").code == 0
    assert zeroinit(*flawed, "--select", "ZI005").code == 0
    ended = zeroinit(*flawed, "--write-baseline", known)
    assert ended.code == 1
    assert f"with a warning written to {known}" in ended.err
    assert zeroinit(*flawed, "--baseline", known).code == 0
    ended = zeroinit(*flawed, "--select", "ZI9")
    assert ended.code == 2
    assert "no code starts like this" in ended.err
    ended = zeroinit(*flawed, "--select", "ZI201")
    assert (ended.code, ended.out) == (2, "")
    assert "select='ZI201': inspect never gives this code; `zeroinit audit` does" in ended.err
    assert zeroinit(*flawed, "--select", "ZI").code == 1


def test_a_command_that_fails_writes_no_baseline(zeroinit):
    before = sorted(Path().iterdir())
    options = ("--write-baseline", "new/known.json", "--baseline", "nowhere.json")
    ended = zeroinit("inspect", "factories_for_inspect:flawed", "--steps", "2", *options)
    assert (ended.code, ended.out) == (2, "")
    assert "nowhere.json" in ended.err
    assert sorted(path for path in Path().iterdir() if path.name != "__pycache__") == [
        path for path in before if path.name != "__pycache__"
    ]


@pytest.mark.parametrize("command", ["inspect", "audit"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("factories_for_inspect:ends", "SystemExit: 0"),
        ("factories_for_inspect:stops", "GeneratorExit"),
        ("factories_for_inspect:ends_in_forward", "SystemExit: 0"),
        ("ends_when_imported:anything", "SystemExit: 0"),
    ],
)
def test_code_that_ends_the_program_passes_no_check(zeroinit, command, name, kind):
    Path("ends_when_imported.py").write_text("import sys\nsys.exit(0)\n")
    ended = zeroinit(command, name, "--inputs", "8x12", "--strict", "--format", "json")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"zeroinit: error: factory={name!r}: its code ended the program ({kind}); let it return\n"
