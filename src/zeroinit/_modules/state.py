"""Keep random state and modes while a model is run; find the model inside a compiled one."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

__all__ = ["is_recomputing", "modes_kept", "plain_name", "random_state_kept", "unwrapped"]

WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


@contextmanager
def random_state_kept(model: nn.Module, seed: int | None = None) -> Iterator[None]:
    """Restore the random state of torch, Python and NumPy on leaving, on the CPU and on every device of a model.

    Args:
        model: The model, which may draw from any of them.
        seed: Seed of Python and NumPy inside; ``None`` leaves their state as it is on entering.

    Example:
        >>> model, before = nn.Identity(), torch.get_rng_state()
        >>> with random_state_kept(model):
        ...     _ = torch.rand(3)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    tensors = [*model.parameters(), *nn.Module.buffers(model)]
    with torch.random.fork_rng(devices=sorted({each.device.index for each in tensors if each.is_cuda})):
        try:
            if seed is not None:
                random.seed(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Restore the mode of every module on leaving.

    Example:
        >>> model = nn.Dropout()
        >>> with modes_kept(model):
        ...     _ = model.eval()
        >>> model.training
        True
    """
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def plain_name(name: str) -> str:
    """Return a name of a module or parameter without the wrappers of ``torch.compile``, FSDP and checkpoints in it.

    Example:
        >>> plain_name("blocks.0._orig_mod.weight"), plain_name("head._orig_mod")
        ('blocks.0.weight', 'head')
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside a compiled one; return any other model unchanged.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> unwrapped(torch.compile(model, backend="eager")) is model, unwrapped(model) is model
        (True, True)
    """
    if type(model).__name__ != "OptimizedModule":
        return model
    inner = model._modules.get("_orig_mod")
    return inner if isinstance(inner, nn.Module) else model


def is_recomputing() -> bool:
    """Tell whether a backward pass is running: activation checkpointing then calls modules again.

    Example:
        >>> is_recomputing()
        False
    """
    return torch._C._current_graph_task_id() != -1
