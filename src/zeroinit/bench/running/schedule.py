"""Many runs: which are missing, in what order, in how many processes."""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch

from zeroinit._common import InputError
from zeroinit.bench.running.allocator import keep_freed_memory
from zeroinit.bench.running.device import choose_device
from zeroinit.bench.running.runner import execute, execute_seeds, is_stackable
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.training import Checkpoint, Observer, OutOfTime, TensorBoardObserver
from zeroinit.bench.work import flops, is_dense

__all__ = ["Options", "Task", "choose_jobs", "flops", "group", "missing", "run_all"]

MOST_STACKED = 16
ON_CUDA = 4
"""Processes that share a CUDA device by default: a small network leaves most of it idle."""


@dataclass(frozen=True)
class Task:
    """One run with one seed."""

    run: Run
    seed: int


@dataclass(frozen=True)
class Options:
    """Options of runs besides their settings; they change results only by rounding.

    Attributes:
        results: Root of the store.
        data_dir: Root of the data, as in ``load_dataset``.
        device: A device, as ``choose_device`` takes it.
        tensorboard: Folder for TensorBoard logs, one subfolder per run and seed; none if ``None``.
        histogram_every: Steps between histograms of parameters and gradients there; none if 0.
        checkpoint_every: Seconds between saves of a run's state, from which a run that was killed continues.
        deadline: When to end, in seconds as ``time.time`` returns; never if ``None``. At this time, runs in progress
            save their state, and no others begin. With a deadline, runs go in the order given.
    """

    results: Path
    data_dir: Path | None = None
    device: str = "auto"
    tensorboard: Path | None = None
    histogram_every: int = 0
    checkpoint_every: float = 60.0
    deadline: float | None = None

    @property
    def is_out_of_time(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.time() >= self.deadline


Progress = Callable[[Task, int], None]
"""Called with a task and the number of its finished epochs."""


def choose_jobs(jobs: int | None, device: torch.device | None = None) -> int:
    """Return the number of processes: if ``None``, one per usable core, and on a CUDA device at most ``ON_CUDA``.

    Raises:
        InputError: ``jobs`` is below 1.
    """
    if jobs is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, ON_CUDA) if device is not None and device.type == "cuda" else cores
    if jobs < 1:
        raise InputError(f"jobs={jobs}: must be at least 1")
    return jobs


def missing(tasks: Iterable[Task], store: Store) -> list[Task]:
    """List the tasks without a stored result, each once."""
    return [task for task in dict.fromkeys(tasks) if not store.has(task.run, task.seed)]


def run_all(tasks: Sequence[Task], options: Options, *, jobs: int = 1, progress: Progress | None = None) -> None:
    """Run the tasks whose result is missing and store each result as it comes; the longest go first.

    With a deadline, tasks go in the order given. Tasks that are not finished by the deadline are no error.

    With one job, a run uses all of torch's threads. With several jobs, each process runs one task at a time on its
    share of the threads. If fewer tasks than processes are left, each gets a larger share. On a CUDA device the seeds
    of a dense network are stacked. A run that takes longer than a minute saves its state and can continue if it was
    killed.

    Args:
        tasks: Runs with their seeds.
        options: Where to store results, and the device.
        jobs: Number of processes, at least 1.
        progress: Called after each epoch of each task.

    Raises:
        InputError: As ``execute`` raises.
        KeyboardInterrupt: You stopped the runs. Finished runs are stored, the others continue from their last state.
    """
    store = Store(options.results)
    todo = missing(tasks, store)
    for task in set(tasks) - set(todo):  # killed after the result was stored and before its last state was removed
        Checkpoint(store.checkpoint_folder(task.run, [task.seed])).remove()
    if options.deadline is None:
        todo.sort(key=lambda task: -flops(task.run))
    progress = progress or (lambda task, epoch: None)
    groups = group(todo, options)
    if min(jobs, len(groups)) <= 1:
        keep_freed_memory()
        for tasks_together in groups:
            carry_out(tasks_together, options, progress)
    else:
        _run_in_processes(groups, options, min(jobs, len(groups)), progress)


