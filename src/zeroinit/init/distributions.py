"""Distributions: how the values of one parameter are drawn.

Values are drawn in float32 on the generator's device. So one seed gives the same values on every device and in every
precision of the model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zeroinit._shapes import Float

__all__ = ["CONSTANT", "FAN_IN_UNIFORM", "NORMAL", "UNIFORM", "ZERO", "Distribution"]


@dataclass(frozen=True)
class Distribution:
    """How values are drawn.

    Attributes:
        text: The distribution as a formula, at scale 1.
        draw: ``(fan-in, empty tensor, generator) -> values`` at scale 1; may fill the tensor in place. The tensor has
            one row per unit, however the layer stores its weight.
        scaled: Whether the scale changes anything.
        uses_fan_in: Whether the fan-in changes anything.
    """

    text: str
    draw: Callable[[int, Tensor, torch.Generator | None], Tensor]
    scaled: bool = True
    uses_fan_in: bool = False

    def describe(self, scale: float) -> str:
        """Return the formula with the scale, as in ``N(0, 1) * 0.01``."""
        return self.text if scale == 1.0 or not self.scaled else f"{self.text} * {scale:g}"


def _fan_in_uniform(
    fan: int, empty: Float[Tensor, "*shape"], generator: torch.Generator | None
) -> Float[Tensor, "*shape"]:
    bound = max(fan, 1) ** -0.5
    return empty.uniform_(-bound, bound, generator=generator)


ZERO = Distribution("0", lambda fan, empty, generator: empty.zero_(), scaled=False)
CONSTANT = Distribution("1", lambda fan, empty, generator: empty.fill_(1.0))
NORMAL = Distribution("N(0, 1)", lambda fan, empty, generator: empty.normal_(generator=generator))
UNIFORM = Distribution("U[0, 1)", lambda fan, empty, generator: empty.uniform_(generator=generator))
FAN_IN_UNIFORM = Distribution("U(-1/sqrt(fan_in), 1/sqrt(fan_in))", _fan_in_uniform, uses_fan_in=True)
