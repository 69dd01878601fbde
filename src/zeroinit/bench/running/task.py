"""One run with one seed, or several seeds of it at once: claimed, carried out, stored; tried again if it fails."""

import signal
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from zeroinit._common import InputError, lookup
from zeroinit.bench.running.claims import claimed
from zeroinit.bench.running.remote import Remote
from zeroinit.bench.running.runner import execute, execute_seeds
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Failure, Store
from zeroinit.bench.training import Checkpoint, Observer, OutOfTime, TensorBoardObserver
from zeroinit.bench.training.stopping import asked_to_stop, is_over
from zeroinit.init.own import FunctionError

__all__ = [
    "Attempt",
    "Options",
    "Progress",
    "Task",
    "Tell",
    "carry_out",
    "describe",
    "missing",
    "outcome_of",
    "settle",
    "try_again",
]

PATIENCE = 1.0
"""Seconds that a process waits for another's run before it looks again."""

TRIES = 3
EXECUTORS = ("processes", "ray")
LONGEST_REASON, LONGEST_TRACEBACK = 200, 20_000


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
        deadline: When to end, in seconds as ``time.monotonic`` returns, which no change of the clock moves; never if
            ``None``. Then runs in progress save their state, and no others begin. Runs go in the order given.
        shard: Which part of all runs, and of how many parts: ``(2, 8)`` is the second eighth.
        executor: ``"processes"`` of this machine, or a cluster of ``"ray"``.
        address: Of a Ray cluster, as in ``ray.init``.
        remote: The URL that ``results`` follows, as ``open_results`` returns it.

    Raises:
        InputError: An unknown executor, or an address for another than Ray.
    """

    results: Path
    data_dir: Path | None = None
    device: str = "auto"
    tensorboard: Path | None = None
    histogram_every: int = 0
    checkpoint_every: float = 60.0
    deadline: float | None = None
    shard: tuple[int, int] = (1, 1)
    executor: str = "processes"
    address: str | None = None
    remote: Remote | None = None

    def __post_init__(self) -> None:
        lookup(dict.fromkeys(EXECUTORS), self.executor, "executor")
        if self.address is not None and self.executor != "ray":
            raise InputError(f"address={self.address!r}: needs --executor ray")

    @property
    def place(self) -> Path | Remote:
        """Where the user looks for results."""
        return self.remote or self.results

    @property
    def is_out_of_time(self) -> bool:
        """Whether the deadline has passed, or the process was asked to end."""
        return is_over(self.deadline)


Progress = Callable[[Task, int], None]
"""Called with a task and the number of its finished epochs."""

Tell = Callable[[Task, str], None]
"""Called with a task that failed, and a few words: why, and what happens next."""


@dataclass(frozen=True)
class Attempt:
    """Seeds of one run that are carried out together, and what became of earlier tries.

    Attributes:
        tasks: Seeds of one run.
        threads: Of torch.
        patience: Seconds to wait if another process computes them.
        reasons: Why each earlier try failed.
    """

    tasks: tuple[Task, ...]
    threads: int
    patience: float = 0.0
    reasons: tuple[str, ...] = ()


def missing(tasks: Iterable[Task], store: Store) -> list[Task]:
    """List the tasks without a stored result, each once."""
    found: dict[Run, list[int]] = {}
    for task in (tasks := dict.fromkeys(tasks)):
        found.setdefault(task.run, []).append(task.seed)
    absent = {run: store.missing(run, seeds) for run, seeds in found.items()}
    return [task for task in tasks if task.seed in absent[task.run]]


def carry_out(tasks: tuple[Task, ...], options: Options, progress: Progress, patience: float = 0.0) -> bool:
    """Run one task, or the seeds of one run, in this process and store the results, if there is time.

    Args:
        tasks: Seeds of one run.
        options: Where to store results, and when to end.
        progress: Called after each epoch.
        patience: Seconds to wait for another process that computes them.

    Returns:
        Whether they are done with; ``False`` while another process computes them.
    """
    if options.is_out_of_time:
        return True
    run, seeds, store = tasks[0].run, [task.seed for task in tasks], Store(options.results)
    with claimed(store, run, seeds, patience) as is_ours:
        is_stored = all(store.has_file(run, seed) for seed in seeds)
        if is_ours and not is_stored:
            _execute(tasks, options, progress)
            return True
    for task in tasks if is_stored else ():
        progress(task, run.epochs)
    return is_stored


def outcome_of(attempt: Attempt, options: Options, progress: Progress) -> tuple:
    """Carry out an attempt and say how it ended, in words that another process can read; see ``settle``.

    Returns:
        ``"ended"`` and whether it is done with; ``"refused"`` and what a user can mend; or ``"failed"``, the reason and
        the traceback. If somebody asked this process to end, ``"stopped"`` and the reason.
    """
    torch.set_num_threads(attempt.threads)
    try:
        is_done, number = carry_out(attempt.tasks, options, progress, attempt.patience), asked_to_stop()
        if number is not None and missing(attempt.tasks, Store(options.results)):
            return "stopped", f"its process was asked to end by {signal.Signals(number).name}"
        return "ended", is_done
    except FunctionError as error:  # the check before all runs found no fault in it
        return "failed", *describe(error)
    except InputError as error:
        return "refused", str(error)
    except (Exception, SystemExit) as error:
        return "failed", *describe(error)


def settle(outcome: tuple, attempt: Attempt, options: Options, tell: Tell) -> list[Attempt]:
    """Return what is left to do after an outcome: nothing, to wait for another process, or to try again.

    A run whose process was asked to end has failed if nobody asked this one: it goes on in another process.

    Raises:
        InputError: The attempt was refused.
    """
    match outcome:
        case "refused", reason:
            raise InputError(reason)
        case "failed", reason, details:
            return try_again(attempt, reason, details, options, tell)
        case "stopped", reason if asked_to_stop() is None:
            return try_again(attempt, reason, "", options, tell)
        case "ended", False:
            return [replace(attempt, patience=PATIENCE)]
    return []


def describe(error: BaseException) -> tuple[str, str]:
    """Return an error on one line, and its traceback."""
    reason = error.reason if isinstance(error, FunctionError) else f"{type(error).__name__}: {error}"
    text = " ".join(reason.split()).removesuffix(":")
    return text[:LONGEST_REASON], "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]


def try_again(attempt: Attempt, reason: str, details: str, options: Options, tell: Tell) -> list[Attempt]:
    """Say what is left to do after an attempt failed. After the last try the failure is written beside the results.

    Args:
        attempt: What failed. Seeds that ran together are tried again one by one.
        reason: Why, on one line.
        details: The traceback, if there is one.
        options: Where results are stored.
        tell: Called with each task.
    """
    reasons, store = (*attempt.reasons, reason), Store(options.results)
    is_last = len(reasons) >= TRIES
    what_next = f"given up after {TRIES} tries" if is_last else f"try {len(reasons) + 1} of {TRIES} follows"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with claimed(store, attempt.tasks[0].run, [task.seed for task in attempt.tasks], PATIENCE) as is_ours:
        for task in attempt.tasks:
            tell(task, f"{reason}; {what_next}")
            if is_last and is_ours and not store.has_file(task.run, task.seed):
                store.save_failure(Failure(task.run, task.seed, now, reasons, details))
                if options.remote is not None:
                    options.remote.send(store.failure_path(task.run, task.seed))
    return [] if is_last else [replace(attempt, tasks=(task,), reasons=reasons) for task in attempt.tasks]


def _execute(tasks: tuple[Task, ...], options: Options, progress: Progress) -> None:
    """Run what this process has claimed."""
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
        if options.remote is not None:
            options.remote.send(store.path(run, result.seed))
    checkpoint.remove()
    for task in tasks:  # also of the epochs that a run that diverged left out
        for epoch in range(told + 1, run.epochs + 1):
            progress(task, epoch)
