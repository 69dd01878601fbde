"""What the benchmarks share: contestants in turn, ratios within each round, tables and JSON."""

import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from zeroinit.bench.training.steps.precision import PRECISIONS, choose_precision

RESULTS = Path(__file__).parent / "results"
SQUARE = {"cpu": 1536, "cuda": 8192}
"""Rows of the matrices whose product counts as a device's peak."""


def measure_in_turn(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    warmups: int = 1,
    wait: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Time each contestant once per round, in turn, after the warm-up rounds; return seconds by name (rounds,).

    ``wait`` returns when the device has done all that it was given.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warmups + rounds):
        for name, run in contestants.items():
            wait()
            start = time.perf_counter()
            run()
            wait()
            if number >= warmups:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def waiting_for(device: torch.device) -> Callable[[], object]:
    """Return what waits for a device: on a GPU work is only handed over, on the CPU it is done on return."""
    return (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)


def middle(values: Sequence[float]) -> dict[str, float]:
    """Return median, lowest and highest of the rounds."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def span(values: dict[str, float]) -> str:
    """Write a ratio as its median and its range."""
    return f"{values['median']:.2f} ({values['low']:.2f}-{values['high']:.2f})"


def ratios(seconds: dict[str, list[float]], name: str, reference: str) -> list[float]:
    """Return a contestant's time in that of another, round by round."""
    return [value / base for value, base in zip(seconds[name], seconds[reference], strict=True)]


def dense_products(widths: Sequence[int], batch: int, device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    """Return the bare matrix products of one training step of dense layers: its floor.

    For each layer forward, the gradient of its weights, and that of its inputs but for the first one. No bias,
    activation, loss, optimizer or data.
    """
    activations = [torch.rand(batch, width, device=device, dtype=dtype) for width in widths]
    weights = [torch.rand(after, before, device=device, dtype=dtype) for before, after in pairwise(widths)]

    def step() -> None:
        for inputs, weight in zip(activations, weights, strict=False):
            inputs @ weight.t()
        for number in reversed(range(len(weights))):
            gradient = activations[number + 1]
            gradient.t() @ activations[number]
            if number > 0:
                gradient @ weights[number]

    return step


def square_product(device: torch.device, precision: str) -> tuple[Callable[[], None], int]:
    """Return one large square matrix product in a precision, and its operations."""
    size = SQUARE[device.type]
    matrices = torch.rand(2, size, size, device=device, dtype=PRECISIONS[precision].autocast or torch.float32)

    def run() -> None:
        with choose_precision(precision, device).applied(nn.Linear(1, 1, device=device)):
            torch.mm(*matrices)

    return run, 2 * size**3


def summarize(seconds: dict[str, list[float]], reference: str) -> list[dict]:
    """Give for each contestant its median seconds and the median of its ratios to the reference, round by round."""
    rows = []
    for name, values in seconds.items():
        ratio = middle(ratios(seconds, name, reference))
        rows.append(
            {
                "name": name,
                "ratio": ratio["median"],
                "ratio_low": ratio["low"],
                "ratio_high": ratio["high"],
                "seconds": statistics.median(values),
            }
        )
    return rows


def report(title: str, rows: list[dict], reference: str, notes: list[str], name: str) -> None:
    """Print the table and write it as JSON beside the benchmarks."""
    header = ["", f"ratio to {reference!r}", "low-high", "median seconds"]
    cells = [
        [row["name"], f"{row['ratio']:.2f}", f"{row['ratio_low']:.2f}-{row['ratio_high']:.2f}", f"{row['seconds']:.3f}"]
        for row in rows
    ]
    print_table(title, header, cells, notes)
    write_results(name, {"title": title, "reference": reference, "rows": rows, "notes": notes})


def print_table(title: str, header: Sequence[str], cells: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Print a table with its first column to the left and the others to the right, then the notes."""
    widths = [max(len(row[column]) for row in [header, *cells]) for column in range(len(header))]
    print(f"\n{title}\n")
    for row in [header, *cells]:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *others]))
    for note in notes:
        print(f"* {note}")


def write_results(name: str, content: dict) -> None:
    """Write figures as JSON beside the benchmarks, with what they depend on."""
    content = content | {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written to {path}")
