"""Many runs: which are missing, in what order, in how many processes."""

import hashlib
import os
from collections import deque
from collections.abc import Sequence

import torch

from zeroinit._common import whole_number
from zeroinit.bench.running.allocator import keep_freed_memory
from zeroinit.bench.running.claims import claimed, is_orphaned
from zeroinit.bench.running.cluster import run_on_ray
from zeroinit.bench.running.device import choose_device
from zeroinit.bench.running.processes import run_in_processes
from zeroinit.bench.running.runner import is_stackable
from zeroinit.bench.running.task import Attempt, Options, Progress, Task, Tell, carry_out, missing, outcome_of, settle
from zeroinit.bench.store import Store
from zeroinit.bench.training import Checkpoint
from zeroinit.bench.training.stopping import asked_to_stop, stopping_on_signals
from zeroinit.bench.work import flops, is_dense

__all__ = ["Options", "Task", "carry_out", "choose_jobs", "group", "missing", "run_all", "shard_of"]

MOST_STACKED = 16
ON_CUDA = 4
"""Processes that share a CUDA device by default: a small network leaves most of it idle."""


def choose_jobs(jobs: int | None, device: torch.device | None = None) -> int:
    """Return the number of processes: if ``None``, one per usable core, and on a CUDA device at most ``ON_CUDA``.

    Raises:
        InputError: ``jobs`` is below 1.
    """
    if jobs is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, ON_CUDA) if device is not None and device.type == "cuda" else cores
    return whole_number(jobs, "jobs", 1)


def shard_of(tasks: Sequence[Task], shard: tuple[int, int]) -> list[Task]:
    """Return the part of some tasks that one of several machines carries out, in the order given.

    All parts together are all tasks, and no task is in two. The parts depend on the tasks alone, and not on what is
    stored. Each gets as many long and as many short runs as the others, by one at most.

    Args:
        tasks: All tasks, the same for each machine.
        shard: The number of the part, from 1 on, and how many there are.
    """
    number, count = shard
    if count == 1:
        return list(tasks)

    def place(task: Task) -> tuple[int, str]:
        return -flops(task.run), hashlib.sha256(f"{task.run.key}/{task.seed}".encode()).hexdigest()

    ours = set(sorted(dict.fromkeys(tasks), key=place)[number - 1 :: count])
    return [task for task in tasks if task in ours]


