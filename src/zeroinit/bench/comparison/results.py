"""From stored runs to rows: accuracy, difference to the reference, corrected p-values, verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zeroinit._common import InputError, jsonable
from zeroinit.bench.comparison.entries import Entry
from zeroinit.bench.comparison.looks import LEVEL, Looks, level_of
from zeroinit.bench.comparison.protocol import Protocol
from zeroinit.bench.data import DATASETS
from zeroinit.bench.network import sizes_of
from zeroinit.bench.reporting.symmetries import weight_rank_at
from zeroinit.bench.stats import Estimate, equivalence, holm, mean_interval, num_seeds_needed, paired_difference
from zeroinit.bench.stats.estimate import ROUND_OFF
from zeroinit.bench.store import Result, Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["VERDICTS", "Comparison", "Row", "build_comparison", "judge", "plateau", "with_rounding"]

LEFT = 0.9
"""Of the loss of guessing: where the plateau ends."""

VERDICTS = ("better", "worse", "as good", "undecided", "one seed")


@dataclass(frozen=True)
class Row:
    """One entry of a comparison, or its reference. Accuracies are shares in [0, 1].

    Attributes:
        entry: Its label.
        rate: The learning rate of the final runs; ``is_at_end`` if no lower or no higher one was tried.
        accuracies: Final test accuracy by seed.
        accuracy: Their mean with its 95 % interval.
        difference: Minus the reference, paired by seed, with its 95 % interval; ``None`` for the reference. Its
            spread has the resolution of the test images in it: see ``with_rounding``.
        p_value: Two-sided, against no difference; corrected for the number of entries and for the looks.
        p_equivalent: Against a difference of the margin or more; corrected likewise.
        look: The number of this look: adding seeds makes a new one.
        verdict: One of ``VERDICTS``, or empty for the reference.
        more_seeds: About how many more seeds would decide it; ``None`` where it is decided or no number would do.
        first_epochs: The first epoch whose test accuracy reaches the target, by seed; ``None`` if none does.
        num_diverged: Final runs that ended with a loss that was not finite. They count with their last accuracy.
        plateaus: Updates on the plateau, by seed; see ``plateau``. Runs of boards have no record, and are left out.
        ranks: Effective rank of the weights at the end, by seed; see ``weight_rank_at``. Left out likewise, and if a
            weight is not finite.
    """

    entry: str
    rate: float
    is_at_end: bool
    accuracies: dict[int, float]
    accuracy: Estimate
    difference: Estimate | None
    p_value: float
    p_equivalent: float
    look: int
    verdict: str
    more_seeds: int | None
    first_epochs: dict[int, int | None]
    num_diverged: int
    plateaus: dict[int, int | None]
    ranks: dict[int, float]

    @property
    def first_epoch(self) -> float:
        """The median over seeds of the first epoch that reaches the target; infinite if most seeds never do."""
        return _median(self.first_epochs)

    @property
    def plateau(self) -> float:
        """The median over seeds of the updates on the plateau; infinite if most seeds never leave it."""
        return _median(self.plateaus)


@dataclass(frozen=True)
class Comparison:
    """The outcome of ``compare``. ``print`` shows the protocol, the table and the verdicts.

    Attributes:
        protocol: What was run, and how it is judged.
        rows: The reference first, then the entries as they were given.
        problems: Runs that failed, and entries that have no row because all theirs failed.
    """

    protocol: Protocol
    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()

    def __getitem__(self, entry: str) -> Row:
        for row in self.rows:
            if row.entry == entry:
                return row
        raise KeyError(entry)

    def __str__(self) -> str:
        return self.write("text")

    def write(self, form: str) -> str:
        """Return it as text: a key of ``FORMATS``, which are ``text``, ``csv``, ``latex``, ``bibtex`` and ``json``.

        Raises:
            InputError: An unknown format.
        """
        from zeroinit.bench.comparison.formats import write

        return write(self, form)

    def save(self, folder: Path | str) -> Path:
        """Write the table in every format, and the drawing, into a folder; return it.

        Raises:
            InputError: The folder cannot be written to.
        """
        from zeroinit.bench.comparison.formats import save

        return save(self, Path(folder))

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw each entry's difference to the reference, in points, with its 95 % interval."""
        from zeroinit.bench.comparison.formats import draw

        return draw(self, axes)

    def to_dict(self) -> dict:
        """Return everything as plain values, ready for JSON."""
        from zeroinit.bench.comparison.formats import to_dict

        return jsonable(to_dict(self))


