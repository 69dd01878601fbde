"""Processes that share a folder of results: one computes a run, also if another is killed or asked to end."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from zeroinit._common import InputError
from zeroinit.bench.running import claims
from zeroinit.bench.running.claims import claimed
from zeroinit.bench.running.runner import execute
from zeroinit.bench.running.schedule import Options, Task, missing, run_all
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.training import Checkpoint
from zeroinit.bench.training.stopping import asked_to_stop, stopping_on_signals

RUN = Run(dataset="digits", epochs=2, batch_size=128, num_validation=0, num_train=None)

PROGRAM = """
import socket
import sys
from dataclasses import replace
from zeroinit.bench.running import claims, task
from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.spec import Run

if __name__ == "__main__":
    root, epochs, seeds, jobs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    execute = task.execute

    def told(run, seed, **settings):
        print("executes", seed, flush=True)
        return execute(run, seed, **settings)

    def on_epoch(task, epoch):
        if epoch == 1:
            print("trains", task.seed, flush=True)

    task.execute = told
    if len(sys.argv) > 5:  # another machine, on a folder that does not carry the kernel's locks
        claims.LEASE = float(sys.argv[5])
        socket.gethostname = lambda: "another-machine"
        claims._lock = lambda *_: True
    run = Run(dataset="digits", epochs=epochs, batch_size=128, num_validation=0)
    tasks = [Task(run, seed) for seed in range(seeds)]
    run_all(tasks, Options(root, checkpoint_every=1000), jobs=jobs, progress=on_epoch)
"""


@pytest.fixture
def program(tmp_path):
    """Starts the program above in a process of its own."""
    path, processes = tmp_path / "program.py", []
    path.write_text(PROGRAM)

    def start(root: Path, epochs: int, seeds: int, jobs: int = 1, *lease: float) -> subprocess.Popen:
        command = [sys.executable, str(path), *map(str, (root, epochs, seeds, jobs, *lease))]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_one_claim_a_run(store, run):
    with claimed(store, run, [0]) as first, claimed(store, run, [0]) as second, claimed(store, run, [1]) as other:
        assert (first, second, other) == (True, False, True)
    with claimed(store, run, [0]) as again:
        assert again
    assert not store.root.exists() or list(store.root.rglob("*")) == []


def test_a_claim_is_waited_for_no_longer_than_asked(store, run):
    with claimed(store, run, [0]):
        began = time.monotonic()
        with claimed(store, run, [0], 0.5) as second:
            assert not second
        assert time.monotonic() - began >= 0.5


def test_a_folder_without_permission_is_named(store, run):
    store.root.parent.mkdir(parents=True, exist_ok=True)
    store.root.write_text("a file")
    with pytest.raises(InputError, match=r"cannot write .*\.seed-0\.lock: .*; choose a folder that can be written to"):
        claimed(store, run, [0]).__enter__()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_several_processes_share_the_work(program, tmp_path):
    """Each run is computed once; who finds one taken goes on with the next and waits at the end."""
    root = tmp_path / "results"
    processes = [program(root, 2, 6) for _ in range(2)]
    executed = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        executed += [line for line in out.splitlines() if line.startswith("executes")]
    assert sorted(executed) == [f"executes {seed}" for seed in range(6)]
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == [f"seed-{seed}.json" for seed in range(6)]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_run_of_a_killed_process_is_taken_over(program, tmp_path):
    root = tmp_path / "results"
    first = program(root, 2000, 1)
    assert first.stdout.readline() == "executes 0\n"
    second = program(root, 2000, 1)
    assert not wait_for_line(second, 3.0)
    os.killpg(first.pid, signal.SIGKILL)
    assert wait_for_line(second, 60.0)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_another_machine_keeps_its_claim_while_it_lives_and_loses_it_when_it_is_lost(program, tmp_path, monkeypatch):
    """On a network folder without the kernel's locks. Only its silence says that it is lost, not its process number."""
    lease = 3.0
    monkeypatch.setattr(claims, "LEASE", lease)
    root = tmp_path / "results"
    process = program(root, 3000, 1, 1, lease)
    assert process.stdout.readline() == "executes 0\n"
    store, run = Store(root), Run(dataset="digits", epochs=3000, batch_size=128, num_validation=0)
    end = time.monotonic() + 2 * lease
    while time.monotonic() < end:
        with claimed(store, run, [0], 0.5) as is_ours:
            assert not is_ours
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    began, is_ours = time.monotonic(), False
    while not is_ours:  # again and again, as runs do that wait for others
        with claimed(store, run, [0], 0.2) as is_ours:
            assert time.monotonic() - began < 10 * lease
    assert time.monotonic() - began > lease / 2
    assert claims._watched == {}
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_lease_whose_owner_was_killed_before_it_wrote_a_word(store, run, monkeypatch):
    """A kill between making and writing the file: 200 kills met it once, and the study waited for ever."""
    monkeypatch.setattr(claims, "LEASE", 0.5)
    path = store.path(run, 0).with_name(".seed-0.lease")
    path.parent.mkdir(parents=True)
    path.touch()
    began, is_ours = time.monotonic(), False
    while not is_ours:
        with claimed(store, run, [0], 0.05) as is_ours:
            assert time.monotonic() - began < 20
    assert time.monotonic() - began > 0.5
    assert path not in {**claims._silent, **claims._watched}
    assert not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with claimed(store, run, [0]) as is_ours:  # looked at once: who made it may be about to write
        assert not is_ours
    path.unlink()
    path.touch()
    time.sleep(0.6)
    with claimed(store, run, [0]) as is_ours:  # another one since then
        assert not is_ours
    assert path.exists()


