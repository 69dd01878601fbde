"""How long it takes until zeroinit is there: the import, and the command line, in the time of ``import torch``.

Each contestant is a process of its own. They take turns, so that other work on the machine meets all of them.
"""

import argparse
import subprocess
import sys

from measure import measure_in_turn, report, summarize

REFERENCE = "import torch"
CONTESTANTS = {
    "nothing": ["-c", "pass"],
    REFERENCE: ["-c", "import torch"],
    "import zeroinit": ["-c", "import zeroinit"],
    "import zeroinit and inspect": ["-c", "from zeroinit import inspect, initialize_, zero_start_"],
    "zeroinit --version": ["-m", "zeroinit", "--version"],
    "zeroinit --help": ["-m", "zeroinit", "--help"],
    "zeroinit explain ZI006": ["-m", "zeroinit", "explain", "ZI006"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    def start(words: list[str]) -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    contestants = {name: lambda words=words: start(words) for name, words in CONTESTANTS.items()}
    rows = summarize(measure_in_turn(contestants, arguments.rounds), REFERENCE)
    notes = ["wall time of a process from start to end", "import zeroinit itself loads no torch; its names do"]
    report("Start-up", rows, REFERENCE, notes, "startup")


if __name__ == "__main__":
    main()
