"""Reports of other experiment runners that lost work, did it twice, or believed half of it.

Each is played with our runs. The outcome that is right stands in the name of the test and was written first.
"""

import contextlib
import errno
import json
import multiprocessing
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from zeroinit import _common
from zeroinit._common import InputError
from zeroinit.bench.running import task as one_task
from zeroinit.bench.running.schedule import Options, Task, missing, run_all
from zeroinit.bench.running.start import load
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.training import Checkpoint, CheckpointWarning

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
RUN = Run(dataset="digits", hidden="8", epochs=2, batch_size=256)
LONG = replace(RUN, epochs=3000)
TASKS = [Task(RUN, seed) for seed in range(3)]


@pytest.fixture(autouse=True)
def ready(one_thread):
    load("digits", None)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])


@pytest.fixture
def computed(tmp_path, monkeypatch) -> Callable[[], list[str]]:
    """Returns a line for each run that was begun so far, in this process and in its forks."""
    log, execute = tmp_path / "log", one_task.execute
    log.touch()

    def noted(run, seed, **rest):
        with log.open("a") as stream:
            stream.write(f"{run.key}/{seed}\n")
        return execute(run, seed, **rest)

    monkeypatch.setattr(one_task, "execute", noted)
    return lambda: log.read_text().splitlines()


@pytest.fixture
def forked():
    """Starts a study in a process of its own, which is killed at the end of the test if it still runs."""
    begun = []

    def start(store: Store, tasks: Sequence[Task], **rest) -> int:
        process = os.fork()
        if process:
            begun.append(process)
            return process
        status = 1
        try:
            warnings.simplefilter("ignore")
            run_all(tasks, Options(store.root, **rest))
            status = 0
        except KeyboardInterrupt as error:
            status = 128 + error.args[0]
        finally:
            os._exit(status)

    yield start
    for process in begun:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def status_of(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def wait_until(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def files_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def names(tasks: Sequence[Task]) -> list[str]:
    return sorted(f"{task.run.key}/{task.seed}" for task in tasks)


def test_two_studies_begun_in_one_second_share_their_runs(store, computed, forked):
    """hydra#2925, hydra#2103, lightning-hydra-template#511, sacred#169, sacred#283, sacred#503: one folder for two."""
    other = [Task(replace(RUN, learning_rate=0.1), 0), *TASKS[1:]]
    processes = [forked(store, tasks) for tasks in (TASKS, other, TASKS)]
    assert [status_of(process) for process in processes] == [0, 0, 0]
    assert sorted(computed()) == names([*TASKS, other[0]])


def test_a_run_that_is_named_twice_is_run_once(store, computed):
    """dvc#7126, optuna#1488: the same settings in a queue twice."""
    run_all([*TASKS, *TASKS], Options(store.root))
    assert sorted(computed()) == names(TASKS)


def test_the_same_study_again_changes_no_byte_and_no_time(store, computed):
    """dvc#9781, hydra#1817: the second start spoiled or overwrote what the first had stored."""
    run_all(TASKS, Options(store.root))
    before = files_in(store.root)
    run_all(TASKS, Options(store.root))
    assert files_in(store.root) == before
    assert len(computed()) == len(TASKS)


def test_a_larger_study_runs_what_is_new(store, computed):
    """ray#8647, ray#5773, ray#3309: the trials of a grid that were done were done again."""
    run_all(TASKS[:2], Options(store.root))
    more = [*TASKS, Task(replace(RUN, learning_rate=0.1), 0)]
    run_all(more, Options(store.root))
    assert sorted(computed()) == names(more)


def test_one_that_fails_ends_no_other_and_it_alone_is_tried_at_the_next_start(store, computed, monkeypatch):
    """ray#30584, ray#16891, ray#7736, wandb#2031, wandb#3513, wandb#1535: failed trials ended all, or stayed failed."""
    bad, noted = Task(replace(RUN, epochs=1), 0), one_task.execute

    def unlucky(run, seed, **rest):
        if run == bad.run:
            raise RuntimeError("no luck")
        return noted(run, seed, **rest)

    monkeypatch.setattr(one_task, "TRIES", 1)
    monkeypatch.setattr(one_task, "execute", unlucky)
    run_all([bad, *TASKS], Options(store.root))  # the longest first
    assert missing([bad, *TASKS], store) == [bad]
    assert store.failure(bad.run, 0).reasons == ("RuntimeError: no luck",)
    monkeypatch.setattr(one_task, "execute", noted)
    run_all([bad, *TASKS], Options(store.root))
    assert missing([bad, *TASKS], store) == []
    assert sorted(computed()) == names([bad, *TASKS])
    assert not store.failure_path(bad.run, 0).exists()


def test_a_result_that_was_deleted_is_run_again_alone(store, computed):
    """wandb#2980, wandb#6594, wandb#4713, wandb#4283: deleted runs did not come back, or all did."""
    run_all(TASKS, Options(store.root))
    store.path(RUN, 1).unlink()
    run_all(TASKS, Options(store.root))
    assert sorted(computed()) == names([*TASKS, TASKS[1]])


@pytest.mark.parametrize("change", ["cut", "empty", "zeros"])
def test_half_a_result_is_none(store, computed, change):
    """snakemake#3808, snakemake#627, snakemake#748, hundo#16, opencode#7607: what a kill left was taken as done."""
    from zeroinit.bench.progress import Progress
    from zeroinit.bench.reproduce import carry_out_missing

    run_all(TASKS, Options(store.root))
    path = store.path(RUN, 1)
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "zeros": bytes(len(whole))}[change])
    options, fresh = Options(store.root), Store(store.root)
    carry_out_missing(TASKS, options, fresh, Progress(quiet()), jobs=1, names={RUN: "run"})
    assert computed()[3:] == names([TASKS[1]])
    again = json.loads(path.read_bytes())
    assert again["history"] == json.loads(whole)["history"]
    assert path.with_name("seed-1.json.damaged-1").exists()


