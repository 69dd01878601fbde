"""Keeps random states and the settings of torch as they were before an inspection."""

import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zeroinit._common import derive_seed
from zeroinit._findings.lines import line_at_hand
from zeroinit._modules.state import random_state_kept
from zeroinit.symmetry.shadow.copies import copy_of

__all__ = ["deterministic_kernels", "each_warning_once", "exact_products", "flags_of_training", "reseed", "undisturbed"]

PACKAGE = str(Path(__file__).parents[2])


def reseed(seed: int, step: int) -> None:
    """Seed torch, Python and NumPy for one step, so that every copy draws the same there.

    An accelerator that is not in use yet gets no seed: torch would keep it until the first draw of the user's own.

    Example:
        >>> with undisturbed(nn.Identity()):
        ...     reseed(0, 1)
        ...     first = torch.rand(1)
        ...     reseed(0, 1)
        ...     torch.equal(first, torch.rand(1))
        True
    """
    derived = derive_seed(seed, f"step {step}")
    torch.default_generator.manual_seed(derived)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(derived)
    for other in (torch.mps, torch.xpu):
        if other.is_available():
            other.manual_seed(derived)
    random.seed(derived)
    np.random.seed(derived % 2**32)  # noqa: NPY002


@contextmanager
def exact_products() -> Iterator[None]:
    """Compute float32 products and convolutions in float32, not in TensorFloat-32 or bfloat16.

    CUDA devices use TensorFloat-32 for convolutions unless told otherwise. Its rounding is as large as small signals.

    Example:
        >>> with exact_products():
        ...     torch.get_float32_matmul_precision()
        'highest'
    """
    cuda, cudnn, mkldnn = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
    of_cuda: list[Any] = [
        getattr(each, kind, None) for each, kind in ((cuda, "matmul"), (cudnn, "conv"), (cudnn, "rnn"))
    ]
    of_cpu: list[Any] = [getattr(mkldnn, kind, None) for kind in ("matmul", "conv", "rnn")]
    before = {each: each.fp32_precision for each in (*of_cuda, *of_cpu) if hasattr(each, "fp32_precision")}
    old = _old_settings()
    try:
        if (
            old is not None
        ):  # what the new settings do alone, reading the old ones would refuse (cudnn.flags reads them)
            torch.set_float32_matmul_precision("highest")
            cudnn.allow_tf32 = False
        for each in before:
            if old is None or each in of_cpu:
                each.fp32_precision = "ieee"
        yield
    finally:
        if old is not None:
            torch.set_float32_matmul_precision(old[0])
            cudnn.allow_tf32 = old[1]
        for each, precision in before.items():
            if each.fp32_precision != precision:
                each.fp32_precision = precision


def _old_settings() -> tuple[str, bool] | None:
    """Return the precision of products and whether cuDNN may use TensorFloat-32; ``None`` if torch refuses to say."""
    try:
        _ = torch.backends.cuda.matmul.allow_tf32
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the new settings contradict the old ones
        return None


@contextmanager
def deterministic_kernels() -> Iterator[None]:
    """Use deterministic kernels alone; operations that have none run as they are, without a warning."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def undisturbed(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Keep every random state. Inside, gradients are on, whatever the caller has switched off, and nothing compiles.

    Products are exact to float32.

    Example:
        >>> with torch.inference_mode(), undisturbed(nn.Identity()):
        ...     torch.ones(2, requires_grad=True).sum().requires_grad
        True
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(exact_products())
        if "torch._dynamo" in sys.modules:  # without it nothing is compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if isinstance(model, nn.Module):
            stack.enter_context(random_state_kept(model, seed))
        yield


@contextmanager
def flags_of_training(model: nn.Module) -> Iterator[None]:
    """Let parameters require gradients as they do in train mode, where a model's own ``train`` decides about that.

    Args:
        model: Its flags are as before afterwards. Where it is in eval mode and has such a method, a copy is asked.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    before = {}
    if any(not each.training and type(each).train is not nn.Module.train for each in modules):
        flags = {name: each.requires_grad for name, each in copy_of(model, torch.float32).named_parameters()}
        named = {name: each for name, each in model.named_parameters() if each.is_leaf and name in flags}
        before = {each: each.requires_grad for name, each in named.items() if each.requires_grad != flags[name]}
    try:
        for each, flag in before.items():
            each.requires_grad_(not flag)
        yield
    finally:
        for each, flag in before.items():
            each.requires_grad_(flag)


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Show each warning of the user's code once, at its own line, however often that runs; filters act as before.

    Torch warns at the innermost line of Python, which is one of zeroinit while it watches a call.
    """
    seen: set[tuple] = set()
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Any, category: Any, filename: str, lineno: int, *rest: Any, **named: Any) -> None:
            if filename.startswith(PACKAGE):
                filename, lineno = line_at_hand()[0] or (filename, lineno)
            if (str(message), category, filename, lineno) not in seen:
                seen.add((str(message), category, filename, lineno))
                shown(message, category, filename, lineno, *rest, **named)

        warnings.showwarning = show
        yield
