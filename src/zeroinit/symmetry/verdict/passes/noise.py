"""Values in the shape of a tensor, always the same ones: uneven, or normal."""

import torch
from torch import Tensor

__all__ = ["noise", "uneven"]


def uneven(like: Tensor) -> Tensor:
    """Return values from .5 to 1.5 in the shape of a tensor.

    Example:
        >>> uneven(torch.zeros(3)).tolist()
        [0.5, 1.0, 1.5]
    """
    values = torch.linspace(0.5, 1.5, max(1, like.numel()), dtype=like.dtype, device=like.device)
    return values[: like.numel()].reshape(like.shape) if like.dim() else values[0]


def noise(like: Tensor) -> Tensor:
    """Draw normal values of the same shape, always the same ones.

    Example:
        >>> torch.equal(noise(torch.zeros(3)), noise(torch.zeros(3)))
        True
    """
    generator = torch.Generator("cpu").manual_seed(7)
    return torch.randn(like.shape, generator=generator, device="cpu").to(like.device, like.dtype)
