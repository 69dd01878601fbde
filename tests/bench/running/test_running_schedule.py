"""Many runs: nothing twice, nothing lost, the same numbers in one process and in several."""

import os
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from zeroinit._common import InputError
from zeroinit.bench.running import schedule
from zeroinit.bench.running import task as one_task
from zeroinit.bench.running.runner import execute
from zeroinit.bench.running.schedule import Options, Task, carry_out, choose_jobs, missing, run_all, shard_of
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.training import stopping
from zeroinit.bench.work import flops


@pytest.fixture
def executed(monkeypatch, make_result):
    """Replaces ``execute`` by one that trains nothing; lists the runs and seeds that it was called with."""
    calls = []

    def pretend(run, seed, *, on_epoch=None, **_):
        calls.append((run, seed))
        for epoch in range(1, run.epochs + 1):
            on_epoch(epoch)
        return make_result(run, seed, [0.5])

    monkeypatch.setattr(one_task, "execute", pretend)
    return calls


@pytest.fixture
def options(store):
    return Options(store.root)


def test_what_is_stored_is_never_recomputed(run, options, store, executed):
    tasks = [Task(run, seed) for seed in (0, 1, 2)]
    run_all(tasks[:2], options)
    assert executed == [(run, 0), (run, 1)]
    run_all(tasks, options)
    run_all(tasks, options, jobs=2)
    assert executed == [(run, 0), (run, 1), (run, 2)]
    assert missing(tasks, store) == []


def test_the_same_task_twice_runs_once(run, options, executed):
    run_all([Task(run, 0), Task(replace(run), 0)], options)
    assert executed == [(run, 0)]


def test_a_deleted_result_alone_is_recomputed(run, options, store, executed):
    tasks = [Task(run, seed) for seed in range(3)]
    run_all(tasks, options)
    kept = store.path(run, 0).stat().st_mtime_ns
    store.path(run, 1).unlink()
    del executed[:]
    run_all(tasks, options)
    assert executed == [(run, 1)]
    assert store.path(run, 0).stat().st_mtime_ns == kept


@pytest.mark.parametrize("name", sorted(set(Run().to_dict()) - {"dataset", "model", "activation"}))
def test_changing_one_field_recomputes_only_what_it_concerns(run, options, executed, name):
    value = getattr(run, name)
    other = "7, 5" if name == "hidden" else {str: "other", bool: True, type(None): 10}.get(type(value)) or value + 1
    tasks = [Task(replace(run, scale=scale), 0) for scale in (1.0, 10.0)]
    run_all(tasks, options)
    del executed[:]
    changed = Task(replace(tasks[0].run, **{name: other}), 0)
    run_all([changed, tasks[1]], options)
    assert executed == [(changed.run, 0)]


def test_the_longest_run_goes_first(run, options, executed):
    runs = [replace(run, epochs=epochs) for epochs in (1, 3, 2)]
    run_all([Task(each, 0) for each in runs], options)
    assert [each.epochs for each, _ in executed] == [3, 2, 1]


def test_floating_point_operations_of_a_dense_layer_by_hand():
    dense = Run(dataset="digits", model="logistic_regression", epochs=1)
    assert flops(dense) == 2 * 64 * 10 * (3 * 1347 + 450)
    assert flops(replace(dense, epochs=7)) == 7 * flops(dense)
    assert flops(replace(dense, num_validation=347)) == 2 * 64 * 10 * (3 * 1000 + 347 + 450)


def test_progress_tells_every_epoch_of_every_task_once(run, diverging, options, store):
    seen = []
    tasks = [Task(run, 0), Task(run, 1), Task(diverging, 0)]
    run_all(tasks, options, progress=lambda task, epoch: seen.append((task, epoch)))
    assert len(store.load(diverging, 0).history["test_accuracy"]) < diverging.epochs
    expected = {(task, epoch) for task in tasks for epoch in range(1, task.run.epochs + 1)}
    assert set(seen) == expected
    assert len(seen) == len(expected)


