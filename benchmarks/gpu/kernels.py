"""Where does the time of an update go? About 90 seconds, compiling included.

    python benchmarks/gpu/kernels.py OUT [--device cuda] [--tiny] [--time-limit 120]

Writes OUT/kernels.json and prints the same as a table. For each network, precision and execution: milliseconds per
update of a plain loop and of ``fit``, without and with the search for the fastest convolutions
(``torch.backends.cudnn.benchmark``), and the shares of the device's time in products, norms, the optimizer and other
element-wise work. The last column is the share of the product's peak that would be reached if products alone took
time: no fusion of the other work could exceed it.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from speed import NETWORKS, fit_step, num_steps, peak, plain_loop
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from measure import print_table, waiting_for
from zeroinit.bench.spec import Run
from zeroinit.bench.work import TRAINING, flops_per_image

CASES = (
    ("resnet50", "bf16", "graphed"),
    ("resnet50", "bf16", "compiled"),
    ("resnet50", "float32", "graphed"),
    ("cifar_cnn", "bf16", "graphed"),
    ("cifar_cnn", "float32", "graphed"),
)
WAYS = ("plain loop", "fit", "fit, searched")
KINDS = {
    "norms": ("batch_norm", "bn_", "batchnorm", "triton_red", "triton_per"),
    "optimizer": ("adam", "multi_tensor"),
    "products": (
        "conv",
        "gemm",
        "xmma",
        "cutlass",
        "wgrad",
        "dgrad",
        "fprop",
        "implicit",
        "nvjet",
        "cudnn",
        "winograd",
    ),
    "element-wise and copies": ("",),
}
"""What the names of kernels hold, the first match counts; a compiled model computes norms in reductions."""


def kind_of(kernel: str) -> str:
    """Return which kind of work a kernel does.

    Example:
        >>> kind_of("sm90_xmma_fprop_implicit_gemm_bf16")
        'products'
    """
    return next(kind for kind, marks in KINDS.items() if any(mark in kernel.lower() for mark in marks))


def kernel_times(kind: Run, device: torch.device, batch: int, execution: str) -> tuple[Counter, Counter]:
    """Return the device's microseconds per kind of work and per kernel, of a short run."""
    on_device = [ProfilerActivity.CUDA] if device.type == "cuda" else []
    with profile(activities=[ProfilerActivity.CPU, *on_device]) as profiled:
        fit_step(kind, device, batch, execution)
    kinds, names = Counter[str](), Counter[str]()
    for event in profiled.key_averages():
        spent = event.self_device_time_total
        if event.device_type == DeviceType.CUDA and spent and not event.key.startswith(("Mem", "ProfilerStep")):
            kinds[kind_of(event.key)] += spent
            names[event.key[:120]] += spent
    return kinds, names


def row_of(case: tuple[str, str, str], device: torch.device, batch: int, peaks: dict[str, float]) -> dict:
    """Measure one case."""
    name, precision, execution = case
    kind = Run(**{**NETWORKS[name].to_dict(), "precision": precision})
    seconds = {}
    if execution != "compiled":  # compiling takes long, so that is done with the search alone
        seconds["plain loop"] = plain_loop(kind, device, batch)
        seconds["fit"] = fit_step(kind, device, batch, execution)
    torch.backends.cudnn.benchmark = True
    seconds["fit, searched"] = fit_step(kind, device, batch, execution)
    kinds, names = kernel_times(kind, device, batch, execution)
    torch.backends.cudnn.benchmark = False
    whole = sum(kinds.values()) or 1
    shares = {each: kinds[each] / whole for each in KINDS}
    operations = TRAINING * flops_per_image(kind) * batch
    share = operations / seconds["fit, searched"] / peaks[precision]
    return {
        "network": name,
        "precision": precision,
        "execution": execution,
        "milliseconds": {name: 1000 * spent for name, spent in seconds.items()},
        "updates": num_steps(kind, device),
        "shares": shares,
        "share_of_peak": share,
        "share_of_peak_of_products": share / shares["products"] if shares["products"] else None,
        "longest_kernels": dict(names.most_common(12)),
    }


def copy_rate(device: torch.device) -> float:
    """Return the bytes per second, read and written, of a large copy on the device."""
    source = torch.empty(2**28 if device.type == "cuda" else 2**22, device=device).normal_()
    target, wait = torch.empty_like(source), waiting_for(device)
    start = time.perf_counter()
    for number in range(12):
        if number == 2:
            wait()
            start = time.perf_counter()
        target.copy_(source)
    wait()
    return 10 * 2 * source.nbytes / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="one dense network")
    parser.add_argument("--time-limit", type=float, default=120.0, help="seconds; cases that are left are named")
    arguments = parser.parse_args()
    device, begin = torch.device(arguments.device), time.perf_counter()
    cases = (("mnist_fnn", "float32", "eager"),) if arguments.tiny else CASES
    peaks = {precision: peak(device, precision) for precision in dict.fromkeys(case[1] for case in cases)}
    rate, rows, left_out = copy_rate(device), [], []
    for case in cases:
        label = ", ".join(case)
        if time.perf_counter() - begin > arguments.time_limit:
            left_out.append(f"{label}: out of time")
            continue
        try:
            row = row_of(case, device, 8 if arguments.tiny else 128, peaks)
        except Exception as error:  # one that fails is named, and the others go on
            left_out.append(f"{label}: {type(error).__name__}: {str(error)[:300]}")
            continue
        rows.append(row)
        print(label, json.dumps({name: row[name] for name in row if name != "longest_kernels"}), flush=True)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    content = {
        "device": card,
        "torch": torch.__version__,
        "peak_operations_per_second": peaks,
        "copied_bytes_per_second": rate,
        "rows": rows,
        "left_out": left_out,
        "seconds": time.perf_counter() - begin,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "kernels.json").write_text(json.dumps(content, indent=1) + "\n")
    cells = [
        [
            f"{row['network']}, {row['precision']}, {row['execution']}",
            *(f"{row['milliseconds'].get(each, float('nan')):.2f}" for each in WAYS),
            *(f"{100 * row['shares'][each]:.0f} %" for each in KINDS),
            f"{100 * row['share_of_peak']:.1f} %",
            f"{100 * (row['share_of_peak_of_products'] or 0):.1f} %",
        ]
        for row in rows
    ]
    head = ["", *(f"{each} (ms)" for each in WAYS), *KINDS, "of peak", "products alone"]
    print_table(f"Time of an update on {card}", head, cells, left_out)


if __name__ == "__main__":
    main()
