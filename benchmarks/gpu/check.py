"""Step 1 of 3 on a GPU: does every CUDA path give what the CPU gives? About 90 seconds.

    python benchmarks/gpu/check.py OUT [--device cuda] [--tiny] [--only PATTERN]

Writes OUT/check.json; exit code 1 if a check failed. Each check that fails is named, and the others go on.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import zeroinit
from zeroinit.bench.models import MODELS
from zeroinit.bench.training import PRECISIONS, Checkpoint, OutOfTime
from zeroinit.init import INITIALIZERS, hash_tensor

ROOT = Path(__file__).parents[2]
TINY = ("mnist_fnn", "cifar_cnn_quarter")
SHAPES = {"mnist_fnn": (1, 8, 8), "cifar_cnn_quarter": (3, 8, 8), "resnet18": (3, 8, 8)}
CLOSE = {"float32": 2e-3, "float64": 1e-6, "tf32": 2e-2, "bf16": 1e-1}
"""How far the loss of the sixth update may be from that of a run without a recorded update, in relative terms."""


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def noise(shape: tuple[int, int, int], count: int, device: str) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, *shape, generator=seeded(1))
    return images.to(device), torch.randint(10, (count,), generator=seeded(2)).to(device)


def fit_losses(model: nn.Module, data: tuple[Tensor, Tensor], precision: str, execution: str) -> list[float]:
    """Train for three epochs of six updates; return the epochs' losses."""
    settings = {"epochs": 3, "batch_size": len(data[1]) // 6, "reduction": "mean", "generator": seeded()}
    return zeroinit.bench.fit(model, data, precision=precision, execution=execution, **settings).train_loss


def marked_tests(device: str) -> str:
    """Run the tests that are marked gpu, without the plugins that may be missing."""
    files = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if "pytest.mark.gpu" in path.read_text()]
    if importlib.util.find_spec("pooch") is None:  # the folder's fixtures are about downloads
        files = [path for path in files if "tests/bench/data/" not in path]
    arguments = ["-q", "-o", "addopts=", "-W", "default", "--import-mode=importlib", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *arguments, "-m", "gpu", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    summary = done.stdout.strip().splitlines()[-25:]
    if done.returncode and not (device == "cpu" and done.returncode == 1):
        raise AssertionError("\n".join(summary) + done.stderr[-2000:])
    return summary[-1]


def networks(names: tuple[str, ...], device: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """Train each network in each precision, recorded and not."""
    for name, precision in itertools.product(names, PRECISIONS):
        if device == "cpu" and precision == "tf32":
            continue
        big = name.startswith(("resnet34", "resnet101"))
        if big and precision in ("tf32", "float64"):
            continue

        def check(name: str = name, precision: str = precision) -> str:
            data = noise((3, 16, 16), 48, device)
            found = {}
            for execution in ("eager", "auto"):
                model = zeroinit.bench.build_model(name, (3, 16, 16)).to(device)
                found[execution] = fit_losses(model, data, precision, execution)
            for eager, auto in zip(*found.values(), strict=True):
                if not abs(eager - auto) <= CLOSE[precision] * abs(eager) + 1e-3:
                    raise AssertionError(f"eager {found['eager']} and recorded {found['auto']}")
            return f"losses {found['auto'][0]:.3f} to {found['auto'][-1]:.3f}"

        yield f"{name} in {precision}", check


def same_verdicts(name: str, initializer: str, dtype: torch.dtype, device: str) -> str:
    """Inspect one network on both devices; compare what is found."""
    shape, reports = SHAPES[name], []
    for place in ("cpu", device):
        model = zeroinit.bench.build_model(name, shape)
        zeroinit.initialize_(model, initializer, generator=seeded())
        model = model.to(place, dtype)
        images, labels = noise(shape, 16, place)
        reports.append(zeroinit.inspect(model, images.to(dtype), labels))
    found = [sorted((each.code, each.path) for each in report.findings) for report in reports]
    if found[0] != found[1]:
        raise AssertionError(f"cpu: {found[0]}, {device}: {found[1]}")
    return f"{len(found[0])} findings"


def zero_start(name: str, dtype: torch.dtype, device: str) -> str:
    """The same start on both devices; at its end every weight is orthogonal, on the device as on the CPU."""
    shape, spread = SHAPES[name], {}
    for place in ("cpu", device):
        model = zeroinit.bench.build_model(name, shape).to(place, dtype)
        start = zeroinit.zero_start_(model, generator=seeded())
        images, labels = noise(shape, 32, place)
        optimizer = torch.optim.Adam(model.parameters())
        with start:
            for _ in range(start.steps + 2):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images.to(dtype)).float(), labels).backward()
                optimizer.step()
        spread[place] = max(
            float((values.max() - values.min()) / values.max())
            for parameter in model.parameters()
            if parameter.dim() > 1 and min(parameter.flatten(1).shape) > 1
            for values in [torch.linalg.svdvals(parameter.detach().flatten(1).float())]
        )
        if start.remaining:
            raise AssertionError(f"{start.remaining} steps remain on {place}")
    return "largest spread of singular values " + ", ".join(f"{place} {value:.2g}" for place, value in spread.items())