def judge(
    differences: Sequence[np.ndarray], looks: Sequence[int], margin: float
) -> list[tuple[float, float, str, int | None]]:
    """Decide all entries together from their differences to the reference.

    Both families of tests are corrected with Holm's method and for the looks: "better" and "worse", and "as good". Each
    family is wrong anywhere, in any look, with a probability of at most 5 %.

    Args:
        differences: For each entry one difference per seed.
        looks: Which look it is for each entry.
        margin: The largest difference that does not matter.

    Returns:
        For each entry both corrected p-values, the verdict, and how many more seeds would decide it.
    """
    shares = [LEVEL / level_of(look) for look in looks]
    different = [paired_difference(each, np.zeros(len(each))).p_value for each in differences]
    equal = [equivalence(each, margin).p_equivalent for each in differences]
    families = [
        holm([min(1.0, p * share) for p, share in zip(p_values, shares, strict=True)])
        for p_values in (different, equal)
    ]
    judged = []
    for values, look, p_value, p_equivalent in zip(differences, looks, *families, strict=True):
        verdict = "undecided"
        if len(values) < 2:
            verdict = "one seed"
        elif p_value < LEVEL:
            verdict = "better" if values.mean() > 0 else "worse"
        elif p_equivalent < LEVEL:
            verdict = "as good"
        more = _more_seeds(values, margin, level_of(look + 1) / len(differences)) if verdict == "undecided" else None
        judged.append((float(p_value), float(p_equivalent), verdict, more))
    return judged


def with_rounding(differences: np.ndarray, step: float) -> np.ndarray:
    """Return differences with the same mean and the spread that they have beyond the resolution of the test images.

    Accuracies are multiples of one image, so a few differences may be equal by chance. Rounding to multiples of
    ``step`` has the variance step² / 12, and a difference has it twice.

    Args:
        differences: One per seed.
        step: The share of one test image.

    Example:
        >>> with_rounding(np.array([1.0, 1.0, 1.0]), step=6**0.5).round(3).tolist()
        [0.0, 1.0, 2.0]
    """
    if len(differences) < 2:
        return differences
    mean, spread = differences.mean(), differences.std(ddof=1)
    shape = differences - mean if spread > ROUND_OFF else np.arange(len(differences)) - (len(differences) - 1) / 2
    return mean + shape / shape.std(ddof=1) * math.hypot(spread, step / math.sqrt(6))


def _more_seeds(values: np.ndarray, margin: float, level: float) -> int | None:
    """Say how many more seeds the next look needs if mean and spread stay as they are; ``None`` if no number would do.

    The two one-sided tests of "as good" have the power of one at the margin that is nearer: a two-sided test at twice
    the level.
    """
    spread, size, needed = float(values.std(ddof=1)), abs(float(values.mean())), []
    for gap, alpha in ((size, level), (margin - size, 2 * level)):
        if gap > 0:
            try:
                needed.append(num_seeds_needed(gap, spread, alpha=alpha))
            except InputError:  # more than anybody runs
                continue
    return max(1, min(needed) - len(values)) if needed else None


