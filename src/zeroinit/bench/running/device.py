"""The device of runs, and the state of the machine while they are carried out."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from zeroinit._common import __version__
from zeroinit._modules.arguments import check_device
from zeroinit.bench.data import Dataset
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Result
from zeroinit.bench.work import flops

__all__ = [
    "as_many_threads",
    "choose_device",
    "choose_execution",
    "denormals_flushed",
    "environment",
    "origin",
    "was_made_here",
]

PACKAGE, CPU_FACTS = Path(__file__).parents[2], Path("/proc/cpuinfo")
MOST_THREADS = 256
COMPILED_FROM = 3e15
"""From this number of operations on, compiling a run's network pays on a CUDA device."""


def choose_device(device: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"`` into a device that is there.

    Raises:
        InputError: Another word, or CUDA where there is none.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    found = check_device(device, words=["auto"], kinds=["cpu", "cuda"])
    return found or torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_execution(run: Run, place: torch.device) -> str:
    """Return a key of ``EXECUTIONS``: long runs on a CUDA device are compiled.

    Example:
        >>> choose_execution(Run(), torch.device("cpu"))
        'auto'
    """
    if place.type != "cuda" or run.precision == "float64" or run.batch_size < 1:
        return "auto"
    return "compiled" if flops(run) >= COMPILED_FROM else "auto"


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Round numbers below 1e-38 to zero, because processors are many times slower with them.

    A unit with a bias of -100 has an ELU gradient of exp(-100), about 4e-44. With such numbers the MNIST CNN with
    biases x100 took eleven times as long on digits.
    """
    was_on = bool((torch.tensor(1e-40) * 1.0 == 0).item())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)


def environment(device: torch.device) -> dict:
    """Return versions, device and threads: a result may depend on them."""
    return {
        "zeroinit": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


@contextmanager
def as_many_threads(result: Result) -> Iterator[None]:
    """Let torch use as many threads as for a stored result: their number decides how sums are rounded."""
    before, threads = torch.get_num_threads(), result.environment["threads"]
    if isinstance(threads, int) and 1 <= threads <= MOST_THREADS:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def was_made_here(result: Result) -> bool:
    """Whether a result was made with the same versions on the same kind of processor, so that initial bits agree."""
    ours = environment(torch.device("cpu"))
    alike = all(result.environment.get(name) == ours[name] for name in ours if name not in ("device", "threads"))
    return alike and (result.origin or {}).get("processor") == _processor()


def origin(dataset: Dataset) -> dict[str, str]:
    """Return what else a result may depend on: ``source`` and ``data`` (SHA-256), ``processor``; and ``started``, now.

    The time is as ISO 8601 writes it.
    """
    return {
        "source": _hash_of_source(),
        "data": dataset.checksum,
        "processor": _processor(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@lru_cache(maxsize=1)
def _hash_of_source() -> str:
    """Hash the package's Python files: names and bytes, in order."""
    whole = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        whole.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


@lru_cache(maxsize=1)
def _processor() -> str:
    """Name the processor and the instructions that torch uses: both decide how sums are rounded."""
    try:
        facts = CPU_FACTS.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next(line.partition(":")[2].strip() for line in facts if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"[:200]