def same_values(device: str) -> str:
    """Every initializer that takes this network without a batch gives the device bitwise what it gives the CPU."""
    names = [name for name, each in INITIALIZERS.items() if not each.needs_batch and name != "mimetic"]
    for name in names:
        hashes = []
        for place in ("cpu", device):
            model = zeroinit.bench.build_model("cifar_cnn_quarter", (3, 8, 8)).to(place)
            zeroinit.initialize_(model, name, generator=seeded(3))
            hashes.append([hash_tensor(parameter.detach().cpu()) for parameter in model.parameters()])
        if hashes[0] != hashes[1]:
            raise AssertionError(name)
    return f"{len(names)} initializers"


def resumed(device: str) -> str:
    """A run that was ended after each of its first updates goes on as if it had not been."""
    data = noise((3, 16, 16), 48, device)
    settings = {"epochs": 2, "batch_size": 8, "reduction": "mean"}

    def once(checkpoint: Checkpoint | None) -> list[float]:
        model = zeroinit.bench.build_model("cifar_cnn_quarter", (3, 16, 16)).to(device)
        return zeroinit.bench.fit(model, data, generator=seeded(), checkpoint=checkpoint, **settings).train_loss

    whole = once(None)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            with contextlib.suppress(OutOfTime):
                once(Checkpoint(Path(folder) / "state", deadline=0.0))
        parts = once(Checkpoint(Path(folder) / "state"))
    if any(abs(a - b) > 1e-3 * abs(a) for a, b in zip(whole, parts, strict=True)):
        raise AssertionError(f"whole {whole}, in parts {parts}")
    return "bitwise" if whole == parts else "within rounding"


def peak_memory(name: str, shape: tuple[int, int, int], batch: int, device: str) -> str:
    """Megabytes at the peak of training with recorded updates."""
    if device == "cpu":
        return "not measured on the CPU"
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    fit_losses(zeroinit.bench.build_model(name, shape).to(device), noise(shape, 6 * batch, device), "bf16", "auto")
    return f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB at the peak, batch {batch}"


def all_checks(device: str, tiny: bool) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the checks, those first that the others rest on."""
    yield "initialize_: values of the CPU", lambda: same_values(device)
    yield "resume after an interrupt", lambda: resumed(device)
    if not tiny:
        yield "tests marked gpu", lambda: marked_tests(device)
    yield from networks(TINY if tiny else tuple(MODELS), device)
    for name, shape, batch in (("cifar_cnn", (3, 32, 32), 128), ("resnet50", (3, 32, 32), 128)):
        yield f"memory: {name}", lambda n=name, s=shape, b=batch: peak_memory(n, s, b, device)
    kinds = [torch.float32] if tiny else [torch.float32, torch.bfloat16]
    chosen = ("mnist_fnn",) if tiny else tuple(SHAPES)
    for name, start, dtype in itertools.product(chosen, ("pytorch", "zero", "normal_bias"), kinds):
        label = f"inspect: {name}, {start}, {str(dtype)[6:]}"
        yield label, lambda name=name, start=start, dtype=dtype: same_verdicts(name, start, dtype, device)
    for name, dtype in itertools.product(chosen, kinds):
        yield f"zero_start_: {name}, {str(dtype)[6:]}", lambda name=name, dtype=dtype: zero_start(name, dtype, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="two networks, float32 alone")
    parser.add_argument("--time-limit", type=float, default=150.0, help="seconds; checks that are left are named")
    parser.add_argument("--only", type=re.compile, default="", help="a regular expression that their names match")
    arguments = parser.parse_args()
    begin, rows = time.perf_counter(), []
    for name, check in all_checks(arguments.device, arguments.tiny):
        if not re.search(arguments.only, name):
            continue
        start = time.perf_counter()
        outcome, said = "not run", "out of time"
        if start - begin < arguments.time_limit:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    outcome, said = "ok", check()
            except Exception as error:  # whatever it is, the other checks are wanted, too
                outcome, said = "FAILED", f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        rows.append({"check": name, "outcome": outcome, "said": said, "seconds": round(seconds, 2)})
        print(f"{outcome:7} {seconds:5.1f} s  {name}: {said}", flush=True)
    card = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else "cpu"
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = {"device": card, "torch": torch.__version__, "seconds": time.perf_counter() - begin, "rows": rows}
    (arguments.out / "check.json").write_text(json.dumps(content, indent=1) + "\n")
    bad = [row["check"] for row in rows if row["outcome"] != "ok"]
    print(f"{len(rows) - len(bad)} of {len(rows)} checks are ok on {card}, {content['seconds']:.0f} s")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