def group(tasks: Sequence[Task], options: Options) -> list[tuple[Task, ...]]:
    """Group the tasks that run together: the seeds of a dense network on a CUDA device, else each task alone.

    Args:
        tasks: The tasks, in the order of running.
        options: Their ``device`` and ``tensorboard`` decide.
    """
    if choose_device(options.device).type != "cuda" or options.tensorboard is not None:
        return [(task,) for task in tasks]
    groups: dict[object, list[Task]] = {}
    for number, task in enumerate(tasks):
        together = is_stackable(task.run) and is_dense(task.run)
        groups.setdefault(task.run if together else number, []).append(task)
    return [tuple(part) for found in groups.values() for part in batched(found, MOST_STACKED)]


def carry_out(tasks: tuple[Task, ...], options: Options, progress: Progress) -> None:
    """Run one task, or the seeds of one run, in this process and store the results, if there is time."""
    if options.is_out_of_time:
        return
    run, seeds, store = tasks[0].run, [task.seed for task in tasks], Store(options.results)
    checkpoint = Checkpoint(store.checkpoint_folder(run, seeds), options.checkpoint_every, options.deadline)
    common: dict[str, Any] = {"data_dir": options.data_dir, "device": options.device, "checkpoint": checkpoint}
    told = 0

    def on_epoch(epoch: int) -> None:
        nonlocal told
        for each in range(told + 1, epoch + 1):  # those before a checkpoint, too
            progress(tasks[0], each)
        told = epoch

    observers: list[Observer] = []
    if options.tensorboard is not None:
        folder = options.tensorboard / run.key / f"seed-{seeds[0]}"
        observers.append(TensorBoardObserver(folder, options.histogram_every))
    try:
        if len(tasks) > 1:
            results = execute_seeds(run, seeds, **common)
        else:
            results = [execute(run, seeds[0], observers=observers, on_epoch=on_epoch, **common)]
    except OutOfTime:
        return
    for result in results:
        store.save(result)
    checkpoint.remove()
    for task in tasks:  # also of the epochs that a run that diverged left out
        for epoch in range(told + 1, run.epochs + 1):
            progress(task, epoch)


def batched(items: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    """Cut a sequence into parts of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))


_messages: Queue | None = None


def _start_worker(messages: Queue) -> None:
    """Prepare a worker process. Ctrl-C reaches the whole group; only the parent answers it."""
    global _messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    _messages = messages


def _end_with_parent() -> None:
    """End with the parent, however it ended: without a parent, a worker would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(tasks: tuple[Task, ...], options: Options, threads: int) -> None:
    assert _messages is not None
    torch.set_num_threads(threads)
    messages = _messages
    carry_out(tasks, options, lambda done, epoch: messages.put((done, epoch)))


def _run_in_processes(todo: list[tuple[Task, ...]], options: Options, jobs: int, progress: Progress) -> None:
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(messages,))
    try:
        with _ctrl_c_ignored():  # by the new processes, too, while they import what they need
            futures = [
                pool.submit(_work, tasks, options, threads)
                for tasks, threads in zip(todo, _share_threads(len(todo), jobs, choose_jobs(None)), strict=True)
            ]
        _follow(futures, messages, progress)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise InputError(
            f"jobs={jobs}: a worker process died (often: out of memory); finished runs are stored; start again with "
            "fewer jobs"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        workers = set(multiprocessing.active_children()) - others
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _share_threads(num_tasks: int, jobs: int, cores: int) -> list[int]:
    """Return each task's number of threads, at least 1; the tasks of the last round get more threads each.

    Example:
        >>> _share_threads(5, jobs=2, cores=2)
        [1, 1, 1, 1, 2]
    """
    last_round = num_tasks % jobs
    full_rounds = [max(1, cores // jobs)] * (num_tasks - last_round)
    return full_rounds + [max(1, cores // last_round) for _ in range(last_round)]


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python allows it there only
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)


def _follow(futures: list[Future], messages: Queue, progress: Progress) -> None:
    """Pass every message on until every future is done; raise a worker's error at once."""
    waiting, is_quiet = set(futures), False
    while waiting or not is_quiet:
        try:
            progress(*messages.get(timeout=0.1))
            is_quiet = False
        except queue.Empty:
            is_quiet = True
        done = {future for future in waiting if future.done()}
        waiting -= done
        for future in done:
            future.result()
            is_quiet = False
