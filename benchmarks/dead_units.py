"""Units behind a rectifier after a zero start: how many never move, and what it costs, on the 8x8 digits.

Decided before the first run. "Before" is the zero start without ``revive_units``. For each network with ReLU, seeds
0-4:

* The mean accuracy of the zero start is less than 1.5 points below that of PyTorch's default,
* and less than .5 points below that of "before".
* Of the units less than 1 % never move in training, where "before" has about half. A unit has never moved if its
  incoming weights are after the last epoch what they were before the first update.

For each network with ELU: the zero start and "before" end with the same weights, bit by bit.

A second question. ``weight_orthogonal`` leaves directions below .003 of the norm small, so that in small networks some
weights are close to rank 1 after the first updates. "All directions" ends with the polar factor in its place, in the
same size: there every direction above rounding becomes equally large. If the mean accuracy differs by less than .5
points in each network, the low rank is harmless and nothing changes. If it is better by .5 points or more in one and
worse by as much in none, the zero start does the same.

After the first run, which missed the first margin in the CNN with ReLU (4.4 points): lost gradients are waited for, and
weights become orthogonal half-way where gradients are lost. "Before" does neither. So the CNN with ELU is no longer the
same bit by bit. The second run decides by the same margins; both are in ``results``.

Every run is reported. Adam at 1e-3, batches of 64, 20 epochs.
"""

import argparse
import hashlib
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import zeroinit
from zero_networks import ACTIVATED
from zero_start import spread
from zeroinit.remedies import ReviveUnits, WeightRescale, polar_factor
from zeroinit.remedies.units import units_of
from zeroinit.remedies.weight_sizes import default_size

RESULTS = Path(__file__).parent / "results" / "dead_units.json"
MARGIN, MARGIN_BEFORE, MOST_STILL, MARGIN_RANK = 1.5, 0.5, 0.01, 0.5
EPOCHS = 20
ACTIVATIONS = {"relu": "ReLU", "elu": "ELU"}


class AllDirections(WeightRescale):
    """As ``weight_orthogonal``, with the polar factor."""

    def _changed(self, matrix: Tensor) -> Tensor:
        factor = polar_factor(matrix)
        return factor * (default_size(matrix) / factor.square().mean().sqrt())


def before(model: nn.Module, generator: torch.Generator) -> "zeroinit.ZeroStart":
    """Return a zero start that leaves dead units as they are."""
    start = zeroinit.zero_start_(model, generator=generator)
    start._parts = tuple(part for part in start.parts if not isinstance(part, ReviveUnits))
    for part in start.parts:
        if isinstance(part, WeightRescale):
            part.helps_halfway = False
    return start


def all_directions(model: nn.Module, generator: torch.Generator) -> "zeroinit.ZeroStart":
    """Return a zero start whose last act leaves no direction small."""
    start = zeroinit.zero_start_(model, generator=generator)
    for part in start.parts:
        if isinstance(part, WeightRescale):
            part.__class__ = AllDirections
    return start


STARTS: dict[str, Callable | None] = {
    "default": None,
    "before": before,
    "zero start": lambda model, generator: zeroinit.zero_start_(model, generator=generator),
    "all directions": all_directions,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--networks", nargs="+", default=list(ACTIVATED))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.networks:
        for activation in ACTIVATIONS:
            for start in STARTS:
                for seed in range(arguments.seeds):
                    row = {"network": name, "activation": activation, "start": start, "seed": seed}
                    rows.append(row | run(name, activation, start, seed, arguments.epochs))
                    print(rows[-1], flush=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    print(rank_table(rows))


def run(name: str, activation: str, start: str, seed: int, epochs: int) -> dict:
    """Train one network; return the accuracy in percent, and which share of its units never moved."""
    digits = zeroinit.bench.load_dataset("digits")
    torch.manual_seed(seed)
    model = ACTIVATED[name](activation)
    make = STARTS[start]
    observers = [] if make is None else [make(model, torch.Generator().manual_seed(seed))]
    first = {units.name: units.weight.detach().clone() for units in units_of(model)}
    history = zeroinit.bench.fit(
        model,
        (digits.train_images, digits.train_labels),
        test=(digits.test_images, digits.test_labels),
        generator=torch.Generator().manual_seed(100 + seed),
        observers=observers,
        epochs=epochs,
        batch_size=64,
        learning_rate=1e-3,
        reduction="mean",
        transform=lambda images: images.float() / digits.peak,
    )
    still = [(units.weight.detach() == first[units.name]).flatten(1).all(1) for units in units_of(model)]
    values = b"".join(each.detach().numpy().tobytes() for each in model.parameters())
    updates = observers[0].steps if observers else 0
    return {
        "accuracy": 100 * history.test_accuracy[-1],
        "still": float(torch.cat(still).float().mean()),
        "worst_still": max(float(each.float().mean()) for each in still),
        "updates": updates,
        "hash": hashlib.sha256(values).hexdigest()[:16],
    }


def of(rows: list[dict], name: str, activation: str, start: str, key: str) -> list:
    """Return the values of one column, by seed."""
    wanted = (name, activation, start)
    return [row[key] for row in rows if (row["network"], row["activation"], row["start"]) == wanted]


def table(rows: list[dict]) -> str:
    """Return accuracies and the share of units that never moved as a table of Markdown."""
    lines = [
        "| network | default | before | zero start | against default, points | against before, points | "
        "units that never moved: default | before | zero start |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, activation in dict.fromkeys((row["network"], row["activation"]) for row in rows):
        default, old, new = (
            of(rows, name, activation, start, "accuracy") for start in ("default", "before", "zero start")
        )
        gaps = [[a - b for a, b in zip(new, other, strict=True)] for other in (default, old)]
        shares = [
            f"{100 * statistics.mean(of(rows, name, activation, start, 'still')):.1f} %"
            for start in ("default", "before", "zero start")
        ]
        cells = [*map(spread, (default, old, new)), *(spread(gap, "+") for gap in gaps), *shares]
        lines.append(f"| {name}, {ACTIVATIONS[activation]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rank_table(rows: list[dict]) -> str:
    """Return what a last act that leaves no direction small does to accuracy."""
    lines = ["| network | zero start | all directions | difference, points |", "|---|---|---|---|"]
    for name, activation in dict.fromkeys((row["network"], row["activation"]) for row in rows):
        ours, other = (of(rows, name, activation, start, "accuracy") for start in ("zero start", "all directions"))
        gap = [a - b for a, b in zip(other, ours, strict=True)]
        lines.append(f"| {name}, {ACTIVATIONS[activation]} | {spread(ours)} | {spread(other)} | {spread(gap, '+')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
