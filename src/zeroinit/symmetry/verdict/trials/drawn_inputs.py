"""Other inputs and targets to try: drawn anew, larger, scaled."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zeroinit._common import derive_seed
from zeroinit._modules.batch import map_tensors
from zeroinit.symmetry.verdict.passes.noise import noise
from zeroinit.symmetry.verdict.trials.masks import flipped_masks

__all__ = ["INPUTS", "random_inputs"]


def random_inputs(inputs: Any, seed: int = 0) -> Any:
    """Draw every float input anew, of normal values."""
    generator = torch.Generator("cpu").manual_seed(derive_seed(seed, "other inputs"))

    def draw(value: Tensor) -> Tensor:
        if not value.is_floating_point() or value.layout != torch.strided:
            return value
        return torch.randn(value.shape, generator=generator, device="cpu").to(value.device, value.dtype)

    return map_tensors(inputs, draw)


def larger_inputs(inputs: Any) -> Any:
    """Draw images of four times the height and width, and sequences of four times the length."""

    def enlarge(value: Tensor) -> Tensor:
        if value.dim() < 3 or not value.is_floating_point() or value.layout != torch.strided:
            return value
        places = range(1, 2) if value.dim() == 3 else range(2, value.dim())
        return noise(value.new_empty([4 * size if at in places else size for at, size in enumerate(value.shape)]))

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


def other_choices(inputs: Any) -> Any:
    """Draw truth values anew, and floats that are 0 or 1."""
    generator = torch.Generator("cpu").manual_seed(11)

    def draw(value: Tensor) -> Tensor:
        if value.layout != torch.strided or not value.numel() or value.is_complex():
            return value
        chosen = value.is_floating_point() and bool(((value == 0) | (value == 1)).all()) and bool(value.any())
        if value.dtype != torch.bool and not chosen:
            return value
        return (torch.rand(value.shape, generator=generator, device="cpu") < 0.5).to(value.device, value.dtype)

    return map_tensors(inputs, draw)


def scaled_inputs(inputs: Any) -> Any:
    """Divide every float input by its largest value."""

    def scale(value: Tensor) -> Tensor:
        if not value.is_floating_point() or not value.numel() or value.layout != torch.strided:
            return value
        return value / value.abs().max().clamp_min(1e-12)

    return map_tensors(inputs, scale)


def normalized_inputs(inputs: Any) -> Any:
    """Give each column of every float input a mean of zero and a spread of one."""

    def normalize(value: Tensor) -> Tensor:
        if not value.is_floating_point() or value.layout != torch.strided or value.dim() < 2 or len(value) < 2:
            return value
        return (value - value.mean(0)) / (value.std(0) + 1e-12)

    return map_tensors(inputs, normalize)


def two_examples(inputs: Any) -> Any:
    """Add an example to a batch of one: floats drawn anew, whole numbers up to the largest one, all else as it is."""
    generator = torch.Generator("cpu").manual_seed(12)

    def add(value: Tensor) -> Tensor:
        if value.dim() == 0 or len(value) != 1 or value.layout != torch.strided:
            return value
        if value.is_floating_point():
            return torch.cat([value, noise(value)])
        if value.dtype != torch.long or not value.numel() or bool((value < 0).any()):
            return torch.cat([value, value])
        drawn = torch.randint(int(value.max()) + 1, value.shape, generator=generator, device="cpu")
        return torch.cat([value, drawn.to(value.device)])

    return map_tensors(inputs, add)


def other_targets(targets: Any) -> Any:
    """Draw floats and truth values anew, and whole numbers among those that are there."""
    generator = torch.Generator("cpu").manual_seed(10)

    def draw(value: Tensor) -> Tensor:
        if not value.numel() or value.is_floating_point() or value.is_complex() or value.layout != torch.strided:
            return value
        most = 2 if value.dtype == torch.bool else max(1, int(value.max()) + 1)
        return torch.randint(most, value.shape, generator=generator, device="cpu").to(value.device, value.dtype)

    return map_tensors(random_inputs(targets, seed=1), draw)


def inverted_truths(inputs: Any) -> Any:
    """Invert every truth value, as of a mask of positive examples."""
    return map_tensors(inputs, lambda value: ~value if value.dtype == torch.bool else value)


INPUTS: dict[str, Callable] = {
    "scaled": scaled_inputs,
    "random": random_inputs,
    "other": other_inputs,
    "larger": larger_inputs,
    "targets": other_targets,
    "choices": other_choices,
    "flipped masks": flipped_masks,
    "inverted": inverted_truths,
    "normalized": normalized_inputs,
    "twice": two_examples,
}
"""Other inputs to try, by name."""
