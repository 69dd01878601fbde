"""One run with one seed, or several seeds of it at once: claimed, carried out, stored."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeroinit.bench.running.claims import claimed
from zeroinit.bench.running.runner import execute, execute_seeds
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.training import Checkpoint, Observer, OutOfTime, TensorBoardObserver
from zeroinit.bench.training.stopping import is_over

__all__ = ["Options", "Progress", "Task", "carry_out", "missing"]

PATIENCE = 1.0
"""Seconds that a process waits for another's run before it looks again."""


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
        """Whether the deadline has passed, or the process was asked to end."""
        return is_over(self.deadline)


Progress = Callable[[Task, int], None]
"""Called with a task and the number of its finished epochs."""


def missing(tasks: Iterable[Task], store: Store) -> list[Task]:
    """List the tasks without a stored result, each once."""
    return [task for task in dict.fromkeys(tasks) if not store.has(task.run, task.seed)]


def carry_out(tasks: tuple[Task, ...], options: Options, progress: Progress, wait: bool = False) -> bool:
    """Run one task, or the seeds of one run, in this process and store the results, if there is time.

    Args:
        tasks: Seeds of one run.
        options: Where to store results, and when to end.
        progress: Called after each epoch.
        wait: Wait for another process that computes them, in place of leaving them to it.

    Returns:
        Whether they are done with; ``False`` while another process computes them.
    """
    run, seeds, store = tasks[0].run, [task.seed for task in tasks], Store(options.results)
    while not options.is_out_of_time:
        with claimed(store, run, seeds, time.monotonic() + PATIENCE * wait) as is_ours:
            is_stored = all(store.has_file(run, seed) for seed in seeds)
            if is_ours and not is_stored:
                _execute(tasks, options, progress)
                return True
        if is_stored:
            for task in tasks:
                progress(task, run.epochs)
            return True
        if not wait:
            return False
    return True


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
    checkpoint.remove()
    for task in tasks:  # also of the epochs that a run that diverged left out
        for epoch in range(told + 1, run.epochs + 1):
            progress(task, epoch)
