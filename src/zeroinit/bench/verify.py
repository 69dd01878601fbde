"""Carry out some stored runs again and compare: bits on the same kind of machine, accuracies elsewhere."""

import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeroinit._common import InputError, counted, whole_number
from zeroinit.bench.network import sizes_of
from zeroinit.bench.progress import Progress, format_duration
from zeroinit.bench.running.device import as_many_threads
from zeroinit.bench.running.schedule import Options, Task, carry_out
from zeroinit.bench.running.task import describe
from zeroinit.bench.stats import mean_interval
from zeroinit.bench.store import Result, Store, UnreadableError

__all__ = ["OUTCOMES", "Check", "compare", "verify"]

OUTCOMES = ("equal bits", "within the interval", "differs", "damaged", "failed", "not compared")
COMPARED, WRONG = OUTCOMES[:4], ("differs", "damaged", "failed")
LEVEL = 0.99


@dataclass(frozen=True)
class Check:
    """What became of one stored run.

    Attributes:
        name: Its place in the folder.
        outcome: One of ``OUTCOMES``.
        reason: How it was compared and what was found.
    """

    name: str
    outcome: str
    reason: str

    @property
    def is_wrong(self) -> bool:
        """Whether the stored result is not what its settings give."""
        return self.outcome in WRONG

    @property
    def is_compared(self) -> bool:
        """Whether anything was compared."""
        return self.outcome in COMPARED

    def __str__(self) -> str:
        return f"{self.outcome}: {self.name}: {self.reason}"


def verify(
    options: Options, *, sample: int, seed: int, budget: float, imports: bool, progress: Progress
) -> tuple[list[Check], int]:
    """Carry out a random sample of the stored runs again, one after the other, and compare.

    Args:
        options: Where the results are stored; data and device of the new runs.
        sample: How many runs.
        seed: Chooses them.
        budget: Seconds for all of them. Runs that took longer when they were stored are left out.
        imports: Whether to carry out runs whose initializer is a function of somebody's own, which is imported.
        progress: Shows what is going on.

    Returns:
        A check of each run of the sample, and the number of runs that are too long.

    Raises:
        InputError: The folder holds no result, or an argument is out of range.
    """
    whole_number(sample, "sample", least=1)
    store, end = Store(options.results), time.monotonic() + budget
    places, num_too_long = store.stored(), 0
    if not places and not store.problems:
        raise InputError(f"results={str(store.root)!r}: holds no result; name the folder of stored results")
    checks = [Check(place, "damaged", reason) for place, reason in store.problems.items()]  # of bundles
    whole = min(sample, len(places)) + len(checks)
    random.Random(seed).shuffle(places)
    for key, number in places:
        if len(checks) == whole:
            break
        name = f"{key}/seed-{number}"
        try:
            stored = store.read(key, number)
        except InputError as error:
            outcome = "not compared" if isinstance(error, UnreadableError) else "damaged"
            checks.append(Check(name, outcome, str(error)))
            continue
        if stored.seconds > budget:
            num_too_long += 1
            continue
        budget -= stored.seconds
        progress.update(len(checks) / whole, f"{name}, about {format_duration(stored.seconds)}")
        checks.append(_check(name, stored, store, options, end, imports))
    return checks, num_too_long


def _check(name: str, stored: Result, store: Store, options: Options, end: float, imports: bool) -> Check:
    """Carry out one run again in a folder of its own, and compare."""
    if ":" in stored.run.initializer and not imports:
        text = f"initializer={stored.run.initializer!r} would be imported and called; --imports allows that"
        return Check(name, "not compared", text)
    task = Task(stored.run, stored.seed)
    try:
        with as_many_threads(stored), tempfile.TemporaryDirectory(prefix="zeroinit-verify-") as folder:
            again = Options(Path(folder), options.data_dir, options.device, checkpoint_every=math.inf, deadline=end)
            carry_out((task,), again, lambda task, epoch: None)
            fresh = Store(folder)
            if not fresh.has(task.run, task.seed):
                return Check(name, "not compared", "the time limit came first")
            made = fresh.load(task.run, task.seed)
    except Exception as error:
        return Check(name, "failed", f"cannot be carried out again ({describe(error)[0]})")
    return Check(name, *compare(stored, made, lambda: _others(store, stored)))


