"""Stored results: ``<root>/<key>/seed-<n>.json``, each whole or absent."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from zeroinit._common import InputError, write_atomically
from zeroinit.experiments.spec import Run

__all__ = ["Result", "Store"]

FORMAT = 1


@dataclass(frozen=True)
class Result:
    """One finished run.

    Attributes:
        run: Its settings; ``seed`` its seed.
        history: As of ``History.to_dict``.
        initial_hash: Of all parameters after initialization: runs that must start alike can be checked.
        environment: Versions, device, threads.
        seconds: Wall time of the run, loading of the data excluded.
        recorded: What the run's recorder found; ``None`` without one, and then no part of the file.
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
        """Whether the result is stored."""
        return self.path(run, seed).exists()

    def save(self, result: Result) -> None:
        """Write one result.

        Raises:
            InputError: The folder cannot be written to.
        """
        content = {"format": FORMAT, **asdict(result)}
        if result.recorded is None:
            del content["recorded"]
        text = json.dumps(_without_nonfinite(content), indent=1, allow_nan=False)
        write_atomically(self.path(result.run, result.seed), text + "\n")

    def load(self, run: Run, seed: int) -> Result:
        """Read one result.

        Raises:
            InputError: It is missing, unreadable, or belongs to other settings.
        """
        path = self.path(run, seed)
        result = read_result(path)
        if result.run != run or result.seed != seed:
            raise InputError(f"{path}: holds other settings than its name says; delete it to compute it again")
        return result

    def __iter__(self) -> Iterator[Result]:
        for path in sorted(self.root.glob("*/seed-*.json")):
            yield read_result(path)


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        InputError: It is missing or cannot be read as a result.
    """
    try:
        content = json.loads(path.read_text())
        if content.pop("format") != FORMAT:
            raise ValueError("it has another format version")
        content["run"] = Run(**content["run"])
        content.setdefault("recorded", None)
        result = Result(**{entry.name: content.pop(entry.name) for entry in fields(Result)})
        _check(result)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such result; run `zeroinit reproduce` first") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: cannot be read as a result ({reason}); delete it to compute it again") from error
    return result


def _check(result: Result) -> None:
    """Refuse now what a report could not use later."""
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


def _without_nonfinite(value):
    """Replace NaN and infinities by ``None``: JSON has no word for them."""
    if isinstance(value, dict):
        return {key: _without_nonfinite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nonfinite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