def quiet():
    import io

    from rich.console import Console

    return Console(file=io.StringIO())


def test_what_a_kill_leaves_stops_nobody(store, computed, forked):
    """dahak#112, lightcone-cli#214, dvc#5718, optuna#1532, optuna#3215, hyperopt#270: a lock or a state "running"
    stayed, and a person had to remove it."""
    task = Task(replace(RUN, epochs=300), 0)
    process = forked(store, [task], checkpoint_every=0.0)
    wait_until(lambda: list(store.root.glob("*/*.checkpoint/step-*.pt")))
    os.kill(process, signal.SIGKILL)
    assert status_of(process) == -signal.SIGKILL
    assert list(store.root.glob("*/.seed-0.lock"))
    run_all([task], Options(store.root))
    assert [path.name for path in store.path(task.run, 0).parent.iterdir()] == ["seed-0.json"]
    assert store.load(task.run, 0).history == one_task.execute(task.run, 0).history


def test_names_that_a_killed_write_leaves_are_no_results_and_go(store, computed):
    """joblib#1046: the cache held files of a temporary name and was missed each time."""
    folder = store.path(RUN, 0).parent
    folder.mkdir(parents=True)
    (folder / ".seed-0.json.0123456789abcdef0123456789abcdef").write_text("{")
    run_all(TASKS, Options(store.root))
    run_all(TASKS, Options(store.root))
    assert sorted(path.name for path in folder.iterdir()) == [f"seed-{seed}.json" for seed in range(3)]
    assert len(computed()) == 3


@pytest.mark.parametrize("seconds", [0.0, 4e9])
def test_clocks_of_files_decide_nothing(store, computed, seconds):
    """snakemake#3261, snakemake#3165, snakemake#3097, MERlin#44: files from a clock that is wrong, or copied ones."""
    run_all(TASKS, Options(store.root))
    moved = Store(store.root.with_name("moved"))
    shutil.copytree(store.root, moved.root)
    for path in [*moved.root.rglob("*"), moved.root]:
        os.utime(path, (seconds, seconds))
    run_all(TASKS, Options(moved.root))
    assert len(computed()) == len(TASKS)


