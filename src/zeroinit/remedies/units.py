"""The units of layers: which have left zero, and the bias of each."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from zeroinit._modules.layers import rows_of_units, weights_of

__all__ = ["Units", "units_of"]

AGREE = 1e-3
"""The share by which gradients of a penalty on biases may differ from each other, as they are rounded."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of one weight: of a dense layer, the channels of a convolution, the rows of attention's projections.

    Attributes:
        name: The weight's, in the model.
        weight: The weight.
        bias: One entry a unit; ``None`` where there is none, and in attention.
        module: The layer.
        is_transposed: Whether inputs come first.
    """

    name: str
    weight: nn.Parameter
    bias: nn.Parameter | None
    module: nn.Module
    is_transposed: bool

    def have_moved(self) -> Tensor:
        """Return for each unit whether its incoming weights are anything but zero."""
        return self._rows(self.weight.detach()).any(1)

    def are_decayed(self, before: Tensor) -> Tensor:
        """Return which entries of the bias have a gradient from a penalty on the parameters alone.

        A penalty λ b² in the loss gives a unit that is cut off the gradient 2 λ b. The unit's weights are zero, and so
        is their gradient. At least two such units of a layer must agree on λ.

        Args:
            before: The bias at which the gradient may have been computed; it may also be the one of now.
        """
        bias, weight = self.bias, self.weight
        assert bias is not None
        none = torch.zeros(bias.shape, dtype=torch.bool, device=bias.device)
        if bias.grad is None or weight.grad is None or weight.grad.is_sparse:
            return none
        quiet = ~self.have_moved() & ~self._rows(weight.grad).any(1) & (bias.grad != 0)
        for values in (before, bias.detach()):
            ratios = (bias.grad / values)[quiet]
            if len(ratios) > 1 and ratios.min() > 0 and ratios.max() < (1 + AGREE) * ratios.min():
                return quiet
        return none

    def _rows(self, values: Tensor) -> Tensor:
        is_reversed = self.is_transposed or isinstance(self.module, _ConvTransposeNd)
        groups = self.module.groups if isinstance(self.module, _ConvTransposeNd) else 1
        return rows_of_units(values, int(is_reversed), groups)


def units_of(model: nn.Module) -> list[Units]:
    """List the units of the weights that ``weights_of`` finds.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ConvTranspose1d(3, 2, 2))
        >>> _ = nn.init.zeros_(model[0].weight[1]), nn.init.zeros_(model[1].weight[:, 0])
        >>> [(units.name, units.have_moved().tolist()) for units in units_of(model)]
        [('0.weight', [True, False, True]), ('1.weight', [False, True])]
    """
    modules = dict(model.named_modules())
    found = []
    for weight, of in weights_of(model).items():
        path, _, attribute = of.name.rpartition(".")
        bias = modules[path]._parameters.get("bias") if attribute == "weight" else None
        if weight.numel() and weight.dim() > 1:  # a sharded weight may be flat
            found.append(Units(of.name, weight, bias, modules[path], of.is_transposed))
    return found
