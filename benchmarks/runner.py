"""What the runner costs: its part of a short run, and a folder of many stored results.

The overhead is what ``run_all`` takes beyond ``execute`` for the same runs: claims, checks, files. Every figure is
printed with the machine's load; figures of a machine that is not at rest say nothing.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from zeroinit.bench.progress import Progress
from zeroinit.bench.reporting.report import build_report, write_report
from zeroinit.bench.reproduce import reproduce
from zeroinit.bench.running.runner import execute
from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.spec import Curve, Figure, Run
from zeroinit.bench.store import Store

RUN = Run(dataset="digits", hidden="8", epochs=2, batch_size=256)
NUM_CURVES = 100


def overhead(num_runs: int, root: Path) -> float:
    """Return the seconds that each run costs beyond its training."""
    runs = [replace(RUN, learning_rate=1e-3 * (1 + number)) for number in range(num_runs)]
    execute(RUN, 0)
    began = time.perf_counter()
    for run in runs:
        execute(run, 0)
    alone, began = time.perf_counter() - began, time.perf_counter()
    run_all([Task(run, 0) for run in runs], Options(root))
    return (time.perf_counter() - began - alone) / num_runs


def many(num_results: int, root: Path) -> dict[str, float]:
    """Return the seconds of a start with nothing to do and of a report over so many results."""
    made, store = execute(RUN, 0), Store(root)
    curves = tuple(Curve(f"rate {n}", replace(RUN, learning_rate=1e-3 * (1 + n))) for n in range(NUM_CURVES))
    seeds = range(num_results // NUM_CURVES)
    for curve in curves:
        for seed in seeds:
            store.save(replace(made, run=curve.run, seed=seed))
    figure = Figure("many", "Many", curves)
    seconds, page = {}, root.parent / "page"
    began = time.perf_counter()
    write_report(build_report([figure], Store(root), seeds, "paper", "corrected"), page)
    seconds["report"] = time.perf_counter() - began
    began = time.perf_counter()
    with Progress(Console(stderr=True)) as progress:
        reproduce([figure], Options(root), seeds=seeds, report_dir=page, progress=progress)
    seconds["a start with nothing to do, and the report"] = time.perf_counter() - began
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--results", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zeroinit-bench-") as folder:
        print(f"overhead: {1000 * overhead(arguments.runs, Path(folder) / 'short'):.1f} ms a run")
        for name, seconds in many(arguments.results, Path(folder) / "many").items():
            print(f"{name}: {seconds:.1f} s for {arguments.results:,} results")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
