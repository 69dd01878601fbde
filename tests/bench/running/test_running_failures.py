"""Runs that fail: by an error, by a kill, by an exit. Each is tried again and then written down; the others go on."""

import errno
import multiprocessing
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zeroinit._common import InputError
from zeroinit.bench.running import processes, schedule
from zeroinit.bench.running import task as one_task
from zeroinit.bench.running.runner import execute
from zeroinit.bench.running.schedule import Options, Task, missing, run_all
from zeroinit.bench.running.task import Attempt, describe, try_again
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Failure, Store

MODULE = """
import os
import signal
import sys
from pathlib import Path

from torch import nn

from zeroinit.bench.running import runner

fit = runner.fit


def instead_of_training(act):
    def once(*arguments, **settings):
        runner.fit = fit
        name = act.__name__
        with open(f"{name}.tries", "a") as stream:
            stream.write("x")
        act(Path(f"{name}.tries").stat().st_size)
        return fit(*arguments, **settings)

    def initializer(weight, generator):
        nn.init.normal_(weight, std=0.1, generator=generator)
        runner.fit = once

    return initializer


@instead_of_training
def is_killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


@instead_of_training
def raises(number):
    raise RuntimeError(f"no luck\\nat try {number}")


@instead_of_training
def leaves(number):
    os._exit(7)


@instead_of_training
def ends(number):
    sys.exit("enough")


@instead_of_training
def fails_once(number):
    if number == 1:
        raise MemoryError


@instead_of_training
def is_killed_once(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED = "its process was killed by SIGKILL (often: out of memory)"
REASONS = {
    "is_killed": [KILLED] * 3,
    "raises": [f"RuntimeError: no luck at try {number}" for number in (1, 2, 3)],
    "leaves": ["its process ended with exit code 7"] * 3,
    "ends": ["SystemExit: enough"] * 3,
}


@pytest.fixture
def failing(tmp_path, monkeypatch, run) -> Callable[[str], Run]:
    """Makes runs whose initializer fails in a way of its own, as a user's may."""
    (tmp_path / "failing_ways.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "failing_ways", raising=False)
    return lambda name: replace(run, initializer=f"failing_ways:{name}")


def check_failed(store: Store, run: Run, num_tries: int = 3) -> None:
    name = run.initializer.partition(":")[2]
    failure = store.failure(run, 0)
    assert list(failure.reasons) == REASONS[name][:num_tries]
    assert Path(f"{name}.tries").stat().st_size == num_tries
    assert (f"in {name}" in failure.traceback) == (name in ("raises", "ends"))
    assert not store.has(run, 0)
    assert [path.name for path in store.path(run, 0).parent.iterdir()] == ["seed-0.failed"]


def test_a_killed_run_does_not_end_the_study(failing, store, run, monkeypatch, one_thread):
    """Its second try gives the same bits. After the kill one process fewer is at work."""
    monkeypatch.setattr(schedule, "choose_jobs", lambda jobs: 2)  # two cores: one thread per process
    seen, told, plain = [], [], processes._hand_out

    def hand_out(waiting, workers, most, options):
        plain(waiting, workers, most, options)
        seen.append((most, sum(worker.attempt is not None for worker in workers)))

    monkeypatch.setattr(processes, "_hand_out", hand_out)
    tasks = [Task(failing("is_killed_once"), 0), *(Task(run, seed) for seed in range(3))]
    run_all(tasks, Options(store.root), jobs=2, tell=lambda *words: told.append(words))
    assert told == [(tasks[0], f"{KILLED}; try 2 of 3 follows")]
    assert missing(tasks, store) == []
    for task in tasks:
        assert store.load(task.run, task.seed).history == execute(task.run, task.seed).history
    assert [most for most, _ in seen] == sorted((most for most, _ in seen), reverse=True)
    assert (seen[0], seen[-1][0]) == ((2, 2), 1)
    assert all(busy <= 2 for _, busy in seen)
    assert multiprocessing.active_children() == []


def test_a_process_that_is_killed_as_it_starts_has_failed(store, run):
    worker = processes._Worker()
    worker.process.kill()
    worker.process.join()
    worker.give(Attempt((Task(run, 0),), 1), Options(store.root))
    assert worker.hear()[0] == "failed"


def test_with_one_process_too(failing, store, run, monkeypatch):
    """The first try is in this process, the others are not: memory or device may be in disorder after an error."""
    monkeypatch.setattr(one_task, "TRIES", 2)
    bad, good = Task(failing("raises"), 0), [Task(run, seed) for seed in range(2)]
    run_all([good[0], bad, good[1]], Options(store.root))
    check_failed(store, bad.run, 2)
    assert missing(good, store) == []
    threads = {store.load(run, seed).environment["threads"] for seed in range(2)}
    assert threads == {torch.get_num_threads()}


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_every_way_to_fail(failing, store, run, jobs):
    ways = [name for name in REASONS if jobs > 1 or name in ("raises", "ends")]  # others end this process
    bad, good = [failing(name) for name in ways], [Task(run, seed) for seed in range(6)]
    run_all([*(Task(each, 0) for each in bad), *good], Options(store.root), jobs=jobs)
    for each in bad:
        check_failed(store, each)
    assert missing(good, store) == []


UNLUCKY = """
import torch
from torch import nn

from zeroinit._common import InputError, derive_seed

SEED = derive_seed(1, "init")
DRAWN = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(SEED)))


def raises(weight, generator):
    nn.init.normal_(weight, std=0.1, generator=generator)
    if generator.initial_seed() == SEED:
        raise ValueError("unlucky\\ndraw")


def refuses(weight, generator):
    nn.init.normal_(weight, std=0.1, generator=generator)
    if generator.initial_seed() == SEED:
        raise InputError("unlucky draw")


def is_nan(weight, generator):
    nn.init.normal_(weight, std=0.1, generator=generator)
    if generator.initial_seed() == SEED:
        weight.view(-1)[0] = torch.nan


def raises_on_a_module(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.1)
        if torch.initial_seed() == DRAWN:
            raise MemoryError


def replaces(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.1)
        if torch.initial_seed() == DRAWN:
            module.bias = nn.Parameter(torch.zeros_like(module.bias))
"""
OF_SHAPE = r"a weight of shape \(\d+, \d+\)"


@pytest.mark.parametrize(
    ("name", "reason", "jobs"),
    [
        ("raises", rf"failed for {OF_SHAPE} \(ValueError: unlucky draw\)", 1),
        ("raises", rf"failed for {OF_SHAPE} \(ValueError: unlucky draw\)", 2),
        ("refuses", rf"failed for {OF_SHAPE} \(InputError: unlucky draw\)", 1),
        ("is_nan", rf"leaves values of {OF_SHAPE} unset, NaN or infinite", 1),
        ("raises_on_a_module", r"failed on \S+ \(Linear; MemoryError\)", 1),
        ("replaces", r"replaces '\S+\.bias', so an optimizer would train what is no longer in the model", 1),
    ],
)
def test_a_function_that_fails_with_one_seed_fails_that_run_alone(
    tmp_path, monkeypatch, store, run, name, reason, jobs
):
    """What it raises is no mistake in an argument. The reason gives no advice on how functions are written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "unlucky", raising=False)
    monkeypatch.setattr(one_task, "TRIES", 1)
    Path("unlucky.py").write_text(UNLUCKY)
    own, told = replace(run, initializer=f"unlucky:{name}"), []
    tasks = [Task(own, seed) for seed in range(3)]
    run_all(tasks, Options(store.root), jobs=jobs, tell=lambda *words: told.append(words))
    assert missing(tasks, store) == [tasks[1]]
    failure = store.failure(own, 1)
    assert re.fullmatch(f"initializer='unlucky:{name}': {reason}", failure.reasons[0])
    assert "unlucky.py" in failure.traceback or name in ("is_nan", "replaces")
    assert told == [(tasks[1], f"{failure.reasons[0]}; given up after 1 tries")]


def test_what_a_user_can_mend_still_ends_all_at_once(store, run):
    """A name that is not known, in a run; the folder's and the data's refusals have tests of their own."""
    for name, message in (("unlucky_or_not:at_all", "cannot be imported"), ("normal_bais", "did you mean")):
        with pytest.raises(InputError, match=message):
            run_all([Task(replace(run, initializer=name), 0)], Options(store.root))
    with pytest.raises(InputError, match="no such folder"):
        run_all([Task(replace(run, dataset="mnist"), 0)], Options(store.root, store.root / "nowhere"))
    assert not list(store.root.rglob("seed-*.failed"))


def test_the_next_start_tries_again(failing, store):
    task = Task(failing("fails_once"), 0)
    failure = Failure(task.run, 0, "2026-01-01T00:00:00+00:00", ("OSError: gone",) * 3)
    store.save_failure(failure)
    assert store.failure(task.run, 0) == failure
    run_all([task], Options(store.root, deadline=0.0))
    assert store.failure(task.run, 0) == failure
    Path("fails_once.tries").write_text("x")
    run_all([task], Options(store.root))
    assert store.has(task.run, 0)
    assert store.failure(task.run, 0) is None
    assert not store.failure_path(task.run, 0).exists()


def test_what_a_result_makes_untrue_is_removed(store, run, make_result):
    store.save_failure(Failure(run, 0, "2026-01-01T00:00:00+00:00", ("OSError: gone",)))
    store.path(run, 0).write_text("another process stored it")
    assert store.failure(run, 0) is None
    run_all([Task(run, 0)], Options(store.root))
    assert not store.failure_path(run, 0).exists()


@pytest.mark.slow
def test_a_refusal_stops_all_at_once_and_the_others_save_their_state(store, run, monkeypatch):
    """What you can mend is not tried again."""
    long = [Task(replace(run, epochs=3000), 0), Task(replace(run, optimizer="adan"), 0)]
    told, begun = [], []

    def hand_out(waiting, *rest):  # the refused one after the other has begun
        if len(waiting) == 1 and not begun:
            return
        plain(waiting, *rest)

    plain = processes._hand_out
    monkeypatch.setattr(
        processes,
        "_hand_out",
        lambda waiting, workers, most, options: hand_out(waiting, workers, 2 if begun else 1, options),
    )
    with pytest.raises(InputError, match=r"^optimizer='adan': "):
        run_all(
            long, Options(store.root), jobs=2, progress=lambda *_: begun.append(1), tell=lambda *words: told.append(1)
        )
    assert told == []
    assert [path.parent.name for path in store.root.rglob("step-*.pt")] == ["seed-0.checkpoint"]


@pytest.mark.parametrize("most", [0, 1])
def test_a_system_that_starts_no_further_process(store, run, monkeypatch, most):
    """One process does all; without any, one line says what to do."""
    started, plain = [], processes.multiprocessing.context.SpawnProcess.start

    def start(process):
        if len(started) == most:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(process)
        plain(process)

    monkeypatch.setattr(processes.multiprocessing.context.SpawnProcess, "start", start)
    tasks = [Task(run, seed) for seed in range(3)]
    if most:
        run_all(tasks, Options(store.root), jobs=2)
        assert missing(tasks, store) == []
        return
    with pytest.raises(
        InputError, match=r"^jobs: the system starts no further process \(Resource temp.* ask for jobs=1"
    ):
        run_all(tasks, Options(store.root), jobs=2)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [("study()", True), ('if __name__ == "__main__":\n    study()', False), (None, False)],
)
def test_a_program_without_a_guard_is_named(monkeypatch, tmp_path, text, lacks):
    program = tmp_path / "program.py"
    program.write_text(text or "")
    main = types.SimpleNamespace(**({} if text is None else {"__file__": str(program)}))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert ("with jobs=1" in processes._how_it_ended(1)) == lacks
    assert "with jobs=1" not in processes._how_it_ended(7)


def test_seeds_that_ran_together_are_tried_again_one_by_one(store, run):
    attempt = Attempt(tuple(Task(run, seed) for seed in range(3)), threads=2)
    left = try_again(attempt, "OutOfMemoryError: CUDA", "", Options(store.root), lambda *_: None)
    assert [(each.tasks, each.threads, len(each.reasons)) for each in left] == [
        ((task,), 2, 1) for task in attempt.tasks
    ]


def test_a_long_reason_is_one_line():
    text, details = describe(ValueError("a\n" * 1000))
    assert text.startswith("ValueError: a a a")
    assert len(text) == 200
    assert details.endswith("a\n\n")
    assert describe(MemoryError())[0] == "MemoryError"
    assert describe(SystemExit("x:"))[0] == "SystemExit: x"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"reasons": []}', "é", '{"reasons": ["x"], "when": "now", "traceback": "", "seed": 0, "run": 1}'],
)
def test_a_damaged_record_is_no_failure(store, run, content):
    store.save_failure(Failure(run, 0, "now", ("x",)))
    assert store.failure(run, 0).reasons == ("x",)
    store.failure_path(run, 0).write_bytes(content.encode("latin-1"))
    assert store.failure(run, 0) is None


def test_a_record_of_another_run_is_no_failure(store, run):
    store.save_failure(Failure(run, 0, "now", ("x",)))
    os.link(store.failure_path(run, 0), store.failure_path(run, 1))
    assert store.failure(run, 0) is not None
    assert store.failure(run, 1) is None


def test_a_record_cannot_write_on_the_terminal(store, run):
    store.save_failure(Failure(run, 0, "now\x1b[2J", ("a\x1b[31m\nb" + "x" * 1000,)))
    text = str(store.failure(run, 0))
    assert text.isprintable()
    assert len(text) < 400


def test_own_warnings_are_one_line_and_others_stay():
    """Also after a second call."""
    program = (
        "import warnings; from zeroinit.bench.running.processes import show_warnings_in_one_line as once; "
        "from zeroinit.bench.training import CheckpointWarning; once(); once(); "
        "warnings.warn('the disk is full', CheckpointWarning); warnings.warn('of somebody else', UserWarning)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    assert told.splitlines()[0] == "zeroinit: warning: the disk is full"
    assert re.search(r"<string>:1: UserWarning: of somebody else", told)
