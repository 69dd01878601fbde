"""Values that a trial puts in the place of a parameter's own, or adds to them."""

import torch
from torch import Tensor

__all__ = ["drawn", "empty_rows", "signs"]

STD = 0.02


def empty_rows(value: Tensor, axis: int = 0) -> Tensor:
    """Return which entries of one axis are zero everywhere, in a shape that broadcasts to the tensor.

    Example:
        >>> empty_rows(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).tolist()
        [[True], [False]]
    """
    shape = [1] * value.dim()
    shape[axis] = -1
    return (value.movedim(axis, 0).flatten(1) == 0).all(dim=1).reshape(shape)


def drawn(parameter: Tensor, together: int, generator: torch.Generator) -> Tensor:
    """Draw what ``draw_line`` prints: small normal values, or torch's own distribution where many are drawn."""
    values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
    if together > 2 and parameter.dim() > 1:
        bound = 1 / max(1, values[0].numel()) ** 0.5
        values.uniform_(-bound, bound, generator=generator)
    else:
        values.normal_(0.0, STD, generator=generator)
    return values.to(parameter.device, parameter.dtype)


def signs(parameter: Tensor, generator: torch.Generator) -> Tensor:
    """Draw 1 and -1; the first is 1."""
    values = 2.0 * torch.randint(2, parameter.shape, generator=generator, device="cpu") - 1
    return (values * values.flatten()[0]).to(parameter.device, parameter.dtype)
