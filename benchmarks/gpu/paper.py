"""Step 3 of 3 on a GPU: figures 9, 10 and 11 at full length, the most informative runs first.

    python benchmarks/gpu/paper.py RESULTS --data-dir DATA --time-limit 500 [--device cuda] [--only STAGE ...] [--trial]

Results are written as they come; a run in progress saves its state when the time is over, and the same command goes on
from there. Stages, in this order:

    equivalence   figure 8's network in float32 and in bfloat16, 32 seeds: may the rest run in bfloat16?
    corrected     figures 10, 9 and 11 in bfloat16, seed by seed over all curves
    published     the same, as the paper's code did it
    zero-start    a zero start in figure 9's and figure 11's networks, and more seeds of figure 9 to compare it with
    check-cnn     figure 9's network in float32 and in bfloat16, three seeds
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.running.device import choose_device, choose_execution
from zeroinit.bench.running.schedule import Options, Task, missing, run_all
from zeroinit.bench.spec import Curve
from zeroinit.bench.store import Store

WARM_UP = """
import json, sys
from zeroinit.bench.network import network
from zeroinit.bench.running.calibrate import time_steps
from zeroinit.bench.spec import Run
kind = Run(**json.loads(sys.argv[1]))
time_steps(kind, [network(kind).cuda()], kind.batch_size, 3, 8, execution="compiled")
"""


@dataclass(frozen=True)
class Part:
    """Some seeds of the curves of a figure."""

    stage: str
    figure: str
    protocol: str
    profile: str
    seeds: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def tasks(self) -> list[Task]:
        """List its runs, seed by seed."""
        curves = [each for each in FIGURES[self.figure].at(self.profile, self.protocol) if self._wants(each)]
        return [Task(curve.run, seed) for seed in self.seeds for curve in curves]

    def _wants(self, curve: Curve) -> bool:
        return not self.labels or curve.label in self.labels


def both(network: str) -> tuple[str, ...]:
    """Return the labels of a network's curves in the study of precision."""
    return f"{network}, float32", f"{network}, bf16"


PARTS = (
    Part("equivalence", "precision", "corrected", "paper", tuple(range(32)), both("CIFAR FNN")),
    Part("corrected", "fig10", "corrected", "paper_bf16", (0, 1, 2)),
    Part("corrected", "fig9", "corrected", "paper_bf16", (0, 1, 2)),
    Part("corrected", "fig11", "corrected", "paper_bf16", (0,)),
    Part("published", "fig9", "published", "paper_bf16", (0, 1, 2)),
    Part("published", "fig10", "published", "paper_bf16", (0, 1, 2)),
    Part("published", "fig11", "published", "paper_bf16", (0,)),
    Part("zero-start", "full_width", "corrected", "paper_bf16", (0,), ("CIFAR-10 ResNet-50: zero start",)),
    Part("zero-start", "full_width", "corrected", "paper_bf16", (0, 1, 2, 3, 4), ("CIFAR-10 CNN: zero start",)),
    Part("zero-start", "fig9", "corrected", "paper_bf16", (3, 4)),
    Part("zero-start", "fig9", "published", "paper_bf16", (3, 4)),
    Part("check-cnn", "precision", "corrected", "paper", (0, 1, 2), both("CIFAR CNN")),
    Part("corrected", "fig11", "corrected", "paper_bf16", (1, 2)),
)
STAGES = tuple(dict.fromkeys(part.stage for part in PARTS))


def shrunk(tasks: list[Task]) -> list[Task]:
    """Return the same tasks on few small images, with smaller networks, one epoch and one seed: a trial."""
    sizes = {"dataset": "digits", "pixels": "unit", "epochs": 1, "num_train": 64, "num_validation": 32, "num_test": 32}
    smaller = {"cifar_cnn": "cifar_cnn_quarter", "resnet50": "resnet50_quarter"}
    small = [replace(each.run, model=smaller.get(each.run.model, each.run.model), **sizes) for each in tasks]
    return list(dict.fromkeys(Task(run, 0) for run in small))


def warm_up(tasks: list[Task], device: str) -> list[subprocess.Popen]:
    """Compile in other processes, while the first runs go on, what later runs need compiled."""
    place, kinds = choose_device(device), {}
    for task in tasks:
        if choose_execution(task.run, place) == "compiled":
            run = task.run
            names = ("dataset", "model", "augmentation", "pixels", "precision")
            kinds[run.model, run.precision] = {name: getattr(run, name) for name in names}
    return [subprocess.Popen([sys.executable, "-c", WARM_UP, json.dumps(kind)]) for kind in kinds.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--data-dir", type=Path, help="a torchvision root; else $ZEROINIT_DATA_DIR")
    parser.add_argument("--time-limit", type=float, required=True, help="seconds")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="*", choices=STAGES, default=list(STAGES))
    parser.add_argument("--stored", type=Path, help="a folder of results that need not be computed again")
    parser.add_argument("--search", action="store_true", help="let cuDNN search for the fastest convolutions")
    parser.add_argument("--trial", action="store_true", help="one seed of everything on small digits, in seconds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.backends.cudnn.benchmark = arguments.search  # for this process and its runs
    begin = time.time()
    deadline = begin + arguments.time_limit
    options = Options(arguments.results, arguments.data_dir, arguments.device, deadline=deadline)
    parts = [part for part in PARTS if part.stage in arguments.only]
    planned = [shrunk(part.tasks()) if arguments.trial else part.tasks() for part in parts]
    if arguments.stored is not None:
        planned = [missing(tasks, Store(arguments.stored)) for tasks in planned]
    processes = warm_up([task for tasks in planned for task in tasks], arguments.device)
    code = 0
    try:
        for part, tasks in zip(parts, planned, strict=True):
            run_part(part, tasks, options, begin)
    except KeyboardInterrupt:
        code = 130
    for process in processes:
        process.kill()
    todo = list(dict.fromkeys(task for tasks in planned for task in tasks))
    left = missing(todo, Store(arguments.results))
    print(f"{time.time() - begin:.0f} s; {len(todo) - len(left)} of {len(todo)} runs are stored, {len(left)} are left")
    sys.exit(code)


def run_part(part: Part, tasks: list[Task], options: Options, begin: float) -> None:
    """Carry out what is missing of a part, seed by seed, and print each result."""
    store = Store(options.results)
    for together in [tasks] if part.stage == "equivalence" else [[task] for task in tasks]:
        if options.is_out_of_time or not missing(together, store):
            continue
        run_all(together, options, jobs=1)
        for task in together:
            if store.has(task.run, task.seed):
                result = store.load(task.run, task.seed)
                what = f"{part.figure} {part.protocol}: {task.run.model}, {task.run.initializer}, {task.run.precision}"
                accuracy = result.history["test_accuracy"][-1]
                passed = f"{time.time() - begin:6.0f} s  "
                print(f"{passed}{what}, seed {task.seed}: {accuracy:.3f} in {result.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