def run_all(
    tasks: Sequence[Task],
    options: Options,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> None:
    """Run the tasks whose result is missing and store each result as it comes; the longest go first.

    With a deadline, tasks go in the order given. Tasks that are not finished by the deadline are no error.

    With one job, a run uses all of torch's threads. With several jobs, each process runs one task at a time on its
    share of the threads. If fewer tasks than processes are left, each gets a larger share. On a CUDA device the seeds
    of a dense network are stacked. A run that takes longer than a minute saves its state and can continue if it was
    killed.

    A run that fails is tried twice more, in a process of its own; the other runs go on. After the last try the failure
    is stored in place of a result, and the next call tries again.

    Args:
        tasks: Runs with their seeds.
        options: Where to store results, and the device.
        jobs: Number of processes, at least 1.
        progress: Called after each epoch of each task.
        tell: Called with each task that fails.

    Raises:
        InputError: As ``execute`` raises.
        KeyboardInterrupt: You stopped the runs, by Ctrl-C or a signal that asks a process to end; its argument is the
            number of that signal. Finished runs are stored, the others save their state and continue from there.
    """
    store = Store(options.results)
    todo = missing(tasks, store)
    _tidy(store, set(tasks) - set(todo))
    if options.deadline is None:
        todo.sort(key=lambda task: -flops(task.run))
    progress, tell = progress or (lambda task, epoch: None), tell or (lambda task, words: None)
    groups, threads = group(todo, options), _threads(tasks, options, jobs)
    most = max(1, min(jobs, len(groups)))
    attempts = [Attempt(each, threads[each[0]]) for each in groups]
    with stopping_on_signals():
        if attempts and options.executor == "ray":
            run_on_ray(attempts, options, progress, tell)
        else:
            left = _run_here(attempts, options, progress, tell) if most == 1 else attempts
            if left:
                run_in_processes(left, options, most, progress, tell)
        if options.remote is not None:
            options.remote.sync()  # also what nodes of a cluster sent
        if asked_to_stop() is not None:
            raise KeyboardInterrupt(asked_to_stop())


def _run_here(attempts: Sequence[Attempt], options: Options, progress: Progress, tell: Tell) -> list[Attempt]:
    """Carry out attempts in this process.

    Returns:
        What is left after the first failure. It is for another process: memory or device of this one may be in
        disorder. So is a run during which an earlier process was killed, as the system does if memory is short.
    """
    keep_freed_memory()
    waiting, store = deque(attempts), Store(options.results)
    while waiting:
        attempt = waiting[0]
        if is_orphaned(store, attempt.tasks[0].run, [task.seed for task in attempt.tasks]):
            break
        waiting.popleft()
        outcome = outcome_of(attempt, options, progress)
        waiting += settle(outcome, attempt, options, tell)
        if outcome[0] == "failed":
            break
    return list(waiting)


def _threads(tasks: Sequence[Task], options: Options, jobs: int) -> dict[Task, int]:
    """Return each task's number of threads, which decides the last digits: the same if other results are stored."""
    tasks = list(dict.fromkeys(tasks))
    if options.deadline is None:
        tasks.sort(key=lambda task: -flops(task.run))
    groups = group(tasks, options)
    most = max(1, min(jobs, len(groups)))
    shares = _share_threads(len(groups), most, choose_jobs(None) if most > 1 else torch.get_num_threads())
    return {task: share for each, share in zip(groups, shares, strict=True) for task in each}


def _share_threads(num_tasks: int, jobs: int, cores: int) -> list[int]:
    """Return each task's number of threads, at least 1; the tasks of the last round get more threads each.

    Example:
        >>> _share_threads(5, jobs=2, cores=2)
        [1, 1, 1, 1, 2]
    """
    last_round = num_tasks % jobs
    full_rounds = [max(1, cores // jobs)] * (num_tasks - last_round)
    return full_rounds + [max(1, cores // last_round) for _ in range(last_round)]


def _tidy(store: Store, tasks: set[Task]) -> None:
    """Remove what a kill left beside stored results, unless another process is at work there.

    It came after the result was stored and before the run's last state was removed.
    """
    names = {run: store.names(run) for run in {task.run for task in tasks}}
    besides = {run: [name for name in found if not name.endswith(".json")] for run, found in names.items()}
    for task in (task for task in tasks if besides[task.run]):
        folder, failed = store.checkpoint_folder(task.run, [task.seed]), store.failure_path(task.run, task.seed)
        hidden = f".seed-{task.seed}."
        if not any(name in (folder.name, failed.name) or name.startswith(hidden) for name in besides[task.run]):
            continue
        with claimed(store, task.run, [task.seed], is_stored=True) as is_ours:  # which removes the files of a claim
            if is_ours:
                Checkpoint(folder).remove()
                for path in (failed, *folder.parent.glob(f"{hidden}json.*")):
                    path.unlink(missing_ok=True)


def group(tasks: Sequence[Task], options: Options) -> list[tuple[Task, ...]]:
    """Group the tasks that run together: the seeds of a dense network on a CUDA device, else each task alone.

    Args:
        tasks: The tasks, in the order of running.
        options: Their ``device``, ``executor`` and ``tensorboard`` decide.
    """
    is_alone = options.executor == "ray" or options.tensorboard is not None
    if is_alone or choose_device(options.device).type != "cuda":
        return [(task,) for task in tasks]
    groups: dict[object, list[Task]] = {}
    for number, task in enumerate(tasks):
        together = is_stackable(task.run) and is_dense(task.run)
        groups.setdefault(task.run if together else number, []).append(task)
    return [
        tuple(found[start : start + MOST_STACKED])
        for found in groups.values()
        for start in range(0, len(found), MOST_STACKED)
    ]