def test_an_error_in_one_run_keeps_those_before_it(run, options, store):
    good, bad = Task(replace(run, epochs=3), 0), Task(replace(run, optimizer="adan"), 0)
    with pytest.raises(InputError, match="optimizer='adan'"):
        run_all([bad, good], options)
    assert store.has(good.run, 0)
    assert not store.has(bad.run, 0)
    assert [path.name for path in store.root.iterdir()] == [good.run.key]


def test_an_interrupted_run_leaves_nothing(run, options, store):
    def stop(task, epoch):
        if task.seed == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all([Task(run, 0), Task(run, 1)], options, progress=stop)
    assert store.has(run, 0)
    assert [path.name for path in store.root.rglob("*") if path.is_file()] == ["seed-0.json"]


def test_processes_give_bitwise_the_results_of_one(monkeypatch, run, diverging, options, store, tmp_path, one_thread):
    """The same run and seed: alone, among others, in another process, in whatever order.

    The last round has one task, which gets both cores; it goes in the same processes, as their start takes seconds.
    """
    monkeypatch.setattr(schedule, "choose_jobs", lambda jobs: 2)  # two cores: one thread per process
    convolution, smallest = (
        replace(run, model="mnist_cnn", epochs=1),
        replace(run, model="logistic_regression", epochs=1),
    )
    tasks = [Task(smallest, 3), Task(run, 3), Task(run, 4), Task(convolution, 3), Task(diverging, 3)]
    seen = []
    run_all(tasks, options, jobs=2, progress=lambda task, epoch: seen.append((task, epoch)))
    assert sorted(seen, key=str) == sorted(((t, e + 1) for t in tasks for e in range(t.run.epochs)), key=str)
    assert [store.load(task.run, task.seed).environment["threads"] for task in tasks] == [2, 1, 1, 1, 1]
    for task in tasks[1:]:
        there, here = store.load(task.run, task.seed), execute(task.run, task.seed)
        Store(tmp_path / "here").save(here)  # NaN becomes null there as well
        assert there.history == Store(tmp_path / "here").load(task.run, task.seed).history
        assert there.initial_hash == here.initial_hash
        assert there.environment == here.environment


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_run_that_is_left_gets_the_threads_that_it_would_have_had(monkeypatch, run, options, store, lost, one_thread):
    """In the order given here: the last round has one task, which gets both cores."""
    monkeypatch.setattr(schedule, "choose_jobs", lambda jobs: 2)
    tasks = [Task(run, seed) for seed in range(3)]
    run_all(tasks, options, jobs=2)
    before = store.load(run, lost)
    assert before.environment["threads"] == (2 if lost == 2 else 1)
    store.path(run, lost).unlink()
    run_all(tasks, options, jobs=2)
    again = store.load(run, lost)
    assert (again.environment, again.history) == (before.environment, before.history)


@pytest.mark.parametrize(
    ("num_tasks", "jobs", "cores", "threads"),
    [(3, 2, 4, [2, 2, 4]), (4, 2, 4, [2] * 4), (5, 3, 2, [1] * 5), (5, 3, 8, [2, 2, 2, 4, 4]), (1, 1, 4, [4])],
)
def test_the_last_round_shares_the_cores_among_fewer_processes(num_tasks, jobs, cores, threads):
    assert schedule._share_threads(num_tasks, jobs, cores) == threads


def test_number_of_processes():
    assert choose_jobs(3) == 3
    assert 1 <= choose_jobs(None) <= os.cpu_count()
    for jobs in (0, -1):
        with pytest.raises(InputError, match=f"^jobs={jobs}: must be at least 1$"):
            choose_jobs(jobs)


