"""What an inspection must not change: the random state of everything a model may draw from, and how torch is set."""

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn

from zeroinit._common import derive_seed
from zeroinit._modules.state import random_state_kept

__all__ = ["reseed", "undisturbed"]


def reseed(seed: int, step: int) -> None:
    """Seed torch, Python and NumPy for one step, so that every copy draws the same there.

    Example:
        >>> with undisturbed(nn.Identity()):
        ...     reseed(0, 1)
        ...     first = torch.rand(1)
        ...     reseed(0, 1)
        ...     torch.equal(first, torch.rand(1))
        True
    """
    derived = derive_seed(seed, f"step {step}")
    torch.manual_seed(derived)
    random.seed(derived)
    np.random.seed(derived % 2**32)  # noqa: NPY002


@contextmanager
def undisturbed(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Keep every random state; inside, gradients can be had whatever the caller has switched off, and nothing compiles.

    Example:
        >>> with torch.inference_mode(), undisturbed(nn.Identity()):
        ...     torch.ones(2, requires_grad=True).sum().requires_grad
        True
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if "torch._dynamo" in sys.modules:  # without it nothing is compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if isinstance(model, nn.Module):
            stack.enter_context(random_state_kept(model, seed))
        yield
