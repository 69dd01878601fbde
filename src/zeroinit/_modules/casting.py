"""Copy one tensor, in another precision if you ask for one."""

import copy

import torch
from torch import Tensor

__all__ = ["cast", "cast_other_kind"]

WIDE = {torch.float64: torch.complex128}


def cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Copy a tensor without its history; floats as ``dtype`` (``None``: as they are), complex numbers likewise.

    Example:
        >>> cast(torch.ones(1), torch.float64), cast(torch.arange(2), torch.float64)
        (tensor([1.], dtype=torch.float64), tensor([0, 1]))
    """
    plain = tensor.detach()
    if dtype is None:
        return plain.clone()
    if plain.is_floating_point() and (plain.element_size() >= 2 or plain.layout != torch.strided):
        return plain.to(dtype, copy=True)
    return plain.to(WIDE.get(dtype, torch.complex64), copy=True) if plain.is_complex() else plain.clone()


def cast_other_kind(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Copy a tensor of a special class, for example a quantized one; see ``cast``."""
    result = copy.deepcopy(value if value.is_leaf else value.detach())
    if dtype and result.layout == torch.strided and result.is_floating_point() and result.element_size() >= 2:
        try:
            result.data = result.data.to(dtype)
        except (RuntimeError, TypeError, NotImplementedError):  # a class that knows one type alone
            return result
    return result
