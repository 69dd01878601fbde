"""What the benchmarks share: contestants in turn, ratios within each round, a table and JSON."""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def measure_in_turn(
    contestants: dict[str, Callable[[], object]], rounds: int, warmups: int = 1
) -> dict[str, list[float]]:
    """Time each contestant once per round, in turn, after the warm-up rounds; return seconds by name (rounds,)."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warmups + rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if number >= warmups:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def summarize(seconds: dict[str, list[float]], reference: str) -> list[dict]:
    """Give for each contestant its median seconds and the median of its ratios to the reference, round by round."""
    rows = []
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, seconds[reference], strict=True)]
        rows.append(
            {
                "name": name,
                "ratio": statistics.median(ratios),
                "ratio_low": min(ratios),
                "ratio_high": max(ratios),
                "seconds": statistics.median(values),
            }
        )
    return rows


def report(title: str, rows: list[dict], reference: str, notes: list[str], name: str) -> None:
    """Print the table and write it as JSON beside the benchmarks."""
    width = max(len(row["name"]) for row in rows)
    print(f"\n{title}\n")
    print(f"{'':<{width}}  ratio to {reference!r}: median (low-high)   median seconds")
    for row in rows:
        span = f"({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
        print(f"{row['name']:<{width}}  {row['ratio']:8.2f} {span:<20} {row['seconds']:24.3f}")
    for note in notes:
        print(f"* {note}")
    content = {
        "title": title,
        "reference": reference,
        "rows": rows,
        "notes": notes,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written to {path}")
