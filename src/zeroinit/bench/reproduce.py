"""Reproduce figures: carry out the missing runs, store their results, write the report."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from zeroinit._common import AWAY, InputError, check_writable, counted, lookup
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.network import hash_model, start_model
from zeroinit.bench.profiles import PROFILES
from zeroinit.bench.progress import Progress, partly
from zeroinit.bench.reporting.report import Report, build_report, check_figures, is_written, write_report
from zeroinit.bench.running.device import as_many_threads, choose_device, was_made_here
from zeroinit.bench.running.estimate import name_runs
from zeroinit.bench.running.schedule import Options, Task, choose_jobs, missing, run_all, shard_of
from zeroinit.bench.running.start import load
from zeroinit.bench.spec import Figure, Run
from zeroinit.bench.store import AGAIN, Result, Store
from zeroinit.bench.work import rough_seconds
from zeroinit.init import INITIALIZERS

__all__ = [
    "Interrupted",
    "carry_out_missing",
    "choose_figures",
    "list_missing",
    "out_of_time",
    "reproduce",
    "told_what_is_kept",
]


class Interrupted(KeyboardInterrupt):
    """The user stopped a reproduction; the message says what is stored.

    Attributes:
        signal: The number of the signal: Ctrl-C sends 2, Slurm and Docker send 15.
    """

    def __init__(self, message: str, signal: int = 2):
        super().__init__(message)
        self.signal = signal


def choose_figures(names: Sequence[str] | None, profile: str = "paper") -> list[Figure]:
    """Return figures by name; those of the profile if none is named.

    Raises:
        InputError: An unknown name.

    Example:
        >>> [figure.name for figure in choose_figures(["fig4", "fig3"])]
        ['fig4', 'fig3']
        >>> [figure.name for figure in choose_figures([], "first")]
        ['starts', 'starts_cnn', 'fig12']
    """
    if profiles := [name for name in names or () if name in PROFILES and name not in FIGURES]:
        way = "" if profiles[0] == "first" else f" --profile {profiles[0]}"
        raise InputError(f"figure={profiles[0]!r}: is a profile; type `zeroinit reproduce{way}`")
    names = names or lookup(PROFILES, profile, "profile").figures
    if not names:
        return [figure for figure in FIGURES.values() if figure.in_paper]
    return [lookup(FIGURES, name, "figure") for name in dict.fromkeys(names)]


def reproduce(
    figures: Sequence[Figure],
    options: Options,
    *,
    seeds: Sequence[int],
    profile: str = "paper",
    protocol: str = "corrected",
    jobs: int | None = None,
    report_dir: Path,
    progress: Progress,
) -> Report | None:
    """Run the missing runs of some figures, store each result as it comes, and write the report.

    A report that is there already, made from the same results by the same program, is not drawn again.
    Everything that can be checked is checked before the first run.

    Args:
        figures: The figures to reproduce.
        options: Where to store results; the data, the device, the logs.
        seeds: Each curve is run once with each seed.
        profile: A key of ``PROFILES``.
        protocol: A key of ``PROTOCOLS``.
        jobs: Number of processes; if ``None``, ``choose_jobs`` chooses.
        report_dir: Where the report goes.
        progress: Shows what is going on.

    Returns:
        The report that was written; its ``problems`` name the runs that failed. ``None`` if the deadline of
        ``options`` came before any result, or ``options`` name a part of all runs: then nobody knows all results yet.

    Raises:
        InputError: You can fix the cause: an unknown name, missing data, a folder that cannot be written to. Or every
            run failed.
        Interrupted: The user stopped it; the message says what is kept.
    """
    check_figures(figures)
    jobs = choose_jobs(jobs, choose_device(options.device))
    names = name_runs(figures, profile, protocol)
    tasks = _tasks(figures, seeds, profile, protocol, options)
    store = Store(options.results, keep=options.shard[1] == 1)
    for folder in (report_dir, options.tensorboard):
        if folder is not None:
            check_writable(folder)
    with told_what_is_kept(tasks, store):
        todo = carry_out_missing(tasks, options, store, progress, jobs=jobs, names=names)
        left = missing(todo, store)
        failed = [task for task in left if store.failure(task.run, task.seed)]
        if len(left) > len(failed):
            refuse_lost(len(left) - len(failed), options)
            progress.print(out_of_time(len(todo) - len(left), len(todo), options))
            if len(left) == len(tasks) and not failed:
                return None
        if options.shard[1] > 1:
            number, count = options.shard
            progress.print(
                f"shard {number}/{count}: {len(tasks) - len(left)} of {counted(len(tasks), 'run')} stored in "
                f"{options.place}; `zeroinit report` writes the report when all shards have ended"
            )
            return None
        progress.begin("deciding the claims")
        report = build_report(figures, store, seeds, profile, protocol, options.place)
        if is_written(report, report_dir):
            progress.print("nothing that the report is made from has changed; `zeroinit report` draws it again")
        else:
            write_report(report, report_dir, progress.begin)
    return report


def out_of_time(num_done: int, num_all: int, options: Options) -> str:
    """Say how far a command came before its time limit, and how to go on."""
    done = partly(num_done, num_all)
    return f"out of time: {done} done and stored in {options.place}; the same command goes on from there"


def refuse_lost(num_lost: int, options: Options) -> None:
    """End a command that had all the time and still lacks results that it has made.

    Raises:
        InputError: There is no deadline.
    """
    if options.deadline is None:
        raise InputError(
            f"results={str(options.place)!r}: {counted(num_lost, 'result')} that this command made cannot be found "
            "there; was the folder moved or emptied meanwhile? The same command goes on with what is there"
        )


@contextmanager
def told_what_is_kept(tasks: Sequence[Task], store: Store) -> Iterator[None]:
    """Say what is stored of these tasks if the user stops.

    Raises:
        Interrupted: The user stopped it.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        kept = len(tasks) - len(missing(tasks, store))
        raise Interrupted(
            f"interrupted: {partly(kept, len(tasks))} kept in {store.root}",
            error.args[0] if error.args else 2,
        ) from None