@pytest.mark.parametrize("seconds", [0.0, 4e9])
def test_a_claim_of_a_wrong_clock_is_free_if_nobody_holds_it(store, computed, seconds):
    """slurmactiond#4, filelock#526: a stale lock, as old as the clock of another machine says."""
    path = store.path(RUN, 0).with_name(".seed-0.lock")
    path.parent.mkdir(parents=True)
    path.write_text("4242\nanother-machine\n")
    os.utime(path, (seconds, seconds))
    run_all(TASKS[1:], Options(store.root))
    with FileLock(path):
        began = time.monotonic()
        run_all(TASKS[:1], Options(store.root, deadline=time.monotonic() + 1.5))
        assert time.monotonic() - began > 1
        assert missing(TASKS, store) == TASKS[:1]


def test_a_result_that_cannot_be_stored_is_no_secret(store):
    """joblib#896, joblib#952: the error was swallowed, and each start computed it again."""
    store.root.mkdir(parents=True)
    store.path(RUN, 0).parent.write_text("a file in the folder's place")
    with pytest.raises(InputError, match=r"^cannot write .*: .*; choose a folder that can be written to$"):
        run_all(TASKS, Options(store.root))


def test_a_process_that_stands_still_keeps_its_run(store, computed, forked, monkeypatch):
    """optuna#4234: trials were given to others as dead while their process was only slow."""
    from zeroinit.bench.running import claims

    monkeypatch.setattr(claims, "LEASE", 1.0)
    task = Task(LONG, 0)
    process = forked(store, [task])
    wait_until(computed)
    os.kill(process, signal.SIGSTOP)
    run_all([task], Options(store.root, deadline=time.monotonic() + 4))
    assert len(computed()) == 1
    os.kill(process, signal.SIGTERM)
    os.kill(process, signal.SIGCONT)
    assert status_of(process) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_it_saves_and_goes_on_there_with_other_options(store, computed, forked, number):
    """pytorch-lightning#20542, pytorch-lightning#4265, submitit#1615, wandb#4237, snakemake#1871: a preempted run lost
    its steps, or could not be started again with other options."""
    task = Task(LONG, 0)
    process = forked(store, [task], checkpoint_every=1000.0)
    wait_until(computed)
    time.sleep(0.5)
    began = time.monotonic()
    os.kill(process, number)
    assert status_of(process) == 128 + number
    assert time.monotonic() - began < 5
    (state,) = store.root.glob("*/*.checkpoint/step-*.pt")
    epochs = []
    end = time.monotonic() + 1.5
    run_all([task], Options(store.root, checkpoint_every=0.2, deadline=end), progress=lambda _, n: epochs.append(n))
    assert epochs[:3] == [1, 2, 3]  # told at once: those of the state
    steps = [int(path.stem.removeprefix("step-")) for path in store.root.glob("*/*.checkpoint/step-*.pt")]
    assert max(steps) > int(state.stem.removeprefix("step-"))


def test_a_state_of_other_settings_is_not_gone_on_from(store):
    """transformers#18070, detectron2#429, fast-reid#167: a run went on with another learning rate, without a word."""
    other = replace(RUN, learning_rate=0.1)
    run_all([Task(RUN, 0), Task(other, 0)], Options(store.root))
    expected = store.load(other, 0).history
    for task in (Task(RUN, 0), Task(other, 0)):
        store.path(task.run, 0).unlink()
    one_task.execute(RUN, 0, checkpoint=Checkpoint(store.checkpoint_folder(RUN, [0]), 0))
    store.checkpoint_folder(other, [0]).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(store.checkpoint_folder(RUN, [0]), store.checkpoint_folder(other, [0]))
    with pytest.warns(CheckpointWarning, match="is the state of another run"):
        run_all([Task(other, 0)], Options(store.root))
    assert store.load(other, 0).history == expected


