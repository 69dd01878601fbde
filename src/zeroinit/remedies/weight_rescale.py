"""Weights that get the size of PyTorch's default after the first steps, with the directions that they learned."""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer

from zeroinit.remedies.optimizer_remedies import OptimizerRemedy
from zeroinit.remedies.remedy import check_strength

__all__ = ["WeightRescale", "default_size", "weight_rescale"]


class WeightRescale(OptimizerRemedy):
    """Scales each layer's weight after the last of the first updates; see ``weight_rescale``."""

    def __init__(self, model: nn.Module, steps: int, strength: float):
        super().__init__(model, steps)
        self._strength = strength

    def _is_needed(self) -> bool:
        return bool(self._sizes())

    def _sizes(self) -> dict[Tensor, float]:
        layers = (module for module in self._model.modules() if isinstance(module, nn.Linear | _ConvNd))
        return {layer.weight: self._strength * default_size(layer.weight) for layer in layers}

    @torch.no_grad()
    def _after_update(self, optimizer: Optimizer) -> None:
        if self.remaining:
            return
        sizes = self._sizes()
        for _, parameters in self._groups(optimizer):
            for parameter in parameters:
                size = parameter.square().mean().sqrt()
                if parameter in sizes and 0 < size < torch.inf:
                    parameter.mul_(sizes[parameter] / size)


def default_size(weight: Tensor) -> float:
    """Return the root mean square of PyTorch's default for a weight (out, in, ...): 1 / sqrt(3 fan_in).

    Example:
        >>> default_size(torch.zeros(7, 3, 2, 2))
        0.16666666666666666
    """
    return float((3 * weight[0].numel()) ** -0.5)


def weight_rescale(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> WeightRescale:
    """Multiply each layer's weight by one number after the last of the first ``steps`` updates.

    Its root mean square is then ``strength`` times that of PyTorch's default, 1 / sqrt(3 fan_in). Adam makes steps of
    about the learning rate, whatever the layer: after a few of them weights are far smaller than the default where
    fan-in is small. Directions are left as learned; a weight that is still zero stays so.

    Args:
        model: As of ``Remedy``, likewise ``steps``.
        steps: The number of training passes.
        strength: Above 0; 1 if ``None``.
        generator: Not used: nothing is drawn.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        This package; Mishkin and Matas 2016, "All you need is a good init" (one factor per layer).
    """
    return WeightRescale(model, steps, check_strength(1.0 if strength is None else strength, below=float("inf")))
