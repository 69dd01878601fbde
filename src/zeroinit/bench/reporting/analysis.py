"""Summaries of curves and figures, made from stored results: results over seeds, with intervals."""

import hashlib
import marshal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import scipy
import torch

from zeroinit._common import derive_seed, lookup
from zeroinit.bench.profiles import PROTOCOLS
from zeroinit.bench.spec import Curve, Figure
from zeroinit.bench.stats import INTERVALS, Estimate, curve_intervals
from zeroinit.bench.store import Result, Store

__all__ = ["CurveSummary", "FigureSummary", "fingerprint", "summarize"]

PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class CurveSummary:
    """One curve's results over seeds.

    Attributes:
        curve: Label and settings.
        results: By seed.
        estimate: Final test accuracy with the protocol's interval.
        published: The paper's final test accuracy, if there is one.
        first: Mean test accuracy after the first epoch.
    """

    curve: Curve
    results: dict[int, Result]
    estimate: Estimate
    published: float | None
    first: float

    @property
    def final(self) -> dict[int, float]:
        """Final test accuracy by seed."""
        return {seed: result.history["test_accuracy"][-1] for seed, result in self.results.items()}

    @property
    def num_diverged(self) -> int:
        """Runs that ended with a loss that was not finite."""
        return sum(result.history["outcome"] == "diverged" for result in self.results.values())

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        return None if self.published is None else self.estimate.value - self.published


@dataclass(frozen=True)
class FigureSummary:
    """A figure's curves with results, those without, and the frame of its drawing."""

    figure: Figure
    curves: tuple[CurveSummary, ...]
    absent: tuple[str, ...]
    frame: pd.DataFrame

    @property
    def can_be_drawn(self) -> bool:
        """Whether most of the curves have results; a drawing names the others as not run."""
        return len(self.curves) > len(self.absent)

    @property
    def num_seeds(self) -> int:
        """The fewest seeds of any curve; 0 if one has none."""
        return 0 if self.absent else min(len(summary.results) for summary in self.curves)


def summarize(figure: Figure, store: Store, seeds: Sequence[int], profile: str, protocol: str) -> FigureSummary:
    """Read a figure's stored results and condense them.

    Args:
        figure: Which.
        store: Where the results lie.
        seeds: Which seeds to use. Those without a result are left out; ``store.problems`` names those whose result is
            damaged and those that failed.
        profile: A key of ``PROFILES``.
        protocol: A key of ``PROTOCOLS``: its interval is used for the estimates and the bands.

    Raises:
        InputError: An unknown profile or protocol.
    """
    method = lookup(PROTOCOLS, protocol, "protocol").interval
    summaries, absent, frames = [], [], []
    for curve in figure.at(profile, protocol):
        found = {seed: store.find(curve.run, seed) for seed in seeds}
        results = {seed: result for seed, result in found.items() if result is not None}
        for seed in set(found).difference(results):
            if failure := store.failure(curve.run, seed):
                path = str(store.failure_path(curve.run, seed))
                store.problems[path] = f"{figure.name}: {curve.label}, seed {seed}: {failure}; see {path}"
        if not results:
            absent.append(curve.label)
            continue
        accuracies = accuracy_matrix(list(results.values()))
        generator = np.random.default_rng(derive_seed(0, f"bootstrap/{figure.name}/{curve.label}"))
        mean, low, high = curve_intervals(accuracies, method, generator)
        frames.append(
            pd.DataFrame(
                {"label": curve.label, "epoch": np.arange(1, len(mean) + 1), "mean": mean, "low": low, "high": high}
            )
        )
        estimate = INTERVALS[method](accuracies[:, -1], generator)
        summaries.append(
            CurveSummary(curve, results, estimate, figure.published_results.get(curve.label), float(mean[0]))
        )
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return FigureSummary(figure, tuple(summaries), tuple(absent), frame)


def accuracy_matrix(results: Sequence[Result]) -> np.ndarray:
    """Stack test accuracies (seeds, epochs); a run that diverged keeps its last accuracy."""
    histories = [result.history["test_accuracy"] for result in results]
    length = max(len(history) for history in histories)
    return np.array([history + history[-1:] * (length - len(history)) for history in histories])


def fingerprint(summaries: Sequence[FigureSummary], *others: str | int) -> str:
    """Return a number for all that a page is made from; if it is the same, the page need not be drawn again.

    It is a SHA-256 of results, figures, this package with its templates, and the versions of what draws.

    Args:
        summaries: What the page shows.
        others: What else the page says.
    """
    whole = hashlib.sha256(_of_program().encode())
    for part in _parts(summaries):
        whole.update(part)
    whole.update(repr(others).encode())
    return whole.hexdigest()


def _parts(summaries: Sequence[FigureSummary]) -> Iterator[bytes]:
    for summary in summaries:
        yield repr((summary.figure, summary.absent)).encode()
        for entry in summary.curves:
            yield repr(entry.curve).encode()
            for seed, result in entry.results.items():
                made = (result.initial_hash, result.environment, result.seconds, result.origin)
                yield marshal.dumps((seed, result.history, result.recorded, made), 2)  # 2: equal values, equal bytes


@lru_cache(maxsize=1)
def _of_program() -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        whole.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    versions = [module.__version__ for module in (matplotlib, np, pd, scipy, torch)]
    return f"{whole.hexdigest()} {versions}"