def compare(stored: Result, made: Result, others: Callable[[], Sequence[float]]) -> tuple[str, str]:
    """Compare a stored result with one made just now.

    On the CPU of the same kind of machine both are equal to the last bit: the same versions, processor and threads.
    Elsewhere sums are rounded in other ways, and a training drifts away as if it had another seed.

    Args:
        stored: The stored result.
        made: The new one.
        others: Returns the final accuracies of the other stored seeds of this run.

    Returns:
        One of ``OUTCOMES``, and why.
    """
    new, took = _accuracy(made), format_duration(made.seconds)
    changed = _first_change(stored, made)
    if changed is None:
        return "equal bits", f"{_percent(new)}, {took}"
    reasons = list(_other_kind(stored, made))
    if not reasons:
        source = "" if _origin(stored, "source") == _origin(made, "source") else "; it was made by another source"
        return "differs", f"{changed}, on the same kind of machine{source}"
    old, finals = _accuracy(stored), others()
    where = f"another {', '.join(reasons)}"
    if old is None or new is None or len(finals) < 2:
        return "not compared", f"{where}; {counted(len(finals), 'other seed')} stored, 2 give an interval"
    sizes = sizes_of(stored.run.dataset)
    image = 1 / (stored.run.num_test or sizes.num_test)
    mean = mean_interval(finals, LEVEL)
    width = max((mean.high - mean.value) * math.sqrt(2 * len(finals)), image)  # of the difference of two runs
    text = (
        f"{_percent(old)} stored, {_percent(new)} now, {took}; {where}; two runs may lie {100 * width:.2f} points "
        f"apart ({100 * LEVEL:.0f} % interval of the other {len(finals)} seeds)"
    )
    return ("within the interval" if abs(old - new) <= width + 1e-12 else "differs"), text


def _other_kind(stored: Result, made: Result) -> Iterator[str]:
    """Name what is not the same about the two machines; without any, both results must be equal to the last bit."""
    for name in {**made.environment, **stored.environment}:
        if stored.environment.get(name) != made.environment.get(name):
            yield "number of threads" if name == "threads" else name
    if _origin(stored, "processor") != _origin(made, "processor"):
        yield "processor" if _origin(stored, "processor") else "processor, perhaps (the result does not name it)"
    if made.environment["device"] != "cpu":
        yield "order of sums: those of a CUDA device may change from run to run"


def _first_change(stored: Result, made: Result) -> str | None:
    """Say where two results first differ; ``None`` if all is equal but time and place."""
    if stored.initial_hash != made.initial_hash:
        return "other initial parameters"
    if _origin(stored, "data") not in (None, _origin(made, "data")):
        return "other data"
    old, new = stored.history, made.history
    found = [(_first_epoch(old.get(name), new.get(name)), name) for name in {**new, **old}]
    changed = [(epoch, name) for epoch, name in found if epoch is not None]
    if changed:
        epoch, name = min(changed)
        return f"another {name.replace('_', ' ')}" + (f" from epoch {epoch} on" if epoch else "")
    return None if stored.recorded == made.recorded else "another record of its recorder"


def _first_epoch(old: object, new: object) -> int | None:
    """Return the first epoch in which two parts of a history differ, 0 where that is no list; ``None`` if equal."""
    if old == new:
        return None
    if not (isinstance(old, list) and isinstance(new, list)):
        return 0
    pairs = enumerate(zip(old, new, strict=False), 1)
    return next((epoch for epoch, (one, other) in pairs if one != other), min(len(old), len(new)) + 1)


def _others(store: Store, stored: Result) -> list[float]:
    """Read the final accuracies of the other seeds of a run; what is damaged is left out."""
    places = [place for place in store.stored() if place[0] == stored.run.key and place[1] != stored.seed]
    found = [store.find(stored.run, seed) for _, seed in places]
    return [value for result in found if result is not None and (value := _accuracy(result)) is not None]


def _accuracy(result: Result) -> float | None:
    accuracies = result.history["test_accuracy"]
    return accuracies[-1] if accuracies else None


def _percent(accuracy: float | None) -> str:
    return "no epoch" if accuracy is None else f"{100 * accuracy:.2f} %"


def _origin(result: Result, name: str) -> str | None:
    return (result.origin or {}).get(name)
