"""Other inputs to try: drawn anew, larger, scaled."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zeroinit._common import derive_seed
from zeroinit._modules.batch import map_tensors

__all__ = ["INPUTS", "noise", "random_inputs"]


def noise(like: Tensor) -> Tensor:
    """Draw normal values of the same shape, always the same ones.

    Example:
        >>> torch.equal(noise(torch.zeros(3)), noise(torch.zeros(3)))
        True
    """
    generator = torch.Generator("cpu").manual_seed(7)
    return torch.randn(like.shape, generator=generator, device="cpu").to(like.device, like.dtype)


def random_inputs(inputs: Any, seed: int = 0) -> Any:
    """Draw every float input anew, of normal values."""
    generator = torch.Generator("cpu").manual_seed(derive_seed(seed, "other inputs"))

    def draw(value: Tensor) -> Tensor:
        if not value.is_floating_point() or value.layout != torch.strided:
            return value
        return torch.randn(value.shape, generator=generator, device="cpu").to(value.device, value.dtype)

    return map_tensors(inputs, draw)


def larger_inputs(inputs: Any, times: int = 4) -> Any:
    """Draw images of so many times the height and width, and sequences of so many times the length."""

    def enlarge(value: Tensor) -> Tensor:
        if value.dim() < 3 or not value.is_floating_point() or value.layout != torch.strided:
            return value
        places = range(1, 2) if value.dim() == 3 else range(2, value.dim())
        return noise(value.new_empty([size * times if at in places else size for at, size in enumerate(value.shape)]))

    return map_tensors(inputs, enlarge)


def other_inputs(inputs: Any) -> Any:
    """Draw floats anew, and whole numbers up to a little more than the largest one."""
    generator = torch.Generator("cpu").manual_seed(9)

    def draw(value: Tensor) -> Tensor:
        if not value.numel() or value.dtype not in (torch.long, torch.int) or value.layout != torch.strided:
            return value
        if bool((value == -100).any()):  # labels, some of which are ignored
            return value
        most = int(value.max()) + 3
        return torch.randint(most, value.shape, generator=generator, device="cpu").to(value.device, value.dtype)

    return map_tensors(random_inputs(inputs), draw)


def scaled_inputs(inputs: Any) -> Any:
    """Divide every float input by its largest value."""

    def scale(value: Tensor) -> Tensor:
        if not value.is_floating_point() or not value.numel() or value.layout != torch.strided:
            return value
        return value / value.abs().max().clamp_min(1e-12)

    return map_tensors(inputs, scale)


INPUTS: dict[str, Callable] = {
    "scaled": scaled_inputs,
    "random": random_inputs,
    "other": other_inputs,
    "larger": larger_inputs,
}
"""Other inputs to try, by name."""