def test_a_damaged_state_is_kept_for_its_owner_and_named(tmp_path):
    """TencentDB-Agent-Memory#770, rustfs#6340: a damaged state became an empty one and was written over in silence."""
    one_task.execute(RUN, 0, checkpoint=(checkpoint := Checkpoint(tmp_path / "states", 0)))
    content = {}
    for path in checkpoint.folder.iterdir():
        content[path.name] = path.read_bytes()[:-100]
        path.write_bytes(content[path.name])
    with pytest.warns(CheckpointWarning, match=r"cannot be read .*; renamed to .*\.bad"):
        one_task.execute(RUN, 0, checkpoint=Checkpoint(tmp_path / "states", 1e9))
    assert {path.name: path.read_bytes() for path in checkpoint.folder.iterdir()} == {
        f"{name}.bad": each for name, each in content.items()
    }


def stale(call: Callable, times: int) -> Callable:
    """Fails so many times, as on a network folder whose file another machine has replaced."""
    left = [times]

    def called(*arguments, **rest):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return call(*arguments, **rest)

    return called


@pytest.mark.parametrize("times", [1, 4])
def test_a_stale_name_is_looked_up_again(store, computed, monkeypatch, times):
    """toil#3867, simpleflock#9, filelock#669: ESTALE of a network folder ended a job that had done nothing wrong."""
    monkeypatch.setattr(FileLock, "acquire", stale(FileLock.acquire, times))
    run_all(TASKS, Options(store.root))
    monkeypatch.setattr(_common.os, "open", stale(os.open, times))
    assert Store(store.root).find(RUN, 0) == store.load(RUN, 0)
    monkeypatch.setattr(Path, "lstat", stale(Path.lstat, times))
    assert missing(TASKS, Store(store.root)) == []
    assert len(computed()) == len(TASKS)


def test_a_name_that_stays_stale_is_an_error(store, monkeypatch):
    monkeypatch.setattr(FileLock, "acquire", stale(FileLock.acquire, 10**6))
    with pytest.raises(InputError, match=r"^cannot write .*: Stale file handle; choose a folder"):
        run_all(TASKS, Options(store.root))


@pytest.mark.slow
def test_a_worker_that_alone_is_asked_to_end_leaves_its_run_to_another(store):
    """ray#3309, wandb#4237, optuna#1641: who watches over memory or over a node ends one process, politely."""
    tasks, asked, told = [Task(replace(RUN, epochs=600), seed) for seed in range(4)], [], []

    def on_epoch(task, epoch):
        if not asked:
            asked.append(task)
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGTERM)

    run_all(tasks, Options(store.root), jobs=2, progress=on_epoch, tell=lambda *words: told.append(words))
    assert missing(tasks, store) == []
    assert {words for _, words in told} <= {"its process was asked to end by SIGTERM; try 2 of 3 follows"}
    assert len(told) == 1
    assert not list(store.root.glob("*/*.failed"))


@pytest.mark.slow
def test_out_of_memory_with_one_process(store, tmp_path, monkeypatch, forked):
    """joblib#812, joblib#843, dvc#8165: the system kills the process that needs too much, and with it all that it ran.

    With one process this is the whole study, which can say nothing. The next start gives this run a process of its own.
    """
    (tmp_path / "too_large.py").write_text(
        "import os\n\nfrom torch import nn\n\nfrom zeroinit.bench.running import runner\n\n\n"
        "def start(weight, generator):\n    nn.init.zeros_(weight)\n"
        "    runner.fit = lambda *_, **__: os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    bad = Task(replace(RUN, initializer="too_large:start", epochs=3), 0)
    tasks = [bad, *TASKS]  # in this order: the longest first
    assert status_of(forked(store, tasks)) == -signal.SIGKILL
    assert missing(tasks, store) == tasks
    assert status_of(forked(store, tasks)) == 0
    assert missing(tasks, store) == [bad]
    assert store.failure(bad.run, 0).reasons == ("its process was killed by SIGKILL (often: out of memory)",) * 3
    assert not list(store.root.glob("*/.seed-*"))
