"""Step 2 of 3 on a GPU: how fast is what, and against what? About 60 seconds, and as much again for compiling.

    python benchmarks/gpu/speed.py OUT [--device cuda] [--tiny] [--time-limit 150] [--stacked-alone]

Writes OUT/speed.json and prints the same as tables. Every figure is of one run on noise, with the data on the device:
images per second, the share of the matrix product's peak that was measured here in the same precision, and the ratio to
a plain loop (PyTorch's own Adam, one operation at a time) in images per second.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from measure import print_table, square_product, waiting_for
from zeroinit.bench.network import network, sizes_of
from zeroinit.bench.running.calibrate import time_steps
from zeroinit.bench.spec import Run
from zeroinit.bench.training import PRECISIONS
from zeroinit.bench.training.steps.precision import choose_precision
from zeroinit.bench.work import TRAINING, flops_per_image

NETWORKS = {
    "mnist_fnn": Run(),
    "mnist_cnn": Run(model="mnist_cnn"),
    "cifar_fnn": Run(dataset="cifar10", model="cifar_fnn"),
    "cifar_cnn": Run(dataset="cifar10", model="cifar_cnn"),
    "resnet50": Run(dataset="cifar10", model="resnet50", augmentation="crop_flip", pixels="cifar10"),
}
COMPILED = (("resnet50", "bf16"),)
STACKS = (1, 2, 5, 8, 16, 32)


def peak(device: torch.device, precision: str) -> float:
    """Return the operations per second of a large square matrix product."""
    run, operations = square_product(device, precision)
    wait = waiting_for(device)
    repeats = 1 if device.type == "cpu" else 10
    for _ in range(2):
        run()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    wait()
    return repeats * operations / (time.perf_counter() - start)


def num_steps(kind: Run, device: torch.device) -> int:
    """Return how many updates are timed: the fewer, the longer they are."""
    if device.type == "cpu":
        return 3
    return 40 if kind.model == "resnet50" else 120


def plain_loop(kind: Run, device: torch.device, batch: int) -> float:
    """Return the seconds per update of the loop that people write, with the data on the device."""
    steps, wait = num_steps(kind, device), waiting_for(device)
    model = network(kind).to(device).train()
    shape = sizes_of(kind.dataset).input_shape
    images = torch.randint(256, (batch * 4, *shape), dtype=torch.uint8, device=device)
    labels = torch.randint(10, (batch * 4,), device=device)
    optimizer = torch.optim.Adam(model.parameters())
    precision = choose_precision(kind.precision, device)
    with precision.applied(model):
        for number in range(steps):
            if number == min(8, steps - 1):
                wait()
                start, begun = time.perf_counter(), number
            chosen = torch.randint(len(labels), (batch,), device=device)
            optimizer.zero_grad()
            with precision.forward(device.type):
                logits = model(precision.convert(images[chosen].float() / 255))
            F.cross_entropy(precision.convert(logits), labels[chosen]).backward()
            optimizer.step()
        wait()
    return (time.perf_counter() - start) / (steps - begun)


def fit_step(kind: Run, device: torch.device, batch: int, execution: str, count: int = 1) -> float:
    """Return the seconds per update of ``fit``."""
    models = [network(kind).to(device) for _ in range(count)]
    return time_steps(kind, models, batch, num_steps(kind, device), 2 * batch, execution=execution)[0]


def inspect_gpt2(device: torch.device) -> float:
    """Return the seconds of ``inspect`` on GPT-2 small with 2 texts of 64 tokens."""
    import transformers

    from zeroinit import inspect

    model = transformers.GPT2LMHeadModel(transformers.GPT2Config()).to(device)
    tokens = torch.randint(50257, (2, 64), generator=torch.Generator().manual_seed(0)).to(device)
    start = time.perf_counter()
    inspect(model, {"input_ids": tokens, "labels": tokens})
    return time.perf_counter() - start


class Speed:
    """Measures until the time is over; what is left out is said."""

    def __init__(self, device: torch.device, end: float, batch: int):
        self.device, self.end, self.batch = device, end, batch
        self.peaks: dict[str, float] = {}
        self.rows: list[dict] = []
        self.stacks: list[dict] = []
        self.left_out: list[str] = []

    def timed(self, name: str, work: Callable[[], float]) -> float | None:
        """Return what ``work`` measured; ``None`` if it failed or the time is over."""
        if time.perf_counter() > self.end:
            self.left_out.append(f"{name}: out of time")
            return None
        try:
            return work()
        except Exception as error:  # one that fails is named, and the others go on
            self.left_out.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
            return None

    def network(self, name: str, precision: str, execution: str) -> None:
        """Time one network in one precision, executed in one way."""
        kind = Run(**{**NETWORKS[name].to_dict(), "precision": precision})
        label = f"{name}, {precision}, {execution}"
        begin = time.perf_counter()
        seconds = self.timed(label, lambda: self._step(kind, execution))
        if seconds is None:
            return
        rate = self.batch / seconds
        share = rate * TRAINING * flops_per_image(kind) / self.peaks[precision]
        took = time.perf_counter() - begin
        row = {"network": name, "precision": precision, "execution": execution, "images_per_second": rate}
        self.rows.append({**row, "seconds_per_update": seconds, "share_of_peak": share, "took": took})
        print(f"{label}: {rate:,.0f} images/s, {1000 * seconds:.2f} ms, {100 * share:.1f} % of peak", flush=True)

    def _step(self, kind: Run, execution: str) -> float:
        if execution == "plain loop":
            return plain_loop(kind, self.device, self.batch)
        return fit_step(kind, self.device, self.batch, execution)

    def stacked(self, name: str, precision: str, counts: tuple[int, ...]) -> None:
        """Time several seeds at once against one."""
        kind = Run(**{**NETWORKS[name].to_dict(), "precision": precision})
        one = None
        self.timed(f"warm-up of {name}", lambda: fit_step(kind, self.device, self.batch, "auto"))
        for count in counts:
            seconds = self.timed(
                f"{count} x {name}", lambda count=count: fit_step(kind, self.device, self.batch, "auto", count)
            )
            if seconds is None:
                return
            one = one or seconds
            self.stacks.append(
                {"network": name, "precision": precision, "seeds": count, "seconds": seconds, "ratio": seconds / one}
            )
            print(f"{count} stacked {name}, {precision}: {seconds / one:.2f} x one", flush=True)


def ratio_to_plain(rows: list[dict], row: dict) -> str:
    same = [each for each in rows if (each["network"], each["precision"]) == (row["network"], row["precision"])]
    plain = next((each for each in same if each["execution"] == "plain loop"), None)
    return f"{row['images_per_second'] / plain['images_per_second']:.2f}" if plain else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="two dense networks, small batches")
    parser.add_argument("--time-limit", type=float, default=150.0, help="seconds")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--stacked-alone", action="store_true", help="only stacked seeds and inspect on GPT-2")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    begin = time.perf_counter()
    speed = Speed(device, begin + arguments.time_limit, 8 if arguments.tiny else 128)
    is_cuda = device.type == "cuda"
    precisions = [name for name in PRECISIONS if name != "float64" and (is_cuda or name != "tf32")]
    for precision in precisions:
        speed.peaks[precision] = peak(device, precision)
        print(f"peak, {precision}: {speed.peaks[precision] / 1e12:.1f} TFLOP/s", flush=True)
    executions = ["plain loop", "eager", *(["graphed"] if is_cuda else [])]
    names = ("mnist_fnn", "cifar_fnn") if arguments.tiny else tuple(reversed(NETWORKS))
    for name in () if arguments.stacked_alone else names:
        for precision in precisions:
            for execution in executions:
                speed.network(name, precision, execution)
    for name in ("mnist_fnn",) if arguments.tiny else ("mnist_fnn", "cifar_fnn"):
        speed.stacked(name, "float32", STACKS[:2] if arguments.tiny else STACKS)
    gpt2 = None if arguments.tiny else speed.timed("inspect GPT-2 small", lambda: inspect_gpt2(device))
    if arguments.compile and not arguments.tiny and not arguments.stacked_alone:
        for name, precision in COMPILED:
            speed.network(name, precision, "compiled")
    card = torch.cuda.get_device_name() if is_cuda else "cpu"
    content = {
        "device": card,
        "torch": torch.__version__,
        "batch": speed.batch,
        "peak_operations_per_second": speed.peaks,
        "networks": speed.rows,
        "stacked": speed.stacks,
        "seconds_of_inspect_on_gpt2_small": gpt2,
        "left_out": speed.left_out,
        "seconds": time.perf_counter() - begin,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "speed.json").write_text(json.dumps(content, indent=1) + "\n")
    cells = [
        [
            f"{row['network']}, {row['precision']}, {row['execution']}",
            f"{row['images_per_second']:,.0f}",
            f"{100 * row['share_of_peak']:.1f} %",
            ratio_to_plain(speed.rows, row),
        ]
        for row in speed.rows
    ]
    print_table(f"Training on {card}", ["", "images/s", "of peak", "to a plain loop"], cells, speed.left_out)
    print(f"inspect on GPT-2 small: {gpt2} s; all took {content['seconds']:.0f} s")


if __name__ == "__main__":
    main()
