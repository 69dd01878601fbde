"""Whether tensors hold values that are not finite."""

import torch
from torch import Tensor

__all__ = ["broken_in", "state"]


def state(tensor: Tensor) -> str:
    """Return ``"nan"`` or ``"inf"`` if a tensor holds such values, else nothing.

    Example:
        >>> state(torch.tensor([1.0, float("nan")])), state(torch.ones(2))
        ('nan', '')
    """
    values = tensor.detach()
    if not values.numel() or values.layout != torch.strided or bool(torch.isfinite(values).all()):
        return ""
    return "nan" if bool(torch.isnan(values).any()) else "inf"


def broken_in(before: list[str], after: list[str]) -> str:
    """Return which of the two a call made, from the states of what went in and came out."""
    for kind in ("nan", "inf"):
        if kind in after and kind not in before and not (kind == "inf" and "nan" in before):
            return kind
    return ""
