"""Five seeds of the MNIST FNN at the length of figure 3: one after the other with all threads, against two processes.

The processes have one thread each; the fifth run, which is alone, has both.
"""

import argparse
import tempfile
from pathlib import Path

from measure import measure_in_turn, report, summarize
from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.spec import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--data-dir", type=Path, default=None)
    arguments = parser.parse_args()
    tasks = [Task(Run(initializer="normal_bias", epochs=arguments.epochs), seed) for seed in range(5)]

    def five_seeds(jobs: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run_all(tasks, Options(Path(folder), arguments.data_dir, "cpu"), jobs=jobs)

    contestants = {"one after the other": lambda: five_seeds(1), "--jobs 2": lambda: five_seeds(2)}
    rows = summarize(measure_in_turn(contestants, arguments.rounds, warmups=0), "one after the other")
    notes = [f"MNIST FNN, {arguments.epochs} epochs each; the start of the processes is included"]
    report("Five seeds", rows, "one after the other", notes, "seeds")


if __name__ == "__main__":
    main()