TOKEN = "0123456789abcdef" * 2
LEFT = {
    "a take-over that was never begun": ("", "break.42"),
    "a take-over by who died, empty": ("{dead}", "break.{dead}"),
    "a take-over that was killed half-way": ("filelock/break\n{dead}\n", "break.{dead}"),
    "a take-over put back by a process whose number lives on": ("{dead}", "restore.{alive}"),
    "a text that is no lease": ("something else", "restore.{alive}"),
}
"""What stands in the lease, nothing or the number of its owner, and the end of the name of the file beside it."""


@pytest.mark.skipif(os.name != "posix", reason="process numbers of POSIX")
@pytest.mark.parametrize("kind", LEFT)
def test_what_a_killed_take_over_left_blocks_a_run_no_longer_than_a_lease(store, run, monkeypatch, kind):
    """filelock waits for as long as it cannot tell; a lease that nobody touches has no owner, whatever lies there."""
    monkeypatch.setattr(claims, "LEASE", 0.5)
    path = store.path(run, 0).with_name(".seed-0.lease")
    with claimed(store, run, [0]):
        held = path.read_text()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    text, name = (each.format(dead=gone.pid, alive=os.getppid()) for each in LEFT[kind])
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}.{name}.{TOKEN}").touch()
    if text:
        path.write_text(held.replace(str(os.getpid()), text) if text.isdecimal() else text)
    end, is_ours = time.monotonic() + 20, False
    while not is_ours and time.monotonic() < end:
        with claimed(store, run, [0], 0.05) as is_ours:
            pass
    assert is_ours
    assert list(store.root.rglob("*")) == []
    assert path not in {**claims._silent, **claims._watched}


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_folder_without_the_kernels_locks_has_leases(store, run, monkeypatch, number):
    """The lease of a dead process of this machine is free at once."""

    def refuse(self, *_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(claims.FileLock, "acquire", refuse)
    with claimed(store, run, [0]) as first, claimed(store, run, [0]) as second:
        assert (first, second) == (True, False)
        held = store.path(run, 0).with_name(".seed-0.lease").read_text()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = store.path(run, 0).with_name(".seed-0.lease")
    path.parent.mkdir(parents=True)
    path.write_text(held.replace(str(os.getpid()), str(gone.pid)))
    with claimed(store, run, [0], 1.0) as is_ours:
        assert is_ours
    claims._watched.clear()


def test_what_a_kill_left_of_a_claim_is_removed_with_the_next_start(store, run, make_result):
    store.save(make_result(run, 0, [0.5]))
    for name in (".seed-0.lock", ".seed-0.lease", ".seed-1.lock"):
        (store.root / run.key / name).touch()
    old = time.time() - 3600
    os.utime(store.root / run.key / ".seed-0.lease", (old, old))
    run_all([Task(run, 0)], Options(store.root))
    assert not (store.root / run.key / ".seed-0.lock").exists()
    assert (store.root / run.key / ".seed-1.lock").exists()


def wait_for_line(process: subprocess.Popen, seconds: float) -> bool:
    """Return whether the process says something in time."""
    import select

    return bool(select.select([process.stdout], [], [], seconds)[0])


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGTERM, 2), (signal.SIGHUP, 1)])  # Ctrl-C: tests/cli
def test_asked_to_end_a_process_saves_the_state_of_its_runs(program, tmp_path, number, jobs):
    """Only the parent is asked, as Slurm and Docker do. Within five seconds it has ended, and nothing is lost."""
    root = tmp_path / "results"
    process = program(root, 2000, jobs, jobs)
    training = set()
    while len(training) < jobs:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        training |= {line} if line.startswith("trains") else set()
    began = time.monotonic()
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 20  # five on a machine at rest
    assert err.rstrip().endswith(f"KeyboardInterrupt: {int(number)}")
    states = sorted(root.glob("*/*.checkpoint/step-*.pt"))
    assert [path.parent.name for path in states] == [f"seed-{seed}.checkpoint" for seed in range(jobs)]
    assert sorted(path for path in root.rglob("*") if path.is_file()) == states


