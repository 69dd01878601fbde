"""Runs of an experiment that was killed: the stored result is bitwise that of an undisturbed one."""

import runpy
import time
from dataclasses import replace
from pathlib import Path

import pytest

from zeroinit.bench.running.claims import LEASE
from zeroinit.bench.running.runner import execute
from zeroinit.bench.running.schedule import Options, Task, carry_out, run_all
from zeroinit.bench.store import Store
from zeroinit.bench.training import Checkpoint

FILE = Path(__file__).with_name("killable.py")
RUN = runpy.run_path(str(FILE))["RUN"]


def test_killed_at_random_moments(kill_until_done, tmp_path, one_thread):
    undisturbed, killed = Store(tmp_path / "undisturbed"), Store(tmp_path / "killed")
    folder = killed.checkpoint_folder(RUN, [3])
    assert kill_until_done(FILE, "carry_out", [str(undisturbed.root)], [str(killed.root)], folder) >= 1
    expected, result = execute(RUN, 3), killed.load(RUN, 3)
    assert result.history == undisturbed.load(RUN, 3).history == expected.history
    assert result.initial_hash == expected.initial_hash
    assert execute(replace(RUN, learning_rate=1.1e-3), 3).history != expected.history
    end = time.monotonic() + LEASE + 10  # a claim that was killed before it wrote whose it is expires by then
    while (left := _left(killed)) != [RUN.key, "seed-3.json"] and time.monotonic() < end:
        run_all([Task(RUN, 3)], Options(killed.root))
        time.sleep(0.1)
    assert left == [RUN.key, "seed-3.json"]


def _left(store: Store) -> list[str]:
    names = [path.name for path in store.root.rglob("*")]
    return [name for name in names if not name.startswith(".seed-3.json.")]


class Ended(Exception):
    """The run is over, as by a kill."""


def test_what_is_stored_needs_no_checkpoint(monkeypatch, store, run):
    """A run that ended within: the state lies beside the result until this is safe, and is taken up."""
    options, steps = Options(store.root, checkpoint_every=0), []
    folder = store.checkpoint_folder(run, [0])

    def save(self, step, state):
        steps.append(step)
        plain_save(self, step, state)
        if len(steps) == 5:
            raise Ended

    plain_save = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", save)
    with pytest.raises(Ended):
        carry_out((Task(run, 0),), options, lambda *_: None)
    assert sorted(path.name for path in folder.iterdir()) == ["step-4.pt", "step-5.pt"]
    assert not store.has(run, 0)
    carry_out((Task(run, 0),), options, lambda *_: None)
    assert steps == list(range(1, 45))
    assert not folder.exists()
    assert store.load(run, 0).history == execute(run, 0).history


def test_killed_between_storing_and_clearing_up(store, run):
    run_all([Task(run, 0)], Options(store.root))
    for seed in (0, 1):
        Checkpoint(store.checkpoint_folder(run, [seed])).save(44, {})
    run_all([Task(run, 0)], Options(store.root))
    assert not store.checkpoint_folder(run, [0]).exists()
    assert store.checkpoint_folder(run, [1]).exists()


def test_killed_while_it_took_the_lease(store, run):
    """The lease has no name yet; as the result is there, nobody needs it."""
    run_all([Task(run, 0)], Options(store.root))
    lease = store.path(run, 0).with_name(".seed-0.lease")
    lease.touch()
    run_all([Task(run, 0)], Options(store.root))
    assert _left(store) == [run.key, "seed-0.json"]


def test_progress_tells_the_epochs_before_the_checkpoint_too(store, run):
    """Two epochs of 22 steps: the first was done when the run was killed."""
    seen, task = [], Task(run, 0)
    execute(run, 0, checkpoint=(checkpoint := Checkpoint(store.checkpoint_folder(run, [0]), every=0)))
    (checkpoint.folder / "step-44.pt").unlink()
    carry_out((task,), Options(store.root), lambda task, epoch: seen.append((task, epoch)))
    assert seen == [(task, 1), (task, 2)]


def test_by_default_a_short_run_writes_no_state(monkeypatch, store, run):
    monkeypatch.setattr(Checkpoint, "save", lambda *_: pytest.fail("saved"))
    carry_out((Task(run, 0),), Options(store.root), lambda *_: None)
    assert store.has(run, 0)
