"""Stored results: ``<root>/<key>/seed-<n>.json``, each whole or absent; many small ones may share a bundle.

A bundle, ``<root>/<name>.jsonl``, holds one result a line, with only those settings that differ from their defaults.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

from zeroinit._common import InputError, jsonable, write_atomically
from zeroinit.bench.spec import Run

__all__ = ["QUANTILES", "Result", "Store"]

FORMAT = 1

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Levels of the quantiles of gradients that the recorder ``gradients`` stores."""


@dataclass(frozen=True)
class Result:
    """One finished run.

    Attributes:
        run: Its settings; ``seed`` its seed.
        history: As of ``History.to_dict``.
        initial_hash: Hash of all parameters after initialization: shows whether two runs start with the same values.
        environment: Versions, device, threads.
        seconds: Wall time of the run, loading of the data excluded.
        recorded: The record of the run's recorder; ``None`` without one, and then no part of the file.
    """

    run: Run
    seed: int
    history: dict
    initial_hash: str
    environment: dict
    seconds: float
    recorded: dict | None = None


class Store:
    """A folder of results.

    Args:
        root: The folder; made at the first ``save``.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def path(self, run: Run, seed: int) -> Path:
        """Return where a result lies or would lie."""
        return self.root / run.key / f"seed-{seed}.json"

    def checkpoint_folder(self, run: Run, seeds: Sequence[int]) -> Path:
        """Return where the state of a run in progress lies, with one seed or several that are stacked."""
        return self.root / run.key / f"seed-{'-'.join(map(str, seeds))}.checkpoint"

    def has(self, run: Run, seed: int) -> bool:
        """Whether the result is stored, in a file of its own or in a bundle."""
        return self.path(run, seed).exists() or (run.key, seed) in self._bundled

    def save(self, result: Result) -> None:
        """Write one result.

        Raises:
            InputError: The folder cannot be written to.
        """
        content = {"format": FORMAT, **asdict(result)}
        if result.recorded is None:
            del content["recorded"]
        text = json.dumps(jsonable(content), indent=1, allow_nan=False)
        write_atomically(self.path(result.run, result.seed), text + "\n")

    def load(self, run: Run, seed: int) -> Result:
        """Read one result.

        Raises:
            InputError: It is missing, unreadable, or belongs to other settings.
        """
        path = self.path(run, seed)
        if not path.exists() and (run.key, seed) in self._bundled:
            result = self._bundled[run.key, seed]
        else:
            result = read_result(path)
        if result.run != run or result.seed != seed:
            raise InputError(f"{path}: holds other settings than its name says; delete it to compute it again")
        return result

    def __iter__(self) -> Iterator[Result]:
        for path in sorted(self.root.glob("*/seed-*.json")):
            yield read_result(path)
        yield from self._bundled.values()

    @cached_property
    def _bundled(self) -> dict[tuple[str, int], Result]:
        """The results of all bundles, by key and seed; later bundles are not seen."""
        found = [result for path in sorted(self.root.glob("*.jsonl")) for result in read_bundle(path)]
        return {(result.run.key, result.seed): result for result in found}

    def bundle(self, name: str, results: Iterable[Result]) -> Path:
        """Write results into one file, ``<name>.jsonl``, sorted by key and seed. Their own files stay as they are.

        Raises:
            InputError: The folder cannot be written to.
        """
        lines = []
        for result in sorted(results, key=lambda result: (result.run.key, result.seed)):
            content = {"format": FORMAT, **asdict(result), "run": result.run.settings}
            if result.recorded is None:
                del content["recorded"]
            lines.append(json.dumps(jsonable(content), allow_nan=False) + "\n")
        write_atomically(self.root / f"{name}.jsonl", "".join(lines))
        self.__dict__.pop("_bundled", None)
        return self.root / f"{name}.jsonl"


def read_bundle(path: Path) -> list[Result]:
    """Read all results of a bundle.

    Raises:
        InputError: It cannot be read, or a line of it not as a result.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a bundle of results ({error}); move it away") from error
    return [parse_result(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        InputError: It is missing or cannot be read as a result.
    """
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such result; run `zeroinit reproduce` first") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a result ({error}); delete it to compute it again") from error
    return parse_result(text, str(path))


def parse_result(text: str, place: str) -> Result:
    """Turn the text of a result into one.

    Raises:
        InputError: It cannot be read as a result; ``place`` says where it stands.
    """
    try:
        content = json.loads(text)
        if content.pop("format") != FORMAT:
            raise ValueError("it has another format version")
        content["run"] = Run(**content["run"])
        content.setdefault("recorded", None)
        result = Result(**{entry.name: content.pop(entry.name) for entry in fields(Result)})
        _check(result)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{place}: cannot be read as a result ({reason}); delete it to compute it again") from error
    return result


def _check(result: Result) -> None:
    """Refuse a result that a report could not use."""
    accuracies, outcome = result.history["test_accuracy"], result.history["outcome"]
    if not isinstance(accuracies, list) or not all(isinstance(value, float | int) for value in accuracies):
        raise ValueError("its history has no test accuracies")
    ends_early = outcome == "diverged" or result.run.max_steps is not None
    least = min(1, result.run.epochs) if ends_early else result.run.epochs
    if not least <= len(accuracies) <= result.run.epochs:
        raise ValueError(f"its history has {len(accuracies)} of {result.run.epochs} epochs")
    if result.run.recorder != "none" and not isinstance(result.recorded, dict):
        raise ValueError("it holds nothing of what its recorder found")
    _ = result.environment["device"], result.environment["threads"]
