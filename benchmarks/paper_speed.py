"""Each network of the paper on the device at hand: how fast ``fit`` is, against what, and what further seeds cost.

Training steps on real images that lie on the device; contestants take turns, and ratios are taken within each round.

* plain loop: a careful script's loop in the same precision, with the data on the device, channels last for
  convolutions, Adam as it comes and nothing read back;
* floor (dense networks): the matrix products of the same steps alone;
* peak: one large square matrix product in the same precision.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from contestants import Case, floor, make_case, ours, plain
from measure import (
    dense_products,
    measure_in_turn,
    middle,
    print_table,
    ratios,
    span,
    square_product,
    waiting_for,
    write_results,
)
from zeroinit.bench.data import load_dataset
from zeroinit.bench.running.allocator import keep_freed_memory
from zeroinit.bench.running.device import choose_device
from zeroinit.bench.training.steps.precision import PRECISIONS

SEEDS = (1, 2, 4, 5, 8, 16, 32)


@dataclass(frozen=True)
class Network:
    """A network of the paper, and how much of its training a benchmark can afford.

    Attributes:
        dataset: What the paper trains it on.
        steps: Training steps per round.
        steps_of_seeds: The same where several seeds are stacked.
        batch: Images per step.
    """

    dataset: str
    steps: int
    steps_of_seeds: int
    batch: int = 128


NETWORKS = {
    "mnist_fnn": Network("mnist", steps=100, steps_of_seeds=50),
    "mnist_cnn": Network("mnist", steps=12, steps_of_seeds=0),
    "cifar_fnn": Network("cifar10", steps=60, steps_of_seeds=25),
    "cifar_cnn": Network("cifar10", steps=8, steps_of_seeds=0),
    "resnet50": Network("cifar10", steps=3, steps_of_seeds=0, batch=16),
}
ON_CUDA = {name: Network(network.dataset, steps=200, steps_of_seeds=200) for name, network in NETWORKS.items()}


def measure_network(case: Case, num_train: int, rounds: int) -> dict:
    """Let ``fit``, the plain loop, the floor and the square product take turns; return the figures of one row."""
    device = case.images.device
    product, operations = square_product(device, case.precision)
    contestants = {"fit": partial(ours, case), "plain": partial(plain, case), "peak": product}
    if case.widths:
        dtype = PRECISIONS[case.precision].autocast or torch.float32
        contestants["floor"] = partial(floor, case, dense_products(case.widths, case.batch, device, dtype))
    seconds = measure_in_turn(contestants, rounds, wait=waiting_for(device))
    num_images = len(case.images)
    return {
        "network": case.name,
        "precision": case.precision,
        "batch": case.batch,
        "steps": case.steps,
        "images_per_second": middle([num_images / value for value in seconds["fit"]]),
        "seconds_per_epoch": middle([value * num_train / num_images for value in seconds["fit"]]),
        "to_plain": middle(ratios(seconds, "fit", "plain")),
        "to_floor": middle(ratios(seconds, "fit", "floor")) if case.widths else None,
        "peak_tflops": middle([operations / value / 1e12 for value in seconds["peak"]]),
        "share_of_peak": middle([value * case.operations / operations for value in ratios(seconds, "peak", "fit")]),
    }


def measure_seeds(case: Case, counts: Sequence[int], rounds: int) -> list[dict]:
    """Let one model alone and several ones stacked take turns; return a row for each number of models."""
    models = {count: [copy.deepcopy(case.model) for _ in range(count)] for count in counts}
    contestants: dict[str, Callable[[], object]] = {"alone": partial(ours, case)}
    contestants |= {str(count): partial(ours, case, models[count]) for count in counts if count > 1}
    seconds = measure_in_turn(contestants, rounds, wait=waiting_for(case.images.device))
    seconds["1"] = seconds["alone"]
    return [
        {
            "network": case.name,
            "precision": case.precision,
            "seeds": count,
            "to_one": middle(ratios(seconds, str(count), "alone")),
            "images_per_second": middle([count * len(case.images) / value for value in seconds[str(count)]]),
        }
        for count in counts
    ]


def networks_table(rows: Sequence[dict]) -> dict:
    """Write the figures of the networks as a table."""
    header = ["network", "precision", "batch", "images/s", "s/epoch", "time to plain loop", "to floor", "share of peak"]
    cells = [
        [
            row["network"],
            row["precision"],
            str(row["batch"]),
            f"{row['images_per_second']['median']:,.0f}",
            f"{row['seconds_per_epoch']['median']:.3g}",
            span(row["to_plain"]),
            span(row["to_floor"]) if row["to_floor"] else "",
            f"{row['share_of_peak']['median']:.0%}",
        ]
        for row in rows
    ]
    return {"title": "Training steps of fit", "header": header, "cells": cells}


def seeds_table(rows: Sequence[dict]) -> dict:
    """Write how the time grows with the number of stacked models as a table."""
    counts = sorted({row["seeds"] for row in rows})
    by_network: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        by_network.setdefault((row["network"], row["precision"]), {})[row["seeds"]] = f"{row['to_one']['median']:.2f}"
    cells = [[*key, *(found.get(count, "") for count in counts)] for key, found in by_network.items()]
    return {
        "title": "Stacked seeds, time in that of one seed",
        "header": ["network", "precision", *(str(count) for count in counts)],
        "cells": cells,
    }


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", choices=list(PRECISIONS), help="float32; on CUDA tf32 and bf16, too")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="numbers of stacked dense networks")
    parser.add_argument("--seeds-only", action="store_true", help="leave the comparison of the loops out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data-dir", type=Path, default=None)
    return parser.parse_args()


def main() -> None:
    """Measure, print and, if nothing was left out, write."""
    options = parse()
    device = choose_device(options.device)
    precisions = options.precisions or (["float32", "tf32", "bf16"] if device.type == "cuda" else ["float32"])
    sizes = ON_CUDA if device.type == "cuda" else NETWORKS
    keep_freed_memory()
    torch.set_flush_denormal(True)
    networks, seeds = [], []
    for name in options.networks:
        data = load_dataset(sizes[name].dataset, options.data_dir)
        for precision in precisions:
            size = sizes[name]
            case = make_case(name, data, size.steps, size.batch, device, precision)
            if not options.seeds_only:
                networks.append(measure_network(case, len(data.train_images) - data.num_validation, options.rounds))
            if case.widths:
                case = make_case(name, data, size.steps_of_seeds, size.batch, device, precision)
                seeds += measure_seeds(case, options.seeds, max(1, options.rounds - 2))
    content = describe(networks, seeds, device)
    for table in content["tables"]:
        print_table(table["title"], table["header"], table["cells"])
    print(*(f"* {note}" for note in content["notes"]), sep="\n")
    if networks and options.networks == list(NETWORKS):
        write_results("paper_speed", content)
    else:
        print("not written: only a part was measured")


def describe(networks: list[dict], seeds: list[dict], device: torch.device) -> dict:
    """Put figures, tables and notes together."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    tables = ([networks_table(networks)] if networks else []) + ([seeds_table(seeds)] if seeds else [])
    notes = [
        "training alone, on real images; an epoch has 53,000 of MNIST or 43,000 of CIFAR-10, evaluation not counted",
        "plain loop: data on the device, channels last for convolutions, Adam as it comes, nothing read back",
        "floor: the matrix products of the same steps alone; peak: one large square matrix product, same precision",
    ]
    return {"title": "The paper's networks", "device": kind, "tables": tables, "notes": notes} | {
        "networks": networks,
        "seeds": seeds,
    }


if __name__ == "__main__":
    main()
