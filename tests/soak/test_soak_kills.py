"""Kills without warning and crowds on one folder: nothing is lost, computed twice, or left behind.

Each process is a fork of this one, so it starts at once; its workers are processes of their own, as always. Where there
are 200 kills, workers are forks, too: else most kills would come while they import torch. The short form is part of the
default tests. ``make soak`` tries 200 kills over 60 runs with 4 workers, and 20 processes at once.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.running.start import load
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
COUNTED = """
from torch import nn
def start(weight, generator):
    nn.init.normal_(weight, generator=generator)
    with open({log!r}, "a") as stream:
        stream.write("x\\n")
"""
KILLS = int(os.environ.get("SOAK_KILLS", "200"))
RUN = Run(dataset="digits", hidden="8", epochs=3, batch_size=128)


@pytest.fixture(autouse=True)
def ready():
    load("digits", None)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])


@pytest.fixture
def counted(tmp_path, monkeypatch) -> Callable[[], int]:
    """Makes ``counted:start`` an initializer that writes a line for each call; returns how many there are."""
    log = tmp_path / "log"
    log.touch()
    (tmp_path / "soak_counted.py").write_text(COUNTED.format(log=str(log)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return lambda: len(log.read_text().splitlines())


def forked(work: Callable[[], None], with_forks: bool = False) -> int:
    """Start work in a process group of its own; return the process. Its workers may be forks, which start at once."""
    process = os.fork()
    if process:
        with contextlib.suppress(OSError):  # here, too: a kill may come before the process has done it
            os.setpgid(process, process)
        return process
    status = 1
    try:
        os.setpgid(0, 0)
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        if with_forks:
            context = multiprocessing.get_context("fork")
            multiprocessing.get_context = lambda method=None: context
        work()
        status = 0
    finally:
        os._exit(status)


def study(root: Path, num_runs: int, jobs: int, initializer: str = "normal_bias", epochs: int = 3) -> None:
    runs = [
        replace(RUN, initializer=initializer, learning_rate=1e-3 * (1 + n // 2), epochs=epochs) for n in range(num_runs)
    ]
    tasks = [Task(run, n % 2) for n, run in enumerate(runs)]
    run_all(tasks, Options(root, checkpoint_every=0.05), jobs=jobs)


def contents(root: Path) -> dict[str, tuple]:
    """What the results say, by their place."""
    return {
        str(path.relative_to(root)): (found.history, found.initial_hash)
        for path in root.glob("*/seed-*.json")
        for found in [Store(root).read(path.parent.name, int(path.stem.removeprefix("seed-")))]
    }


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def states_in(root: Path) -> set[Path]:
    return set(root.glob("*/*.checkpoint/step-*.pt"))


def num_stored(root: Path) -> int:
    return len(list(root.glob("*/seed-*.json")))


def kill_at_random(root: Path, num_kills: int, num_runs: int, carry_on: Callable[[], None], seconds: float) -> int:
    """Start a study and kill it, again and again; return how often.

    Kills are spread over the whole study: each waits until its share of the runs is stored. Half of them come at any
    moment after the start, the others while a run is in progress that has just saved its state.
    """
    rng, done = random.Random(0), 0
    while done < num_kills and num_stored(root) < num_runs:
        stored, old = num_stored(root), states_in(root) if rng.random() < 0.5 else set()
        may_store = max(0, num_runs * (done + 1) // (num_kills + 1) - stored)
        process, end = forked(carry_on, with_forks=num_kills > 10), time.monotonic() + seconds
        while time.monotonic() < end and os.waitpid(process, os.WNOHANG) == (0, 0):
            now = num_stored(root) - stored
            if now >= may_store and (now or states_in(root) - old):
                time.sleep(rng.uniform(0, 0.1))
                kill(process)
                os.waitpid(process, 0)
                done += 1
                print(f"kill {done}: {num_stored(root)} of {num_runs} runs stored", flush=True)
                break
            time.sleep(0.005)
        else:
            kill(process)
            assert time.monotonic() < end, "it hangs"
    return done


@pytest.mark.parametrize(
    ("num_kills", "num_runs", "jobs", "epochs"),
    [pytest.param(3, 4, 1, 20, id="short"), pytest.param(KILLS, 60, 4, 150, id="long", marks=pytest.mark.soak)],
)
def test_kills_at_random_moments(tmp_path, num_kills, num_runs, jobs, epochs):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    began = time.monotonic()
    assert os.waitpid(forked(lambda: study(undisturbed, num_runs, jobs, epochs=epochs)), 0)[1] == 0
    seconds = time.monotonic() - began + 60
    done = kill_at_random(killed, num_kills, num_runs, lambda: study(killed, num_runs, jobs, epochs=epochs), seconds)
    print(f"{done} kills of {num_runs} runs with {jobs} at a time")
    assert os.waitpid(forked(lambda: study(killed, num_runs, jobs, epochs=epochs)), 0)[1] == 0
    assert contents(killed) == contents(undisturbed)
    assert len(contents(killed)) == num_runs
    left = [path for path in killed.rglob("*") if path.is_file() and path.suffix != ".json"]
    assert left == []
    assert done >= (2 if num_kills == 3 else num_kills)


def test_a_lock_that_a_kill_left_beside_its_result_is_removed(tmp_path):
    """Killed after the result was stored and before the claim was let go: the next start tidies up."""
    study(tmp_path, 1, 1)
    (result,) = tmp_path.glob("*/seed-0.json")
    result.with_name(".seed-0.lock").touch()
    study(tmp_path, 1, 1)
    assert [path.name for path in result.parent.iterdir()] == ["seed-0.json"]


@pytest.mark.parametrize(
    ("num_processes", "num_runs", "jobs"),
    [
        pytest.param(4, 6, 1, id="short"),
        pytest.param(20, 60, 1, id="twenty", marks=pytest.mark.soak),
        pytest.param(5, 60, 4, id="five-of-four", marks=pytest.mark.soak),
    ],
)
def test_a_crowd_computes_each_run_once(tmp_path, counted, num_processes, num_runs, jobs):
    root = tmp_path / "results"
    assert os.waitpid(forked(lambda: study(tmp_path / "alone", num_runs, 1, "soak_counted:start")), 0)[1] == 0
    alone = counted()
    assert alone >= num_runs
    processes = [forked(lambda: study(root, num_runs, jobs, "soak_counted:start")) for _ in range(num_processes)]
    assert [os.waitpid(process, 0)[1] for process in processes] == [0] * num_processes
    assert counted() == 2 * alone
    assert contents(root) == contents(tmp_path / "alone")
    assert [path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".json"] == []
