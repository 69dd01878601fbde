"""Masks among the inputs that divide padding from the rest, and the same inputs with them inverted."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["flipped_masks", "masks_in"]


def flipped_masks(inputs: Any) -> Any:
    """Return the inputs with every mask that divides padding from the rest inverted.

    Example:
        >>> tokens, mask = torch.tensor([[5, 3, 0, 0]]), torch.tensor([[1, 1, 0, 0]])
        >>> flipped_masks({"tokens": tokens, "mask": mask})["mask"]
        tensor([[0, 0, 1, 1]])
    """
    masks = {id(mask) for _, mask in masks_in(inputs)}

    def flip(value: Any) -> Any:
        if isinstance(value, Tensor):
            return _inverted(value) if id(value) in masks else value
        if isinstance(value, Mapping):
            return {name: flip(each) for name, each in value.items()}
        return type(value)(map(flip, value)) if type(value) in (list, tuple) else value

    return flip(inputs)


def masks_in(inputs: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield masks with a name, empty where arguments have none: one truth value for each position of another input.

    Example:
        >>> tokens, mask = torch.tensor([[5, 3, 0], [2, 0, 0]]), torch.tensor([[1, 1, 0], [1, 0, 0]])
        >>> [name for name, _ in masks_in({"tokens": tokens, "mask": mask})]
        ['mask']
    """
    named = list(inputs.items()) if isinstance(inputs, Mapping) else []
    if not named and isinstance(inputs, list | tuple):
        named = [("", each) for each in inputs]
    tensors = [(str(name), each) for name, each in named if isinstance(each, Tensor) and each.numel()]
    for name, mask in tensors:
        others = [each for _, each in tensors if each is not mask and each.shape[: mask.dim()] == mask.shape]
        if mask.dim() > 1 and _is_mask(mask) and any(_divides(mask, each) for each in others):
            yield name, mask


def _is_mask(value: Tensor) -> bool:
    """Tell whether there are two values: truth values, 0 and 1, or 0 and minus infinity."""
    low, high = value.min(), value.max()
    if value.dtype == torch.bool or not value.is_floating_point():
        return bool(low == 0) and bool(high == 1)
    return bool(high == 0) and bool(((value == 0) | torch.isneginf(value)).all()) and bool(torch.isneginf(low))


def _divides(mask: Tensor, content: Tensor) -> bool:
    """Tell whether a mask divides positions of one and the same content, as padding is, from others."""
    rows = content.reshape(mask.numel(), -1)
    on = _truth(mask).flatten()
    sides = [rows[on], rows[~on]]
    same = [len(side) > 1 and bool((side == side[:1]).all()) for side in sides]
    if same[0] == same[1]:
        return False
    padding, rest = sides if same[0] else sides[::-1]
    return not bool((rest == padding[:1]).all(dim=1).any())


def _truth(mask: Tensor) -> Tensor:
    return mask == 0 if mask.is_floating_point() else mask.bool()


def _inverted(mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return ~mask
    if mask.is_floating_point():
        return torch.where(mask == 0, -torch.inf, 0.0).to(mask.dtype)
    return 1 - mask
