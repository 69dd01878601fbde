"""Distributions: how the values of one parameter are drawn.

Values are drawn in float32 on the generator's device. So one seed gives the same values on every device and in every
precision of the model.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from zeroinit.init.places import Place

__all__ = ["CONSTANT", "FAN_IN_UNIFORM", "NORMAL", "ONE", "UNIFORM", "ZERO", "Distribution"]


@dataclass(frozen=True)
class Distribution:
    """How values are drawn.

    Attributes:
        text: The distribution as a formula, at scale 1.
        draw: ``place -> values`` at scale 1, of the shape that the place has: (units, inputs, *kernel), however the
            layer stores its weight. It may fill ``place.empty()`` and return it.
        scaled: Whether the scale changes anything.
        uses_fan_in: Whether fans change anything.
        by_matrix: Whether values depend on each other or on their position, so that each group of a convolution and
            each expert is drawn as a matrix of its own.
        whole: Whether the whole matrix is needed to know a part of it.
    """

    text: str
    draw: Callable[[Place], Tensor]
    scaled: bool = True
    uses_fan_in: bool = False
    by_matrix: bool = False
    whole: bool = False

    def describe(self, scale: float) -> str:
        """Return the formula with the scale, as in ``N(0, 1) * 0.01``."""
        return self.text if scale == 1.0 or not self.scaled else f"{self.text} * {scale:g}"


def _fan_in_uniform(place: Place) -> Tensor:
    bound = max(place.block.torch_fan, 1) ** -0.5
    return place.uniform(-bound, bound)


ZERO = Distribution("0", lambda place: place.empty().zero_(), scaled=False)
ONE = Distribution("1", lambda place: place.empty().fill_(1.0), scaled=False)
CONSTANT = Distribution("1", lambda place: place.empty().fill_(1.0))
NORMAL = Distribution("N(0, 1)", lambda place: place.normal())
UNIFORM = Distribution("U[0, 1)", lambda place: place.uniform(0.0, 1.0))
FAN_IN_UNIFORM = Distribution("U(-1/sqrt(fan_in), 1/sqrt(fan_in))", _fan_in_uniform, uses_fan_in=True)
