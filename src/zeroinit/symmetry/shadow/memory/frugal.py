"""Freed memory goes back to the system. An inspection's peak is then what it holds, and no more."""

import ctypes
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeGuard

import torch
from torch import nn

__all__ = ["frugal", "give_back", "is_large", "release"]

LARGE_MODEL = 2**24
"""Values from which memory counts for more than time."""
LARGE = 2**20
"""Values from which a parameter of a large model is large itself."""


def is_large(parameters: Iterable[nn.Parameter]) -> bool:
    """Tell whether a model is so large that time is spent to save memory: above 16 million values.

    Example:
        >>> is_large(nn.Linear(8, 8).parameters()), is_large(nn.Linear(2**13, 2**11, device="meta").parameters())
        (False, True)
    """
    return sum(each.numel() for each in parameters) > LARGE_MODEL


@contextmanager
def frugal(replica: nn.Module) -> Iterator[None]:
    """Keep the peak of a large model's backward pass low.

    Inside, memory is handed back whenever a large parameter has its gradient. Gradients of large embeddings are
    sparse, so that a tied embedding never has a second dense one. Modules are as before afterwards, and small
    models are left alone.

    Example:
        >>> embedding = nn.Embedding(2**23, 3)
        >>> with frugal(embedding):
        ...     embedding.sparse
        True
        >>> embedding.sparse
        False
    """
    if not is_large(replica.parameters()):
        yield
        return
    give_back()
    large = [each for each in replica.parameters() if each.requires_grad and each.numel() > LARGE]
    handles = [each.register_post_accumulate_grad_hook(_give_back_after) for each in large]
    embeddings = [each for each in replica.modules() if _may_be_sparse(each)]
    for each in embeddings:
        each.sparse = True
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for each in embeddings:
            each.sparse = False


def _may_be_sparse(module: nn.Module) -> TypeGuard[nn.Embedding]:
    """Tell whether a module is a plain, large embedding with a parameter as its weight, not a computed one."""
    return (
        type(module) is nn.Embedding
        and isinstance(module._parameters.get("weight"), nn.Parameter)
        and module.weight.numel() > LARGE
        and not (module.sparse or module.scale_grad_by_freq)
    )


def _give_back_after(parameter: nn.Parameter) -> None:
    """Hand memory back once a parameter has its gradient; a hook must return ``None``."""
    give_back()


def give_back() -> bool:
    """Tell glibc's allocator to hand freed memory back; elsewhere do nothing.

    Returns:
        Whether there was something to hand back.

    Source:
        The GNU C library manual, "malloc_trim".

    Example:
        >>> give_back() in (True, False)
        True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):
        return False


def release(replica: nn.Module) -> None:
    """Free the memory of a copy at once, even where modules refer to each other in circles."""
    for parameter in replica.parameters():
        parameter.grad = None
        if parameter.layout == torch.strided:
            parameter.data = parameter.data.new_empty(0)
    give_back()
