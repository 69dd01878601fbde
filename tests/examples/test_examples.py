"""Each example runs, on a CUDA device where there is one, prints the verdict before and after, and is short."""

import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "examples"
MOST_LINES = 60
WILL_LEARN = r"Will learn: all \d+ parameters get a gradient by step \d\."
SEEN = r"After \d+ updates: no units are identical, and each of \d+ parameters had a gradient\."
STOPPED = r"strict=True: training stops before its first update\."
SCRIPTS = {
    "compiled": [
        "before: Will not learn as it is: the ReLU", r"repair: Set the biases in front to zero",
        f"after:  {WILL_LEARN}", "compiled by the inspections: 0", "compiled by the loop: 1", SEEN,
    ],
    "controlnet": [
        "before: Will not learn as it is: `mix.weight` and `out.weight` both start at zero", "repair: Start with",
        f"after:  {WILL_LEARN}", "out.weight gets its first gradient at update 1",
        "mix.weight gets its first gradient at update 2", "hint.0.weight gets its first gradient at update 3",
    ],
    "hf_trainer": [STOPPED, "ZI006", "To train nevertheless", f"zeroinit: {WILL_LEARN}", f"zeroinit: {SEEN}"],
    "lightning_module": [STOPPED, "ZI001", "To train nevertheless", f"zeroinit: {WILL_LEARN}", f"zeroinit: {SEEN}"],
    "own_initializer": [
        "spectral: Learns, but not all of it", "0: 1 of 8 channels differ", f"spectral_at_random: {WILL_LEARN}",
        "0: 8 of 8 channels differ",
    ],
    "peft_lora": [
        "before: Will not learn as it is", "repair: Start with `for i in range", "repair: Start with `for i in range",
        f"after:  {WILL_LEARN}", SEEN],
    "plain_loop": [
        "before: 10 of 16 parameters will not learn", "repair: Start with", f"after:  {WILL_LEARN}", r"loss:   0\.0",
        SEEN,
    ],
}  # fmt: skip
"""What each script prints, in this order."""
NEEDS = {"hf_trainer": ("transformers", "accelerate"), "lightning_module": ("lightning",), "peft_lora": ("peft",)}
OTHERS = {"ddp", "pytest_check"}


def misses(printed: str, patterns: list[str]) -> list[str]:
    """Patterns that do not follow on those before."""
    missed, at = [], 0
    for pattern in patterns:
        found = re.compile(pattern).search(printed, at)
        if found is None:
            missed.append(pattern)
        else:
            at = found.end()
    return missed


def test_a_missing_line_is_noticed():
    assert misses("before: x\nafter: y\n", ["before", "after: y"]) == []
    assert misses("after: y\nbefore: x\n", ["before", "after: y"]) == ["after: y"]


def test_every_example_is_listed_and_short():
    files = {path.stem: path.read_text() for path in FOLDER.glob("*.py")}
    assert set(files) == set(SCRIPTS) | OTHERS
    for name, text in files.items():
        assert len(text.splitlines()) < MOST_LINES, name
        assert f"{name}.py" in text.partition("\n")[0], name  # the first line says how to run it


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_it_prints_what_goes_wrong_and_what_is_repaired(name, capsys, monkeypatch, without_type_checks):
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with torch.random.fork_rng(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    repairs = [line for line in printed.splitlines() if line.startswith("repair:")]
    assert len(repairs) == len({*repairs})
    assert not [each for each in caught if "gradient_checkpointing" in str(each.message)]  # peft's, at each start
    assert misses(printed, SCRIPTS[name]) == [], printed
    torch._dynamo.reset()


@pytest.mark.slow  # two more processes import torch; what they do is part of tests/integrations
def test_two_processes():
    expected = [
        "before: Will not learn as it is: `2.weight` and `3.weight` both start at zero",
        f"after:  {WILL_LEARN}",
        SEEN,
    ]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        FOLDER / "ddp.py",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert misses(done.stdout, expected) == [], done.stdout
    assert len(re.findall(SEEN, done.stdout)) == 1


@pytest.fixture
def run_pytest():
    """Runs a test file in a process of its own; returns how many tests ended how."""

    def run(path: Path) -> dict[str, int]:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            path.parent,
            "-c",
            os.devnull,
        ]
        done = subprocess.run([*command, path], capture_output=True, text=True, timeout=300)
        return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}

    return run


def test_the_check_for_a_suite_of_your_own(run_pytest):
    assert run_pytest(FOLDER / "pytest_check.py") == {"passed": 2}