AT_START = """
import os
import signal
import sys
from zeroinit.bench.running import processes
from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.spec import Run

if __name__ == "__main__":
    root, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start, sent = processes._Worker.__init__, []
    plain = processes.multiprocessing.context.SpawnProcess.start

    def init(self):
        start(self)
        if when == "after" and not sent:
            sent.append(os.killpg(0, number))

    def started(self):
        if when == "during" and not sent:
            sent.append(os.kill(os.getpid(), number))
        plain(self)

    processes._Worker.__init__ = init
    processes.multiprocessing.context.SpawnProcess.start = started
    run = Run(dataset="digits", epochs=2000, batch_size=128, num_validation=0)
    run_all([Task(run, 0), Task(run, 1)], Options(root), jobs=2, tell=lambda task, words: print("told", words))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "when"),
    [
        (2, "during"),
        (15, "after"),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((2, "after"), (15, "during"))),
    ],
)
def test_asked_to_end_while_workers_start_nothing_is_begun(tmp_path, number, when):
    """Before, a Ctrl-C was lost while a process was made. The whole group is asked, as by a terminal or by Slurm."""
    path = tmp_path / "at_start.py"
    path.write_text(AT_START)
    command = [sys.executable, str(path), str(tmp_path / "results"), str(number), when]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=100)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert err.rstrip().endswith(f"KeyboardInterrupt: {number}")
    assert err.count("Traceback") == 1  # of the parent, none of a worker
    assert out == ""
    assert not [each for each in tmp_path.rglob("*") if each.name.startswith(("seed", ".seed"))]


def test_what_was_saved_on_a_signal_is_gone_on_from(store, monkeypatch, one_thread):
    run, saved = replace(RUN, epochs=3), []
    plain_due = Checkpoint.is_due

    def due(self):
        if not saved:
            saved.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert asked_to_stop() == signal.SIGTERM
        return plain_due(self)

    monkeypatch.setattr(Checkpoint, "is_due", due)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_all([Task(run, 0), Task(run, 1)], Options(store.root))
    assert caught.value.args == (signal.SIGTERM,)
    assert missing([Task(run, 0)], store)
    assert [path.name for path in store.root.rglob("step-*.pt")] == ["step-1.pt"]
    run_all([Task(run, 0)], Options(store.root))
    assert store.load(run, 0).history == execute(run, 0).history
    assert not list(store.root.rglob("*.checkpoint"))


def test_handlers_are_put_back_and_a_second_signal_does_not_wait():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stopping_on_signals():
        assert asked_to_stop() is None
        os.kill(os.getpid(), signal.SIGINT)
        assert asked_to_stop() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with stopping_on_signals():
        assert asked_to_stop() is None