def test_logs_are_written_only_where_asked(run, options, tmp_path):
    carry_out((Task(run, 0),), options, lambda *_: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]
    carry_out((Task(run, 1),), replace(options, tensorboard=tmp_path / "logs"), lambda *_: None)
    (log,) = (tmp_path / "logs" / run.key / "seed-1").iterdir()
    assert log.name.startswith("events.out.tfevents")


def test_logging_changes_no_result(run, options, store, tmp_path, one_thread):
    carry_out((Task(run, 0),), replace(options, tensorboard=tmp_path / "logs", histogram_every=5), lambda *_: None)
    assert store.load(run, 0).history == execute(run, 0).history


def test_with_a_deadline_the_order_is_the_one_given(run, store, executed):
    longer = replace(run, epochs=run.epochs + 1)
    tasks = [Task(each, seed) for seed in (0, 1) for each in (run, longer)]
    run_all(tasks, Options(store.root, deadline=1e12))
    assert executed == [(task.run, task.seed) for task in tasks]
    store = Store(store.root / "other")
    del executed[:]
    run_all(tasks, Options(store.root))
    assert [run.epochs for run, _ in executed] == [longer.epochs, longer.epochs, run.epochs, run.epochs]


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_the_deadline_nothing_begins(run, store, jobs):
    tasks = [Task(run, seed) for seed in range(3)]
    run_all(tasks, Options(store.root, deadline=0.0), jobs=jobs)
    assert missing(tasks, store) == tasks


def test_a_clock_that_is_set_forward_ends_nothing(run, store, executed, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1e12)
    run_all([Task(run, 0)], Options(store.root, deadline=time.monotonic() + 600))
    assert store.has(run, 0)


def test_a_run_in_progress_saves_its_state_and_goes_on(run, store, monkeypatch):
    """The clock passes the deadline between two updates of the second run."""
    tasks, begun = [Task(run, seed) for seed in range(3)], []
    whole = Store(store.root / "whole")
    run_all(tasks, Options(whole.root))
    execute_, now = one_task.execute, [0.0]

    def ticking(run, seed, **settings):
        begun.append(seed)
        now[0] = float(seed)  # over after the second run's first update
        return execute_(run, seed, **settings)

    monkeypatch.setattr(one_task, "execute", ticking)
    with monkeypatch.context() as patched:
        patched.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: now[0]))
        options = Options(store.root, deadline=1.0)
        run_all(tasks, options)
    assert begun == [0, 1]
    assert missing(tasks, store) == tasks[1:]
    assert [path.name for path in store.checkpoint_folder(run, [1]).iterdir()] == ["step-1.pt"]
    monkeypatch.setattr(one_task, "execute", execute_)
    run_all(tasks, Options(store.root))
    for task in tasks:
        assert store.load(task.run, task.seed).history == whole.load(task.run, task.seed).history
    assert not store.checkpoint_folder(run, [1]).exists()


@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_shards_are_disjoint_cover_all_and_do_not_depend_on_what_is_asked_first(run, count):
    runs = [run, replace(run, epochs=50), replace(run, model="mnist_cnn")]
    tasks = [Task(each, seed) for seed in range(10) for each in runs]
    shards = [shard_of(tasks, (number, count)) for number in range(1, count + 1)]
    assert sorted(map(str, (task for shard in shards for task in shard))) == sorted(map(str, tasks))
    for shard in shards:
        assert [task for task in tasks if task in shard] == shard  # in the order given
        for each in runs:  # long and short runs alike
            assert len([task for task in shard if task.run == each]) in (10 // count, 10 // count + 1, 30 // count)
    assert [shard_of(tasks[::-1], (number, count))[::-1] for number in range(1, count + 1)] == shards


def test_more_seeds_are_shared_evenly(run):
    """Of seeds that come later each shard gets some, though the earlier ones were split as evenly."""
    tasks = [Task(run, seed) for seed in range(80)]
    later = [sum(task.seed >= 40 for task in shard_of(tasks, (number, 4))) for number in range(1, 5)]
    assert sum(later) == 40
    assert min(later) >= 5