def build_comparison(protocol: Protocol, store: Store) -> Comparison:
    """Judge the final runs of a comparison; the look is written down. An entry without a result is a problem.

    Raises:
        InputError: The reference has no result.
    """
    problems: list[str] = []
    found = {entry: _found(protocol, entry, store, problems) for entry in protocol.entries}
    reference = found.pop(protocol.reference)
    if not reference:
        raise InputError(f"reference={protocol.reference.label!r}: has no result; {'; '.join(problems)}")
    others, looks, differences, numbers = [], Looks(store.root), [], []
    for entry in found:
        seeds = [seed for seed in found[entry] if seed in reference]
        if not seeds:
            problems += [f"{entry.label}: shares no finished seed with the reference"] * bool(found[entry])
            continue
        others.append(entry)
        pair = f"{found[entry][seeds[0]].run.key} {reference[seeds[0]].run.key}"
        numbers.append(looks.number(pair, seeds))
        gaps = np.array([_final(found[entry][seed]) - _final(reference[seed]) for seed in seeds])
        differences.append(with_rounding(gaps, 1 / sizes_of(protocol.run.dataset).num_test))
    judged = judge(differences, numbers, protocol.margin)
    rows = [_row(protocol, protocol.reference, reference, store, None, (math.nan, math.nan, "", None), 0)]
    for entry, values, of_entry, look in zip(others, differences, judged, numbers, strict=True):
        rows.append(_row(protocol, entry, found[entry], store, mean_interval(values), of_entry, look))
    return Comparison(protocol, tuple(rows), tuple(problems))


def _median(counts: dict[int, int | None]) -> float:
    return float(np.median([math.inf if each is None else each for each in counts.values()])) if counts else math.nan


def plateau(recorded: Mapping, num_classes: int) -> int | None:
    """Return the updates before the loss leaves that of guessing by a tenth: the mean loss of about ten updates.

    Args:
        recorded: By the recorder ``course``.
        num_classes: Guessing among them has a loss of its logarithm.

    Returns:
        Updates up to the first block below; ``None`` if no block is.

    Example:
        >>> plateau({"updates": [10, 20, 30], "block_losses": [2.3, 2.29, 1.0]}, 10)
        20
    """
    below = [loss is not None and loss < LEFT * math.log(num_classes) for loss in recorded["block_losses"]]
    return [0, *recorded["updates"]][below.index(True)] if True in below else None


def _final(result: Result) -> float:
    return result.history["test_accuracy"][-1]


def _found(protocol: Protocol, entry: Entry, store: Store, problems: list[str]) -> dict[int, Result]:
    """Return an entry's final results by seed; what failed goes to ``problems``."""
    if not protocol.has_rate(entry, store):
        problems.append(f"{entry.label}: no run ended at any rate; see the files seed-*.failed in {store.root}")
        return {}
    found = {}
    for task in protocol.final_tasks(entry, protocol.tuned(entry, store).rate):
        result = store.find(task.run, task.seed)
        if result is not None:
            found[task.seed] = result
        elif failure := store.failure(task.run, task.seed):
            problems.append(f"{entry.label}, seed {task.seed}: {failure}")
    return found


def _row(
    protocol: Protocol,
    entry: Entry,
    found: dict[int, Result],
    store: Store,
    difference: Estimate | None,
    judged: tuple[float, float, str, int | None],
    look: int,
) -> Row:
    tuned = protocol.tuned(entry, store)
    p_value, p_equivalent, verdict, more_seeds = judged
    curves = {seed: result.history["test_accuracy"] for seed, result in found.items()}
    records = {seed: result.recorded for seed, result in found.items() if result.recorded is not None}
    num_classes = DATASETS[protocol.run.dataset].num_classes
    return Row(
        entry=entry.label,
        rate=tuned.rate,
        is_at_end=tuned.is_at_end,
        accuracies={seed: _final(result) for seed, result in found.items()},
        accuracy=mean_interval([_final(result) for result in found.values()]),
        difference=difference,
        p_value=p_value,
        p_equivalent=p_equivalent,
        look=look,
        verdict=verdict,
        more_seeds=more_seeds,
        first_epochs={
            seed: next((epoch for epoch, value in enumerate(curve, 1) if value >= protocol.target), None)
            for seed, curve in curves.items()
        },
        num_diverged=sum(result.history["outcome"] == "diverged" for result in found.values()),
        plateaus={seed: plateau(record, num_classes) for seed, record in records.items()},
        ranks={seed: share for seed, record in records.items() if math.isfinite(share := weight_rank_at(record, -1))},
    )
