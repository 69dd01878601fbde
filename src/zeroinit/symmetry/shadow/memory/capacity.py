"""Estimates whether an inspection fits into memory, before anything is copied."""

from pathlib import Path

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.memory.frugal import is_large
from zeroinit.symmetry.shadow.memory.sharing import is_shared
from zeroinit.symmetry.shadow.updates import LARGE

__all__ = ["check_memory", "free_memory", "needed_memory"]

LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Where a container says how much it may take and has taken."""


def needed_memory(model: nn.Module, dtype: torch.dtype) -> int:
    """Estimate the bytes that a copy takes while it trains: values, gradients and moments; activations are not known.

    Args:
        model: What is copied.
        dtype: Of the copy.

    Example:
        >>> needed_memory(nn.Linear(9, 10), torch.float32)  # values, gradients, two moments; the weight once more
        1960
    """
    size, large = torch.finfo(dtype).bits // 8, is_large(model.parameters())
    total = sum(each.numel() * size for each in nn.Module.buffers(model))
    largest = 0
    for each in model.parameters():
        room = 0 if is_shared(each) else size
        if each.requires_grad:
            room += size + (4 if large and each.numel() > LARGE else 2 * size)
        total += each.numel() * room
        largest = max(largest, each.numel() * size)
    return total + largest


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device, within the limits of a container; ``None`` where nobody can tell.

    Example:
        >>> free_memory(torch.device("meta")) is None
        True
    """
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    if device.type != "cpu":
        return None
    found = [room for limit, used in LIMITS if (room := _left(limit, used)) is not None]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):  # another system
        return min(found, default=None)
    return min(found, default=None)


def check_memory(model: nn.Module, dtype: torch.dtype) -> None:
    """Raise where a copy of a model in training would not fit into memory.

    Raises:
        InputError: It would not; the message says how much is missing, and what to do.
    """
    free = free_memory(next(model.parameters()).device)
    needed = needed_memory(model, dtype)
    if free is not None and needed > free:
        raise InputError(
            f"model: an inspection in {str(dtype).removeprefix('torch.')} takes about {_readable(needed)} beside it, "
            f"and {_readable(free)} are free; freeze what needs no look (module.requires_grad_(False): frozen weights "
            "are read in place), inspect the same model with fewer layers, or use a machine with more memory"
        )


def _left(limit: str, used: str) -> int | None:
    try:
        return int(Path(limit).read_text()) - int(Path(used).read_text())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return None


def _readable(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"
