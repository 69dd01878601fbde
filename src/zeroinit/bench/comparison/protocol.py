"""The protocol of a comparison, fixed before its runs: settings, rates, seeds, margin, target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real

from zeroinit._common import InputError, counted, lookup, whole_number
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.comparison.entries import Entry
from zeroinit.bench.data import DATASETS
from zeroinit.bench.labels import split_label
from zeroinit.bench.reporting.report import write_seeds
from zeroinit.bench.running.schedule import Task
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.training import OPTIMIZERS
from zeroinit.bench.work import work_of

__all__ = [
    "OF_ENTRIES",
    "TUNING_SEEDS",
    "Protocol",
    "Tuned",
    "base_run",
    "default_rates",
    "rounded_rate",
    "study_settings",
]

TUNING_SEEDS = (1000, 1001)
"""Seeds of the runs that choose a rate; no final run may have them."""

SIZES: Mapping[str, dict] = {"digits": {"epochs": 20, "batch_size": 32, "num_validation": 300}}
TARGETS = {"digits": 0.9, "mnist": 0.95, "cifar10": 0.4}
"""Test accuracies that are easy to reach: the question is how fast."""

GRIDS: Mapping[str, tuple[int, float]] = {"sgd": (-5, 0.9), "muon": (-6, 0.95)}
"""By optimizer: the exponent of the lowest default rate, in half powers of ten, and the momentum."""
FIRST, NUM_RATES, BEYOND = -8, 5, 2
"""Other optimizers begin at 1e-4. A grid is extended once, by this number of rates."""


def rounded_rate(rate: float) -> float:
    """Round to three digits, so that a rate is what you type.

    Example:
        >>> rounded_rate(10**-3.5)
        0.000316
    """
    return float(f"{rate:.3g}")


def default_rates(optimizer: str) -> tuple[float, ...]:
    """Return the rates that are tried: five, each by a factor of √10 above the one before.

    Example:
        >>> default_rates("adam")
        (0.0001, 0.000316, 0.001, 0.00316, 0.01)
    """
    first = GRIDS.get(optimizer, (FIRST, 0.0))[0]
    return tuple(rounded_rate(10 ** (exponent / 2)) for exponent in range(first, first + NUM_RATES))


def base_run(settings: Mapping) -> Run:
    """Return the settings that all entries share; ``settings`` replace the defaults of the data set and optimizer."""
    settings = {"dataset": "digits", "model": "mnist_fnn", "optimizer": "adam"} | dict(settings)
    lookup(DATASETS, settings["dataset"], "dataset")
    lookup(OPTIMIZERS, settings["optimizer"], "optimizer")
    momentum = GRIDS.get(settings["optimizer"], (FIRST, 0.0))[1]
    return Run(**{"reduction": "mean", "momentum": momentum} | SIZES.get(settings["dataset"], {}) | settings)


OF_ENTRIES = (
    *("initializer", "scale", "auto_scale", "remedy", "remedy_steps", "norm_aware", "include", "output_scale"),
    *("offset_scale", "spoiler", "learning_rate", "num_test", "max_steps", "recorder", "trained"),
)
"""Fields of ``Run`` that an entry sets, or that every run of a comparison has at its default."""


def study_settings(name: str) -> dict:
    """Return the shared settings of a study's network.

    Args:
        name: A figure or study; with several networks, the network's name behind a colon: ``"recommended:MNIST CNN"``.

    Raises:
        InputError: An unknown study or network, or several networks and none named.

    Example:
        >>> study_settings("recommended:MNIST CNN")["model"]
        'mnist_cnn'
    """
    figure, _, chosen = str(name).partition(":")
    networks: dict[str, dict] = {}
    for curve in lookup(FIGURES, figure, "study").at("paper", "corrected"):
        settings = {key: value for key, value in curve.run.to_dict().items() if key not in OF_ENTRIES}
        network = split_label(curve.label)[0] if ": " in curve.label else curve.run.model
        networks.setdefault(network, {key: value for key, value in settings.items() if value is not None})
    if not chosen and len(networks) > 1:
        raise InputError(f"study={name!r}: has several networks; choose one, as {figure}:{', '.join(networks)}")
    return lookup(networks, chosen or next(iter(networks)), f"study={figure!r}, network")


@dataclass(frozen=True)
class Tuned:
    """The rate of one entry.

    Attributes:
        rate: The rate with the lowest validation loss, among those within one standard error of the best accuracy.
        accuracies: Mean validation accuracy of each rate that was tried.
        is_at_end: Whether no lower or no higher rate was tried.
    """

    rate: float
    accuracies: Mapping[float, float]
    is_at_end: bool


@dataclass(frozen=True)
class Protocol:
    """What is run and how it is judged, before anything is run.

    Attributes:
        run: The settings that all entries share.
        entries: The reference first.
        rates: Tried for each entry, ascending; one rate alone is used as it is.
        seeds: Of the final runs, the same for all entries.
        margin: The largest difference in accuracy that does not matter.
        target: The test accuracy whose first epoch is told.
        recorder: Of the final runs, as in ``Run``; ``"course"`` tells of plateaus and ranks.
    """

    run: Run
    entries: tuple[Entry, ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    margin: float
    target: float
    recorder: str = "none"

    def __post_init__(self) -> None:
        shared = set(self.seeds) & set(TUNING_SEEDS)
        if shared:
            raise InputError(f"seeds: {min(shared)} chooses the rates, so no final run may have it; leave it out")
        if not self.rates or list(self.rates) != sorted(set(self.rates)):
            raise InputError(f"learning_rates={list(self.rates)}: must ascend, each rate once, as 0.0001, 0.001")
        if not 0 < self.rates[0] < self.rates[-1] * 2 < float("inf"):
            raise InputError(f"learning_rates={list(self.rates)}: must be finite numbers above 0")
        if self.run.num_validation == 0 or (self.run.num_validation is None and not self._held_out):
            raise InputError("num_validation=0: rates are chosen on validation images; hold some out")
        whole_number(self.run.epochs, "epochs", 1)
        whole_number(self.run.batch_size, "batch_size", 1)
        if not self.seeds:
            raise InputError("seeds: needs at least one")
        for name, value in (("margin", self.margin), ("target", self.target)):
            if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < 1:
                raise InputError(f"{name}={value!r}: must lie between 0 and 1, as a share of the test images")

    @property
    def _held_out(self) -> int:
        return DATASETS[self.run.dataset].num_validation

    @property
    def reference(self) -> Entry:
        """The entry that the others are compared with."""
        return self.entries[0]

    @property
    def steps_per_epoch(self) -> int:
        """Updates in an epoch."""
        return work_of(self.run).num_steps // max(self.run.epochs, 1)

    def tuning_task(self, entry: Entry, rate: float, seed: int) -> Task:
        """Return a run that chooses a rate: it measures no test image."""
        return Task(replace(self.run, **entry.settings, learning_rate=rate, num_test=0), seed)

    def tuning_tasks(self, entry: Entry, store: Store) -> list[Task]:
        """List the runs that choose an entry's rate, as far as they are known now; none for a single rate."""
        rates = self._tried(entry, store) if len(self.rates) > 1 else ()
        return [self.tuning_task(entry, rate, seed) for rate in rates for seed in TUNING_SEEDS]

    def final_tasks(self, entry: Entry, rate: float) -> list[Task]:
        """List an entry's final runs."""
        run = replace(self.run, **entry.settings, learning_rate=rate, recorder=self.recorder)
        return [Task(run, seed) for seed in self.seeds]

    def has_rate(self, entry: Entry, store: Store) -> bool:
        """Whether the runs of an entry ended at any rate, so that one can be chosen."""
        scores = (self._score(entry, rate, store) for rate in self._tried(entry, store))
        return len(self.rates) == 1 or max(scores)[0] >= 0

    def tuned(self, entry: Entry, store: Store) -> Tuned:
        """Choose an entry's rate from stored runs.

        Raises:
            InputError: No rate has a run.
        """
        if len(self.rates) == 1:
            return Tuned(self.rates[0], {}, False)
        tried = self._tried(entry, store)
        scores = {rate: self._score(entry, rate, store) for rate in tried}
        best = self._best(scores)
        if scores[best][0] < 0:
            raise InputError(f"{entry.label}: no run ended at any rate; see the files seed-*.failed in {store.root}")
        return Tuned(best, {rate: score for rate, (score, _) in scores.items()}, best in (tried[0], tried[-1]))

    def _tried(self, entry: Entry, store: Store) -> tuple[float, ...]:
        """Return the grid; extended once, if all of it is stored and the best rate lies at an end."""
        grid = self.rates
        tasks = [self.tuning_task(entry, rate, seed) for rate in grid for seed in TUNING_SEEDS]
        if not all(store.has(task.run, task.seed) for task in tasks):
            return grid
        best = self._best({rate: self._score(entry, rate, store) for rate in grid})
        if best == grid[0]:
            return (*_beyond(grid[0], grid[0] / grid[1])[::-1], *grid)
        return (*grid, *_beyond(grid[-1], grid[-1] / grid[-2])) if best == grid[-1] else grid

    def _best(self, scores: Mapping[float, tuple[float, float]]) -> float:
        """Return the rate with the lowest loss among those within one standard error of the best accuracy.

        A few hundred validation images do not tell such rates from each other, and the loss does.
        """
        top = max(accuracy for accuracy, _ in scores.values())
        count = len(TUNING_SEEDS) * (self.run.num_validation or self._held_out)
        error = math.sqrt(max(top * (1 - top), 0.0) / count)
        return max(
            (rate for rate in scores if scores[rate][0] >= top - error), key=lambda rate: (scores[rate][1], -rate)
        )

    def _score(self, entry: Entry, rate: float, store: Store) -> tuple[float, float]:
        """Return mean validation accuracy after the last epoch and minus the loss; a run that diverged has 0."""
        tasks = [self.tuning_task(entry, rate, seed) for seed in TUNING_SEEDS]
        found = [result.history for task in tasks if (result := store.find(task.run, task.seed)) is not None]
        if len(found) < len(tasks):
            return -1.0, 0.0
        if any(history["outcome"] == "diverged" for history in found):
            return 0.0, -float("inf")
        accuracies, losses = (
            [history[name][-1] for history in found] for name in ("validation_accuracy", "validation_loss")
        )
        return sum(accuracies) / len(found), -sum(losses) / len(found)

    def lines(self) -> list[str]:
        """Say in words what is run and how it is judged."""
        run = self.run
        rates = ", ".join(f"{rate:g}" for rate in self.rates)
        named = f"{run.optimizer} with momentum {run.momentum:g}" if run.momentum else run.optimizer
        tuned = f"learning rate {rates}, not tuned"
        if len(self.rates) > 1:
            tuned = (
                f"learning rate: the best of {rates} on validation images, seeds {', '.join(map(str, TUNING_SEEDS))}; "
                f"{BEYOND} further rates if the best one is at an end"
            )
        return [
            f"{run.model} on {run.dataset}, {counted(run.epochs, 'epoch')}, batch size {run.batch_size}, {named}",
            tuned,
            f"final runs: {counted(len(self.seeds), 'seed')} ({write_seeds(self.seeds)}), the same for each entry; "
            "test accuracy after the last epoch",
            f"as good: within ±{100 * self.margin:g} points of {self.reference.label}",
        ]


def _beyond(end: float, factor: float) -> list[float]:
    return [rounded_rate(end * factor**power) for power in range(1, BEYOND + 1)]
