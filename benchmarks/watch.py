"""What watch costs: its share of a training step's time, on average over the default interval of 100 updates.

Both times come from one run: what is spent in the hooks of watch, and all the rest. On a CPU they are times of the
process, so that other work on the machine does not count. The hundred updates after the first ten hold one record. A
record's cost is given in steps, too: the first ten updates are each recorded.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zeroinit
from inspector import MODELS
from measure import middle, print_table, waiting_for, write_results
from zeroinit.bench.models import build_model

BOUND = 0.03
FIRST, EVERY = 10, 100
CONTESTANTS = ("mnist_fnn", "cifar_cnn", "gpt2, 2 layers of 128")


class Clock:
    """Sums up the time that functions take, and counts the rest."""

    def __init__(self, device: torch.device):
        self.seconds, self._wait = 0.0, waiting_for(device)
        self._time = time.process_time if device.type == "cpu" else time.perf_counter

    def now(self) -> float:
        """Return the time once the device has done all that it was given."""
        self._wait()
        return self._time()

    def timed(self, function: Callable) -> Callable:
        """Return a function that adds its time."""

        def run(*arguments: object) -> object:
            start = self.now()
            result = function(*arguments)
            self.seconds += self.now() - start
            return result

        return run


def build(name: str) -> tuple[nn.Module, Tensor | dict[str, Tensor]]:
    """Return a model and its batch."""
    if name == "mnist_fnn":
        return build_model(name, (1, 28, 28), 10), torch.rand(
            128, 1, 28, 28, generator=torch.Generator().manual_seed(0)
        )
    return MODELS[name]()


def measure(name: str, device: torch.device) -> dict[str, float]:
    """Return the share of watch in the time of the other work, and the cost of one record in steps."""
    model, batch = build(name)
    model.to(device)
    batch = {key: each.to(device) for key, each in batch.items()} if isinstance(batch, dict) else batch.to(device)
    optimizer = torch.optim.Adam(model.parameters())
    clock = Clock(device)
    with zeroinit.watch(model, every=EVERY) as seen:
        for method in ("before_step", "after_step"):
            setattr(seen._updates, method, clock.timed(getattr(seen._updates, method)))
        steps, costs = [], []
        for _ in range(FIRST + EVERY):
            start, before = clock.now(), clock.seconds
            optimizer.zero_grad()
            loss = model(**batch).loss if isinstance(batch, dict) else F.cross_entropy(model(batch), classes(batch))
            loss.backward()
            optimizer.step()
            costs.append(clock.seconds - before)
            steps.append(clock.now() - start - costs[-1])
    step = statistics.median(steps)
    return {
        "share": sum(costs[FIRST:]) / sum(steps[FIRST:]),
        "record": statistics.median(costs[1:FIRST]) / step,
        "idle": statistics.median(costs[FIRST:]) / step,
        "milliseconds": 1000 * step,
    }


def classes(batch: Tensor) -> Tensor:
    """Return a class for each image."""
    return torch.arange(len(batch), device=batch.device) % 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    rows = []
    for name in CONTESTANTS:
        rounds = [measure(name, device) for _ in range(arguments.rounds)]
        rows.append({"model": name, **{key: middle([each[key] for each in rounds]) for key in rounds[0]}})
    header = ["", "share of a step, at most 3 %", "low-high", "a record, in steps", "step, ms"]
    cells = [
        [
            row["model"],
            f"{row['share']['median']:.2%}",
            f"{row['share']['low']:.2%}-{row['share']['high']:.2%}",
            f"{row['record']['median']:.2f}",
            f"{row['milliseconds']['median']:.1f}",
        ]
        for row in rows
    ]
    notes = [
        f"share: time in the hooks of watch to all other time of the same {EVERY} updates, one of them recorded",
        "a record: median of updates 2 to 10, all of which are recorded",
        "both times come from the same run; the machine was shared with other work, so these are times of the process",
    ]
    print_table("What watch costs", header, cells, notes)
    content = {"title": "What watch costs", "header": header, "cells": cells, "notes": notes, "bound": BOUND}
    write_results("watch", content | {"models": rows, "device": arguments.device})


if __name__ == "__main__":
    main()
