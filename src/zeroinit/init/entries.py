"""What a plan says of one parameter: by which rule it is set, or why it stays as it is."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._modules.layers import Slot
from zeroinit.init.computed import computed_from
from zeroinit.init.distributions import ZERO, Distribution
from zeroinit.init.initializers import Initializer
from zeroinit.init.parameters import set_parameter
from zeroinit.init.sharing import Holder, Shared
from zeroinit.init.sources import Source

__all__ = ["Entry", "Left", "num_weights"]


@dataclass(frozen=True)
class Entry:
    """One weight or bias that will be set.

    Attributes:
        shared: Its values.
        holder: The layer that draws them, and the attribute.
        parameter: The parameter that gets the values. It differs from the attribute if the attribute is computed.
        slot: How it is stored.
        distribution: How it is drawn.
        factor: The scale.
        norm: With weight norm the values of g, which follow from the drawn values.
        name: The name on which the values depend if there is a seed.
        initializer: Which initializer this is a part of.
    """

    shared: Shared
    holder: Holder
    parameter: nn.Parameter
    slot: Slot
    distribution: Distribution
    factor: float
    norm: Shared | None = None
    name: str = ""
    initializer: Initializer | None = None

    @property
    def num_weights(self) -> int:
        """How many weights this entry sets; biases do not count."""
        if self.slot.part not in ("weight", "recurrent"):
            return 0
        computed = computed_from(self.holder.module, self.slot.name)
        return num_weights(self.parameter if computed is None else computed.drawn)

    @property
    def is_zero(self) -> bool:
        """Whether all drawn values are zero."""
        return self.distribution is ZERO or (self.distribution.scaled and self.factor == 0)

    def draw(self, layer: nn.Module, source: Source) -> None:
        """Set the values in the layer, or in a copy of it."""
        computed = computed_from(layer, self.slot.name)
        if computed is None:
            parameter = layer._parameters[self.slot.name]
            assert parameter is not None
            set_parameter(parameter, self.slot, self.distribution, self.factor, source, self.name)
        elif computed.assign is not None:
            values = torch.empty(computed.shape, dtype=computed.drawn.dtype, device=computed.drawn.device)
            computed.assign(set_parameter(values, self.slot, self.distribution, self.factor, source, self.name))
        else:
            is_zero = computed.norm is not None and self.is_zero  # v = 0 would make the weight 0 / 0
            if not is_zero:
                set_parameter(computed.drawn, self.slot, self.distribution, self.factor, source, self.name)
            computed.settle(is_zero)


@dataclass(frozen=True)
class Left:
    """Why a parameter stays as it is: the kind of reason, and the reason in words."""

    kind: str
    reason: str


def num_weights(parameter: nn.Parameter) -> int:
    """Count the values of a weight; 0 for what has fewer than two axes or no shape yet."""
    return 0 if isinstance(parameter, UninitializedParameter) or parameter.dim() < 2 else parameter.numel()
