"""Estimate a reproduction on this machine: its runs, their operations, and the time from a short calibration.

The estimate reads only stored results, writes nothing, and needs no data set.
"""

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zeroinit.bench.running.calibrate import Speed, calibrate, full_batch, kind_of
from zeroinit.bench.running.device import choose_device
from zeroinit.bench.running.schedule import Options, Task, choose_jobs, group, missing, shard_of
from zeroinit.bench.spec import Figure, Run
from zeroinit.bench.store import Store
from zeroinit.bench.work import SLOW_CORE, flops, rough_seconds, work_of

__all__ = [
    "Estimate",
    "Row",
    "estimate",
    "estimate_tasks",
    "makespan",
    "may_take_longer",
    "name_runs",
    "tasks_may_take_longer",
]


@dataclass(frozen=True)
class Row:
    """The runs of one setting.

    Attributes:
        name: The figures and the curve, as in ``"fig3, fig4: Normal"``.
        run: The settings.
        num_seeds: How many runs there are to do.
        flops: Floating-point operations of each.
        seconds: Time of each.
        is_extrapolated: Whether the time comes from a smaller batch than the run's.
    """

    name: str
    run: Run
    num_seeds: int
    flops: int
    seconds: float
    is_extrapolated: bool


@dataclass(frozen=True)
class Estimate:
    """The runs that are left, and about how long they take.

    Attributes:
        rows: In the order of the runs, those with the most operations first.
        num_stored: Runs that are stored already.
        jobs: Processes that would run at a time.
        threads: Threads of each.
        device: ``"cpu"`` or ``"cuda"``.
        seconds: From the first run's start to the last one's end. On a CUDA device, processes are assumed to gain
            nothing by sharing it.
        calibration: Seconds that the calibration took.
    """

    rows: tuple[Row, ...]
    num_stored: int
    jobs: int
    threads: int
    device: str
    seconds: float
    calibration: float

    @property
    def num_runs(self) -> int:
        """How many runs there are to do."""
        return sum(row.num_seeds for row in self.rows)


def estimate(
    figures: Sequence[Figure],
    options: Options,
    *,
    seeds: Sequence[int],
    profile: str = "paper",
    protocol: str = "corrected",
    jobs: int | None = None,
) -> Estimate:
    """Say which runs ``reproduce`` with the same arguments would do, and estimate how long they take.

    The estimate does not count the start of processes, the loading of data, remedies and recorders.

    Raises:
        InputError: As ``reproduce`` raises, except for data sets and folders to write to, which are not touched.
    """
    names = name_runs(figures, profile, protocol)
    return estimate_tasks([Task(run, seed) for run in names for seed in seeds], names, options, jobs)


def estimate_tasks(tasks: Sequence[Task], names: Mapping[Run, str], options: Options, jobs: int | None) -> Estimate:
    """Estimate how long the tasks without a result take; ``names`` says what each run is called.

    Raises:
        InputError: As in ``estimate``.
    """
    place, store = choose_device(options.device), Store(options.results)
    jobs, tasks = choose_jobs(jobs, place), shard_of(tasks, options.shard)
    todo = sorted(missing(tasks, store), key=lambda task: -flops(task.run))
    for task in set(tasks).difference(todo):
        store.load(task.run, task.seed)
    groups = group(todo, options)
    jobs = max(1, min(jobs, len(groups)))
    threads = max(1, choose_jobs(None) // jobs)
    begin = time.perf_counter()
    speeds = calibrate({(kind_of(together[0].run), len(together)) for together in groups}, place, threads)
    calibration = time.perf_counter() - begin
    timed = [(together, speeds[kind_of(together[0].run), len(together)]) for together in groups]
    return Estimate(
        _rows(names, timed),
        num_stored=len(set(tasks)) - len(todo),
        jobs=jobs,
        threads=threads,
        device=place.type,
        seconds=makespan(
            [_seconds(together[0].run, speed) for together, speed in timed], jobs if place.type == "cpu" else 1
        ),
        calibration=calibration,
    )


def may_take_longer(
    than: float, figures: Sequence[Figure], options: Options, *, seeds: Sequence[int], profile: str, protocol: str
) -> bool:
    """Whether what is left could take more than these seconds on a slow core; if not, nothing has to be timed."""
    tasks = [Task(run, seed) for run in name_runs(figures, profile, protocol) for seed in seeds]
    return tasks_may_take_longer(than, tasks, options)


def tasks_may_take_longer(than: float, tasks: Sequence[Task], options: Options) -> bool:
    """Whether the tasks without a result could take more than these seconds on a slow core."""
    left = missing(shard_of(tasks, options.shard), Store(options.results))
    return sum(rough_seconds(task.run, SLOW_CORE) for task in left) > than


def name_runs(figures: Sequence[Figure], profile: str, protocol: str) -> dict[Run, str]:
    """Say for each distinct run which curves of which figures use it."""
    found: dict[Run, dict[str, list[str]]] = {}
    for figure in figures:
        for curve in figure.at(profile, protocol):
            found.setdefault(curve.run, {}).setdefault(curve.label, []).append(figure.name)
    return {
        run: "; ".join(f"{', '.join(names)}: {label}" for label, names in labels.items())
        for run, labels in found.items()
    }


def _rows(names: Mapping[Run, str], timed: Sequence[tuple[tuple[Task, ...], Speed]]) -> tuple[Row, ...]:
    """Put the tasks of each run into one row; ``timed`` holds the groups that run together, with their speed."""
    by_run: dict[Run, list[tuple[int, Speed]]] = {}
    for together, speed in timed:
        by_run.setdefault(together[0].run, []).append((len(together), speed))
    rows = []
    for run, parts in by_run.items():
        num_seeds = sum(count for count, _ in parts)
        each = sum(_seconds(run, speed) for _, speed in parts) / num_seeds
        is_extrapolated = any(speed.batch < full_batch(run) for _, speed in parts)
        rows.append(Row(names[run], run, num_seeds, flops(run), each, is_extrapolated))
    return tuple(rows)


def _seconds(run: Run, speed: Speed) -> float:
    work = work_of(run)
    return work.num_steps * speed.step + work.num_evaluated * speed.evaluated


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Return when the last of some jobs ends if each worker takes the next one as soon as it is free.

    Example:
        >>> makespan([4.0, 3.0, 2.0, 1.0], workers=2)
        5.0
    """
    ends = [0.0] * workers
    for value in seconds:
        heapq.heapreplace(ends, ends[0] + value)
    return max(ends)
