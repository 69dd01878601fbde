"""Finds parameters that take part for another batch: shuffled, noisy, with other whole numbers and choices."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._modules.batch import map_tensors
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.precision import ShadowMode, cast_floats
from zeroinit.symmetry.shadow.undisturbed import reseed

__all__ = ["used_with_other_inputs"]

TRIES = 4
BEYOND = 8


def used_with_other_inputs(objective: Objective, replica: nn.Module, dtype: torch.dtype) -> set[str]:
    """Run forward on other inputs, and return the names of the parameters that take part then.

    Floats get noise, or are drawn anew on a larger scale. Whole numbers are shuffled, drawn anew, and drawn anew beyond
    the largest one of the batch, where the model can take that.
    """
    mode = ShadowMode(dtype)
    for change in (_shuffled, _redrawn, _beyond, _larger):
        for seed in range(TRIES):
            reseed(seed, 0)
            generator = torch.Generator("cpu").manual_seed(seed)
            other = Objective(_everywhere(cast_floats(objective.inputs, torch.float32), change, generator))
            try:
                with torch.no_grad(), mode:
                    other.output(replica, dtype)
            except Exception:  # inputs that this model cannot take
                continue
    names = {id(parameter): name for name, parameter in replica.named_parameters()}
    return {names[each] for each in mode.used if each in names}


def _everywhere(value: Any, change: Callable, generator: torch.Generator) -> Any:
    """Change tensors wherever they are, and plain numbers and truth values among the arguments."""

    def within(tensor: Tensor) -> Tensor:
        known = tensor.numel() and tensor.layout == torch.strided and not tensor.is_complex()
        return change(tensor, generator).to(tensor.device, tensor.dtype) if known else tensor

    if isinstance(value, bool):
        return bool(torch.randint(2, (1,), generator=generator, device="cpu"))
    if isinstance(value, int):
        return int(torch.randint(max(value, 0) + BEYOND, (1,), generator=generator, device="cpu"))
    if type(value) is dict:
        return {key: _everywhere(each, change, generator) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_everywhere(each, change, generator) for each in value)
    return map_tensors(value, within)


def _shuffled(value: Tensor, generator: torch.Generator) -> Tensor:
    if value.is_floating_point():
        noise = torch.randn(value.shape, generator=generator, device="cpu").to(value.device)
        return value + noise * (3 * value.std() + 1e-3 if value.numel() > 1 else 1)
    order = torch.randperm(value.numel(), generator=generator, device="cpu").to(value.device)
    return value.flatten()[order].reshape(value.shape)


def _drawn(value: Tensor, most: int, generator: torch.Generator) -> Tensor:
    return torch.randint(most, value.shape, generator=generator, device="cpu")


def _redrawn(value: Tensor, generator: torch.Generator) -> Tensor:
    if value.is_floating_point() or value.dtype == torch.bool:
        return value
    return _drawn(value, max(1, int(value.max()) + 1), generator)


def _beyond(value: Tensor, generator: torch.Generator) -> Tensor:
    """Only the least wide whole numbers may go beyond, so that vocabulary and node numbers stay what they can be."""
    if value.is_floating_point() or value.dtype == torch.bool:
        return value
    reach = BEYOND if bool(torch.randint(2, (1,), generator=generator, device="cpu")) else 1
    return _drawn(value, max(1, int(value.max()) + reach), generator)


def _larger(value: Tensor, generator: torch.Generator) -> Tensor:
    if not value.is_floating_point():
        return value
    return torch.randn(value.shape, generator=generator, device="cpu") * 10 * (1 + value.abs().max().cpu())