def carry_out_missing(
    tasks: list[Task],
    options: Options,
    store: Store,
    progress: Progress,
    *,
    jobs: int,
    names: Mapping[Run, str],
    phase: str = "",
) -> list[Task]:
    """Run the tasks without a usable result, after everything that can be checked.

    Args:
        tasks: Each once.
        options: Where to store results; the data, the device, the logs.
        store: The store of ``options``.
        progress: Shows what is going on.
        jobs: Number of processes.
        names: What each run is called.
        phase: What the runs are for, as ``"tuning: "``; shown before their count.

    Returns:
        The tasks that had no usable result.
    """
    todo = missing(tasks, store)
    if todo:
        check_writable(options.results)
    todo = _check_what_is_there(tasks, todo, options, store, progress)
    _run(tasks, todo, options, jobs, progress, names, phase)
    return todo


def _tasks(
    figures: Sequence[Figure], seeds: Sequence[int], profile: str, protocol: str, options: Options
) -> list[Task]:
    """List the runs of some figures, or the part of them that ``options`` name; seed by seed."""
    curves = [figure.at(profile, protocol) for figure in figures]
    runs = [(curve.run, seed) for of_figure in curves for seed in seeds for curve in of_figure]
    return shard_of([Task(run, seed) for run, seed in dict.fromkeys(runs)], options.shard)


def list_missing(
    figures: Sequence[Figure], options: Options, *, seeds: Sequence[int], profile: str, protocol: str
) -> list[str]:
    """Return a line for each run without a result that can be read: where it would lie, what it is, how it failed."""
    store, names = Store(options.results), name_runs(figures, profile, protocol)
    lines = []
    for task in _tasks(figures, seeds, profile, protocol, options):
        if store.find(task.run, task.seed) is None:
            path = str(store.path(task.run, task.seed))
            state = "unreadable" if path in store.unreadable else "damaged" if path in store.problems else ""
            found = store.failure(task.run, task.seed) or state
            words = (path, f"{names[task.run]}, seed {task.seed}", str(found))
            lines.append("\t".join(filter(None, words)))
    return lines


def _check_what_is_there(
    tasks: Sequence[Task], todo: list[Task], options: Options, store: Store, progress: Progress
) -> list[Task]:
    """Read what is stored and load the data, so that what is wrong with them shows before the first run.

    Returns:
        What is to be run: also the runs whose result is damaged; that file is renamed.

    Raises:
        UnreadableError: A result cannot be read and may be whole.
    """
    num_stored = len(tasks) - len(todo)
    progress.begin("reading what is stored")
    for number, task in enumerate(set(tasks).difference(todo)):
        progress.update(number / len(tasks), "reading what is stored")
        result = store.find(task.run, task.seed)
        if result is None or (store.has_file(task.run, task.seed) and _is_outdated(result)):
            problem = f"{task.run.initializer} sets other values than it did for {store.path(task.run, task.seed)}"
            problem = problem if result else store.problems[str(store.path(task.run, task.seed))]
            problem = problem.removesuffix(AGAIN).removesuffix(AWAY)
            aside = store.set_aside(task.run, task.seed, "outdated" if result else "damaged")
            progress.print(f"{problem}; set aside as {aside}, its run is computed again")
            todo = [*todo, task]
            num_stored -= 1
    for dataset in sorted({task.run.dataset for task in todo}):
        progress.begin(f"loading {dataset}")
        load(dataset, options.data_dir)
    if num_stored:
        note = (
            "; stored runs write no TensorBoard logs: give --results an empty folder to run them again"
            if options.tensorboard
            else ""
        )
        progress.print(f"{partly(num_stored, len(tasks))} stored already in {options.place}{note}")
    return todo


def _is_outdated(result: Result) -> bool:
    """Whether a function of the user's starts a network with other values now than when the result was stored.

    What another kind of machine made is believed: there, the same function may round otherwise.
    """
    name = result.run.initializer
    is_own = name not in INITIALIZERS and not name.startswith("torch.")
    if not is_own or not was_made_here(result):
        return False
    with as_many_threads(result):
        return hash_model(start_model(result.run, result.seed)) != result.initial_hash


def _run(
    tasks: list[Task],
    todo: list[Task],
    options: Options,
    jobs: int,
    progress: Progress,
    names: Mapping[Run, str],
    phase: str,
) -> None:
    """Run what is missing, and say how far it is: each run counts as much as it likely takes."""
    work = {task: rough_seconds(task.run) for task in todo}
    epochs, whole, done, num_done = dict.fromkeys(todo, 0), sum(work.values()), 0.0, 0
    if todo:
        progress.begin(f"{phase}0 of {counted(len(todo), 'run')}, the first ones start")

    def on_epoch(task: Task, epoch: int) -> None:
        nonlocal done, num_done
        done += work[task] * (epoch - epochs[task]) / (task.run.epochs or 1)
        num_done += epoch == task.run.epochs
        epochs[task] = epoch
        progress.update(done / whole, f"{phase}{num_done} of {counted(len(todo), 'run')}")

    def tell(task: Task, words: str) -> None:
        progress.print(f"failed: {names[task.run]}, seed {task.seed}: {words}")

    run_all(tasks, options, jobs=jobs, progress=on_epoch, tell=tell)
