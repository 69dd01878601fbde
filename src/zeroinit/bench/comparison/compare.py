"""The main job of a comparison: tune, run, judge."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, overload

from rich.console import Console

from zeroinit._common import InputError, counted, whole_number
from zeroinit._modules.arguments import as_path
from zeroinit.bench.comparison.entries import Entry, check_entry, read_entry
from zeroinit.bench.comparison.protocol import OF_ENTRIES, TARGETS, Protocol, base_run, default_rates, study_settings
from zeroinit.bench.comparison.results import Comparison, build_comparison
from zeroinit.bench.progress import Progress
from zeroinit.bench.reproduce import carry_out_missing, out_of_time, refuse_lost, told_what_is_kept
from zeroinit.bench.running.device import choose_device
from zeroinit.bench.running.remote import open_results
from zeroinit.bench.running.schedule import Options, Task, choose_jobs, missing
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store

__all__ = ["compare", "make_protocol", "planned", "prepare", "run_comparison"]

Initializers = Sequence[str | Callable] | Callable
"""Entries of a comparison, or a function alone."""
NUM_SEEDS, MOST_SEEDS, MARGIN = 5, 100_000, 0.01
RECORDER = "course"
"""Of the final runs. Those of boards have none, so that runs stored earlier count."""


@overload
def compare(initializers: Initializers, *, board: None = None, **options: Any) -> Comparison: ...
@overload
def compare(initializers: Initializers = (), *, board: str, **options: Any) -> dict[str, Comparison]: ...
def compare(  # type: ignore[misc]  # the two forms above name what differs; the rest is checked here
    initializers: Initializers = (),
    *,
    board: str | None = None,
    reference: str | Callable = "pytorch",
    seeds: int | Sequence[int] | None = None,
    learning_rates: Sequence[float] | None = None,
    margin: float = MARGIN,
    target: float | None = None,
    study: str | None = None,
    results: Path | str = "results",
    data_dir: Path | str | None = None,
    device: str = "auto",
    jobs: int = 1,
    **settings: Any,
) -> Comparison | dict[str, Comparison]:
    """Compare initializers under one protocol: a rate tuned for each, paired seeds, intervals, a verdict.

    Each entry gets the learning rate that is best on validation images, over two seeds that no final run has. The best
    rate has the lowest loss among the rates whose accuracy is within one standard error of the highest. Tuning measures
    no test image. Then each entry is trained once with each seed. For one seed, all entries have the same split and the
    same batches. Each run is stored. So if you repeat a call that was stopped, it continues.

    Args:
        initializers: Names, ``"package.module:function"``, ``"zero_start"``, or functions of a module that can be
            imported. A name may have a scale and remedies: ``"normal_bias*0.1+early_dropout:100:0.3"``.
        board: A board, such as ``"initbench"``, or one of its networks, such as ``"initbench:digits ResNet"``. Your
            initializers join the board's entries. The board fixes the reference, the rates, the margin, the target, the
            network and the data.
        reference: The entry with which the others are compared.
        seeds: How many seeds, from 0 on, or which seeds. By default 5, or the seeds of the board.
        learning_rates: In ascending order. A single rate is not tuned. By default five rates, each √10 times the one
            before.
        margin: The largest difference in accuracy that does not matter: 0.01 is one point.
        target: A test accuracy. The table shows the first epoch that reaches it. By default 0.9 on the digits, 0.95 on
            MNIST, 0.4 on CIFAR-10.
        study: A figure or study whose network is trained, such as ``"fig9"`` or ``"recommended:MNIST CNN"``.
        results: Folder of stored results, or a URL that fsspec knows.
        data_dir: As in ``load_dataset``.
        device: As in ``choose_device``.
        jobs: Number of processes. A script with more than one needs ``if __name__ == "__main__":`` around the call.
        settings: Further fields of ``Run``, such as ``dataset``, ``model``, ``optimizer``, ``epochs``, ``batch_size``.
            By default ``mnist_fnn`` on the digits, 20 epochs with Adam.

    Returns:
        The table and the verdicts. ``print`` them, or ``save`` them as CSV, LaTeX, BibTeX, JSON and a drawing. With a
        board: one ``Comparison`` for each network, by the network's name.

    Raises:
        InputError: An entry or a setting cannot be used, the board fixes it, or every run of the reference failed.

    Source:
        Holm 1979 and Schuirmann 1987 for the verdicts; see ``docs/guides/compare.md``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     comparison = compare(["zero"], seeds=2, learning_rates=[0.001], epochs=1, results=folder)
        >>> [row.entry for row in comparison.rows]
        ['pytorch', 'zero']
    """
    chosen = None if seeds is None else _seeds(seeds)
    data = None if data_dir is None else as_path(data_dir, "data_dir")
    folder, remote = open_results(results)
    options = Options(folder, data, device, remote=remote)
    if board is None:
        common = (learning_rates, margin, target, study, settings)
        protocol = prepare(initializers, reference, range(NUM_SEEDS) if chosen is None else chosen, *common)
        return _carried_out(protocol, options, jobs)
    given = {"reference": reference != "pytorch", "margin": margin != MARGIN, **dict.fromkeys(settings, True)}
    given |= {"learning_rates": learning_rates is not None, "target": target is not None, "study": study is not None}
    if fixed := [name for name, is_given in given.items() if is_given]:
        raise InputError(f"{fixed[0]}: board={board!r} fixes it; leave one of them out")
    from zeroinit.bench.comparison.board import open_board  # it imports this module

    own = [initializers] if isinstance(initializers, str) or callable(initializers) else initializers
    return {title: _carried_out(each, options, jobs) for title, each in open_board(board, own, chosen).items()}


def _carried_out(protocol: Protocol, options: Options, jobs: int) -> Comparison:
    comparison = run_comparison(protocol, options, jobs=jobs, progress=Progress(Console(quiet=True)))
    assert comparison is not None, "no deadline and no shard"
    return comparison


def _seeds(given: Any) -> Sequence[int]:
    """Return seeds from a count or a list.

    Raises:
        InputError: It is neither.
    """
    if isinstance(given, Integral):
        count = whole_number(given, "seeds", 1)
        if count > MOST_SEEDS:
            raise InputError(f"seeds={count}: are more than {MOST_SEEDS:,}")
        return range(count)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"seeds={given!r}: must be a count, as 5, or a list, as [0, 1, 2]")
    return [whole_number(each, "seeds", 0) for each in given]


def prepare(
    initializers: Initializers,
    reference: str | Callable,
    seeds: Sequence[int],
    learning_rates: Sequence[float] | None,
    margin: float,
    target: float | None,
    study: str | None,
    settings: Mapping[str, Any],
) -> Protocol:
    """Return the protocol of a comparison; every entry is tried on the network. Arguments are those of ``compare``.

    Raises:
        InputError: An entry or a setting cannot be used.
    """
    protocol = make_protocol(initializers, reference, seeds, learning_rates, margin, target, study, settings)
    for entry in protocol.entries:
        check_entry(entry, protocol.run)
    return replace(protocol, recorder=RECORDER)


def make_protocol(
    initializers: Initializers,
    reference: str | Callable,
    seeds: Sequence[int],
    learning_rates: Sequence[float] | None,
    margin: float,
    target: float | None,
    study: str | None,
    settings: Mapping[str, Any],
) -> Protocol:
    """Return the protocol of a comparison; entries are read and not tried. Arguments are those of ``compare``.

    Raises:
        InputError: The name of an entry, or a setting, cannot be used.
    """
    taken = set(OF_ENTRIES) & set(settings)
    unknown = set(settings) - set(Run.__dataclass_fields__)
    if taken or unknown:
        name = sorted(taken | unknown)[0]
        raise InputError(f"{name}: is no setting that all entries share; give fields of Run such as epochs or model")
    run = base_run({**({} if study is None else study_settings(study)), **settings})
    read = [read_entry(reference, "reference")]
    given = [initializers] if isinstance(initializers, str) or callable(initializers) else initializers
    if not isinstance(given, Iterable):
        raise InputError(f"initializers={given!r}: must be names or functions in a list, as ['zero_start']")
    read += [read_entry(each) for each in given]
    labels = [entry.label for entry in read[1:]]
    if doubled := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        raise InputError(f"initializers: {', '.join(doubled)} is named twice; name each once")
    entries = tuple({entry.label: entry for entry in read}.values())
    if len(entries) < 2:
        raise InputError(f"initializers: need one besides the reference, {entries[0].label}")
    try:
        rates = default_rates(run.optimizer) if learning_rates is None else tuple(map(float, learning_rates))
    except (TypeError, ValueError):
        raise InputError(f"learning_rates={learning_rates!r}: must be numbers in a list, as [0.0001, 0.001]") from None
    goal = TARGETS.get(run.dataset, 0.9) if target is None else target
    return Protocol(run, entries, rates, tuple(seeds), margin, goal)


def planned(protocol: Protocol, store: Store, shard: tuple[int, int] = (1, 1)) -> dict[Task, str]:
    """Name the runs of a comparison, as far as they are known now; the middle rate stands for one not yet tuned."""
    found: dict[Task, str] = {}
    for entry in _share(protocol.entries, shard):
        tuning = protocol.tuning_tasks(entry, store)
        is_tuned = all(store.has(task.run, task.seed) for task in tuning)
        rate = protocol.tuned(entry, store).rate if is_tuned else protocol.rates[len(protocol.rates) // 2]
        found |= _named(entry, [*tuning, *protocol.final_tasks(entry, rate)])
    return found


def _share(entries: Sequence[Entry], shard: tuple[int, int]) -> Sequence[Entry]:
    """Return the entries of a part of a comparison: whole ones, as the rate of each depends on its own runs alone."""
    number, count = shard
    return entries[number - 1 :: count]


def _named(entry: Entry, tasks: Sequence[Task]) -> dict[Task, str]:
    phases = {True: "tuning", False: "final"}
    return {task: f"{entry.label}, {phases[task.run.num_test == 0]}, {task.run.learning_rate:g}" for task in tasks}


def run_comparison(protocol: Protocol, options: Options, *, jobs: int | None, progress: Progress) -> Comparison | None:
    """Carry out what is missing of a comparison, and judge it.

    Returns:
        ``None`` if the deadline of ``options`` came before all results, or ``options`` name a part of all runs.

    Raises:
        InputError: As in ``compare``.
        Interrupted: The user stopped it; the message says what is kept.
    """
    jobs = choose_jobs(jobs, choose_device(options.device))
    store = Store(options.results)
    known: list[Task] = []
    with told_what_is_kept(known, store):
        for phase, stage in _stages(_share(protocol.entries, options.shard), protocol, store):
            known += [task for task in stage if task not in known]
            names = {task.run: name for task, name in stage.items()}
            if stage:
                carry_out_missing(list(stage), options, store, progress, jobs=jobs, names=names, phase=phase)
            left = [task for task in missing(known, store) if not store.failure(task.run, task.seed)]
            if left:
                refuse_lost(len(left), options)
                whole = list(planned(protocol, store, options.shard))
                progress.print(out_of_time(len(whole) - len(missing(whole, store)), len(whole), options))
                return None
        number, count = options.shard
        if count > 1:
            progress.print(
                f"shard {number}/{count}: {len(known) - len(missing(known, store))} of {counted(len(known), 'run')} "
                f"stored in {options.place}; the same command "
                "without --shard writes the tables when all shards have ended"
            )
            return None
        progress.begin("comparing")
        comparison = build_comparison(protocol, store)
        if options.remote is not None:
            options.remote.sync()  # the looks
        return comparison


def _stages(entries: Sequence[Entry], protocol: Protocol, store: Store) -> Iterator[tuple[str, dict[Task, str]]]:
    """Yield the grid, then the grids that have to be extended, then the final runs; each with words for progress."""
    tuning: dict[Task, str] = {}
    for phase in ("tuning rates: ", "tuning further rates: "):
        before = set(tuning)
        for entry in entries:
            tuning |= _named(entry, protocol.tuning_tasks(entry, store))
        yield phase, {task: name for task, name in tuning.items() if task not in before}
    finals: dict[Task, str] = {}
    for entry in entries:
        if protocol.has_rate(entry, store):
            finals |= _named(entry, protocol.final_tasks(entry, protocol.tuned(entry, store).rate))
    yield "final runs: ", finals
