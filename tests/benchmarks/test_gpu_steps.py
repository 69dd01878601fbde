"""The three steps of ``benchmarks/gpu``, end to end on the CPU with tiny settings, also interrupted and out of time."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "gpu"
BESIDE = ("check", "kernels", "measure", "paper", "speed")
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started this in the background
import paper
paper.main()
"""


@pytest.fixture
def step(monkeypatch, capsys):
    """Carries out a step in this process; returns its exit code and what it printed."""
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    monkeypatch.syspath_prepend(str(FOLDER))

    def carry_out(name: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [name, *arguments, "--device", "cpu"])
        capsys.readouterr()
        code = 0
        with warnings.catch_warnings():
            try:
                importlib.import_module(name).main()
            except SystemExit as exit:
                code = int(exit.code or 0)
        return code, capsys.readouterr().out

    before, threads = list(sys.path), torch.get_num_threads()
    yield carry_out
    sys.path[:] = before
    torch.set_num_threads(threads)
    for name in BESIDE:
        sys.modules.pop(name, None)


def stored(out: str) -> tuple[int, int]:
    found = re.search(r"(\d+) of (\d+) runs are stored, (\d+) are left$", out.strip())
    assert found is not None
    assert int(found[1]) + int(found[3]) == int(found[2])
    return int(found[1]), int(found[2])


def test_check(step, tmp_path):
    code, out = step("check", str(tmp_path), "--tiny")
    assert code == 0, out
    rows = json.loads((tmp_path / "check.json").read_text())["rows"]
    assert {row["outcome"] for row in rows} == {"ok"}
    assert out.strip().splitlines()[-1].startswith(f"{len(rows)} of {len(rows)} checks are ok on cpu")


def test_check_of_some(step, tmp_path):
    code, _ = step("check", str(tmp_path), "--tiny", "--only", "^(?!inspect|zero).* in bf16$")
    rows = json.loads((tmp_path / "check.json").read_text())["rows"]
    assert (code, [row["check"] for row in rows]) == (0, ["mnist_fnn in bf16", "cifar_cnn_quarter in bf16"])


def test_check_names_what_fails_and_goes_on(step, tmp_path, monkeypatch):
    monkeypatch.setattr("zeroinit.bench.training.fit", None)
    monkeypatch.setattr("zeroinit.initialize_", None)
    code, out = step("check", str(tmp_path), "--tiny")
    assert code == 1
    outcomes = {row["check"]: row["outcome"] for row in json.loads((tmp_path / "check.json").read_text())["rows"]}
    assert outcomes["initialize_: values of the CPU"] == "FAILED"
    assert outcomes["resume after an interrupt"] == "ok"
    assert "FAILED" in out
    assert "initialize_: values of the CPU: TypeError: 'NoneType' object is not callable" in out


def test_check_names_what_was_not_run(step, tmp_path):
    code, out = step("check", str(tmp_path), "--tiny", "--time-limit", "0")
    assert code == 1
    assert {row["outcome"] for row in json.loads((tmp_path / "check.json").read_text())["rows"]} == {"not run"}
    assert "initialize_: values of the CPU: out of time" in out


def test_speed(step, tmp_path):
    code, out = step("speed", str(tmp_path), "--tiny")
    assert code == 0, out
    content = json.loads((tmp_path / "speed.json").read_text())
    assert content["left_out"] == []
    assert {row["network"] for row in content["networks"]} == {"mnist_fnn", "cifar_fnn"}
    assert {row["execution"] for row in content["networks"]} == {"plain loop", "eager"}
    assert [row["seeds"] for row in content["stacked"]] == [1, 2]
    for row in content["networks"]:
        assert row["images_per_second"] * row["seconds_per_update"] == pytest.approx(content["batch"])


def test_speed_of_stacked_seeds_alone(step, tmp_path):
    code, _ = step("speed", str(tmp_path), "--tiny", "--stacked-alone")
    content = json.loads((tmp_path / "speed.json").read_text())
    assert (code, content["networks"], [row["seeds"] for row in content["stacked"]]) == (0, [], [1, 2])


def test_kernels(step, tmp_path):
    code, out = step("kernels", str(tmp_path), "--tiny")
    assert code == 0, out
    content = json.loads((tmp_path / "kernels.json").read_text())
    assert content["left_out"] == []
    assert set(content["rows"][0]["milliseconds"]) == {"plain loop", "fit", "fit, searched"}
    assert min(content["rows"][0]["milliseconds"].values()) > 0
    assert not torch.backends.cudnn.benchmark


def test_kernels_says_what_it_left_out(step, tmp_path):
    code, out = step("kernels", str(tmp_path), "--tiny", "--time-limit", "0")
    assert code == 0
    assert json.loads((tmp_path / "kernels.json").read_text())["rows"] == []
    assert "mnist_fnn, float32, eager: out of time" in out


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("sm90_xmma_fprop_implicit_gemm_bf16", "products"),
        ("triton_red_fused__native_batch_norm_legit_functional_12", "norms"),
        ("void multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimizer"),
        ("vectorized_elementwise_kernel<4>", "element-wise and copies"),
    ],
)
def test_kinds_of_kernels(kernel, kind, step):
    assert importlib.import_module("kernels").kind_of(kernel) == kind


def test_speed_says_what_it_left_out(step, tmp_path):
    code, _ = step("speed", str(tmp_path), "--tiny", "--time-limit", "0")
    content = json.loads((tmp_path / "speed.json").read_text())
    assert (code, content["networks"], content["stacked"]) == (0, [], [])
    assert "mnist_fnn, float32, plain loop: out of time" in content["left_out"]


@pytest.mark.slow
def test_paper_in_parts(step, tmp_path):
    """Out of time at once; interrupted; then the rest, and then nothing is left to do."""
    arguments = (str(tmp_path), "--trial", "--only", "corrected", "--time-limit")
    code, out = step("paper", *arguments, "0")
    assert (code, stored(out)[0]) == (0, 0)
    command = [sys.executable, "-c", INTERRUPTIBLE, *arguments, "100", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{FOLDER}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert "fig10 corrected: logistic_regression" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 130
    some, every = stored(out)
    assert 1 <= some < every
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    code, out = step("paper", *arguments, "100")
    assert (code, stored(out)) == (0, (every, every))
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    assert {result.run.model for result in Store(tmp_path)} >= {"cifar_cnn_quarter", "resnet50_quarter", "cifar_fnn"}
    code, out = step("paper", *arguments, "100")
    assert (code, stored(out), len(out.splitlines())) == (0, (every, every), 1)


def test_the_program_that_warms_up_finds_all_that_it_names(step, monkeypatch):
    """All but its last line, which needs a GPU; of that line, the names."""
    *lines, last = importlib.import_module("paper").WARM_UP.strip().splitlines()
    monkeypatch.setattr(sys, "argv", ["-c", json.dumps(Run(dataset="digits").settings)])
    names = {}
    exec("\n".join(lines), names)
    assert names["kind"] == Run(dataset="digits")
    assert {each for each in compile(last, "", "exec").co_names if each not in ("cuda", "batch_size")} <= set(names)
