"""Laws: how the values of one parameter are drawn.

A law returns fresh values for a parameter of a layer, in float32 and on the generator's device, so that one seed gives
the same values whatever the model's device and precision.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["CONSTANT", "FAN_IN_UNIFORM", "NORMAL", "UNIFORM", "ZERO", "Law", "fan_in"]


@dataclass(frozen=True)
class Law:
    """How values are drawn.

    Attributes:
        text: The law in a formula, with ``{scale}`` where the scale stands.
        draw: ``(layer, empty tensor, generator) -> values`` at scale 1; may fill the tensor in place.
        scaled: Whether the scale changes anything.
    """

    text: str
    draw: Callable[[nn.Module, Tensor, torch.Generator | None], Tensor]
    scaled: bool = True

    def describe(self, scale: float) -> str:
        """Return the law with the scale filled in, as in ``N(0, 1) * 0.01``."""
        return self.text if scale == 1.0 or not self.scaled else f"{self.text} * {scale:g}"


def fan_in(layer: nn.Module) -> int:
    """Count the inputs of one output unit as ``torch.nn.init`` does: all axes of the weight but the first.

    For transposed convolutions torch's convention differs from the true fan-in; this follows torch, because the
    ``pytorch`` initializer must equal ``reset_parameters``.

    Example:
        >>> fan_in(nn.Conv2d(3, 8, kernel_size=5))
        75
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight[0].numel() if weight.shape[0] else 0


def _fan_in_uniform(
    layer: nn.Module, empty: Float[Tensor, "*shape"], generator: torch.Generator | None
) -> Float[Tensor, "*shape"]:
    bound = max(fan_in(layer), 1) ** -0.5
    return empty.uniform_(-bound, bound, generator=generator)


ZERO = Law("0", lambda layer, empty, generator: empty.zero_(), scaled=False)
CONSTANT = Law("1", lambda layer, empty, generator: empty.fill_(1.0))
NORMAL = Law("N(0, 1)", lambda layer, empty, generator: empty.normal_(generator=generator))
UNIFORM = Law("U[0, 1)", lambda layer, empty, generator: empty.uniform_(generator=generator))
FAN_IN_UNIFORM = Law("U(-1/sqrt(fan_in), 1/sqrt(fan_in))", _fan_in_uniform)
