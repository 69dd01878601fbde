"""What the scripts on published statements share: a setting chosen for each entry, paired seeds, stored results.

Each script names its rules in its docstring and its statements in a list, both written before the runs. Results stay in
``benchmarks/results``, and the same command goes on from there. ``docs/boards.py`` decides the statements by the rules
of ``zeroinit compare``.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from zeroinit._common import write_atomically
from zeroinit.bench import load_dataset

RESULTS = Path(__file__).parent / "results"
TUNING, FINAL = (1000, 1001), tuple(range(10))
BETTER, NOT_WORSE = ("better",), ("better", "as good")
"""The verdicts under which a statement holds."""


@dataclass(frozen=True)
class Statement:
    """A published statement, and what decides it here.

    Attributes:
        statement: One sentence; ``source`` says who published it.
        entry: What it is about, and ``reference`` what this is compared with.
        holds: The verdicts of ``zeroinit compare`` under which it holds.
    """

    statement: str
    source: str
    entry: str
    reference: str
    holds: tuple[str, ...]


class Trials:
    """Results by entry, setting and seed, kept in a file.

    Args:
        name: Of the file.
        measure: Called with entry, setting, seed, and whether it is a final run; returns numbers.
    """

    def __init__(self, name: str, measure: Callable[[str, float, int, bool], dict], folder: Path = RESULTS) -> None:
        self.path, self.measure = folder / f"{name}.json", measure
        self.stored = json.loads(self.path.read_text()) if self.path.exists() else {"runs": {}, "statements": []}

    def result(self, entry: str, setting: float, seed: int, is_final: bool = True) -> dict:
        """Return a result; run what is missing."""
        key = f"{entry}, {setting:g}, seed {seed}"
        if key not in self.stored["runs"]:
            self.stored["runs"][key] = self.measure(entry, setting, seed, is_final)
            self.save()
            print(key, self.stored["runs"][key], file=sys.stderr, flush=True)
        found: dict = self.stored["runs"][key]
        return found

    def best(self, entry: str, settings: Sequence[float]) -> float:
        """Return the setting with the highest mean accuracy over the seeds for tuning; of equal ones the lowest."""
        return max(
            settings,
            key=lambda setting: (
                sum(self.result(entry, setting, seed, False)["accuracy"] for seed in TUNING),
                -setting,
            ),
        )

    def final(self, entry: str, setting: float, measure: str = "accuracy") -> dict:
        """Run an entry with the final seeds; return its name, setting and shares."""
        shares = [self.result(entry, setting, seed)[measure] for seed in FINAL]
        return {"name": entry, "setting": setting, "shares": shares}

    def decide(self, statement: Statement, pair: tuple[dict, dict], num_items: int) -> None:
        """Store what decides a statement: the final shares of both entries, and what a share is a multiple of."""
        found = asdict(statement) | {"entry": pair[0], "reference": pair[1], "num_items": num_items}
        others = [each for each in self.stored["statements"] if each["statement"] != statement.statement]
        self.stored["statements"] = [*others, found]
        self.save()

    def save(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(self.stored, indent=1) + "\n")


def options(description: str | None) -> argparse.Namespace:
    """Read the folders of data and results from the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def chosen_images(
    dataset: str, data_dir: Path | None, counts: tuple[int, int], classes: range, seed: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Draw images and classes for training and validation, and take all test images, of some classes."""
    data = load_dataset(dataset, data_dir)
    kept = torch.isin(data.train_labels, torch.tensor(classes)).nonzero().flatten()
    order = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))]
    parts = dict(zip(("train", "validation"), order[: sum(counts)].split(counts), strict=True))
    tests = torch.isin(data.test_labels, torch.tensor(classes))
    return {name: (data.train_images[part], data.train_labels[part]) for name, part in parts.items()} | {
        "test": (data.test_images[tests], data.test_labels[tests])
    }
