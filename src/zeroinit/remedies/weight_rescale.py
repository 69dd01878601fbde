"""Give weights the size of PyTorch's default after the first steps, and keep the directions that they learned."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeroinit._modules.layers import Weight, weights_of
from zeroinit.remedies.draw_stuck import is_underflow
from zeroinit.remedies.early_muon import orthogonalized
from zeroinit.remedies.remedy import Remedy, positive_strength

__all__ = ["WeightRemedy", "WeightRescale", "default_size", "weight_orthogonal", "weight_rescale"]


class WeightRemedy(Remedy):
    """Changes weights of layers that were updated, after some of the first updates.

    Attributes:
        only: The weights that the remedy may change; all of the model if ``None``.
    """

    def __init__(self, model: nn.Module, steps: int, strength: float):
        super().__init__(model, steps)
        self.only: set[nn.Parameter] | None = None
        self._strength = strength
        self._infinite: list[str] = []

    def _is_needed(self) -> bool:
        return bool(self._weights())

    def _weights(self) -> list[Weight]:
        found = weights_of(self._model).values()
        return [each for each in found if self.only is None or each.parameter in self.only]

    @torch.no_grad()
    def _change_all(self, parameters: set[nn.Parameter]) -> None:
        """Change, in place, each weight that is among the parameters, finite and not zero."""
        for weight in self._weights():
            if weight.parameter not in parameters:
                continue
            for matrix in weight.matrices():
                largest = matrix.abs().max() if matrix.numel() else 0.0
                if 0 < largest < torch.inf:
                    matrix.copy_(self._changed(matrix))
                elif largest:
                    self._infinite.append(weight.name)

    def _changed(self, matrix: Tensor) -> Tensor:
        """Return the new values of a weight (units, inputs, ...)."""
        raise NotImplementedError

    def _undone(self) -> str:
        return self._promise()

    def _failed(self) -> str | None:
        if not self._infinite:
            return None
        names = ", ".join(map(repr, dict.fromkeys(self._infinite[:5])))
        return f"{self._promise()}: values of {names} are not finite; lower the learning rate"

    def _promise(self) -> str:
        return "weights do not get the size of PyTorch's default"


class WeightRescale(WeightRemedy):
    """Scales each layer's weight after the last of the first updates; see ``weight_rescale``.

    Attributes:
        helps_halfway: Whether it acts half-way, too, if gradients are lost there before they reach every weight.
        has_helped: Whether it did so.
    """

    def __init__(self, model: nn.Module, steps: int, strength: float, is_orthogonal: bool = False):
        super().__init__(model, steps, strength)
        self.helps_halfway = self.has_helped = False
        self._is_orthogonal = is_orthogonal

    def state_dict(self) -> dict:
        """Return what remains, and whether it has acted half-way."""
        return super().state_dict() | {"has_helped": self.has_helped}

    def load_state_dict(self, state: dict) -> None:
        """Go on with what remained."""
        self.has_helped = state.get("has_helped", False)
        super().load_state_dict(state)

    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        if self.helps_halfway and not self.has_helped and 0 < self.remaining <= self.steps // 2:
            self.has_helped = self._is_lost()
            if self.has_helped:
                self._change_all(parameters)
        if not self.remaining:
            self._change_all(parameters)

    def _is_lost(self) -> bool:
        weights = [each.parameter for each in self._weights() if each.parameter.requires_grad]
        return is_underflow(weights) and not all(weight.any() for weight in weights if weight.numel())

    def _changed(self, matrix: Tensor) -> Tensor:
        whole = matrix / matrix.abs().max()  # the squares of 1e-25 would be zero
        whole = orthogonalized(whole) if self._is_orthogonal else whole
        return whole * (self._strength * default_size(matrix) / whole.square().mean().sqrt())

    def _promise(self) -> str:
        return "weights are not made orthogonal" if self._is_orthogonal else super()._promise()


def default_size(weight: Tensor) -> float:
    """Return the root mean square of PyTorch's default for a weight (out, in, ...): 1 / sqrt(3 fan_in).

    Example:
        >>> default_size(torch.zeros(7, 3, 2, 2))
        0.16666666666666666
    """
    return float((3 * weight[0].numel()) ** -0.5)


def weight_rescale(
    model: nn.Module, steps: int, *, strength: float = 1.0, generator: torch.Generator | None = None
) -> WeightRescale:
    """Multiply each layer's weight by one number after the last of the first ``steps`` updates.

    The root mean square of the weight is then ``strength`` times PyTorch's default, 1 / sqrt(3 fan_in). Adam's steps
    are about as large as the learning rate, whatever the layer. So after a few steps, weights with a small fan-in are
    far smaller than the default. The learned directions do not change. A weight that is still zero stays zero.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Above 0.
        generator: Not used: nothing is drawn.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        >>> with weight_rescale(model, steps=1):
        ...     model(torch.ones(1, 3)).sum().backward()
        ...     optimizer.step()
        >>> round(model.weight.square().mean().sqrt().item(), 6) == round(default_size(model.weight), 6)
        True

    Source:
        This package; Mishkin and Matas 2016, "All you need is a good init" (one factor per layer).
    """
    return WeightRescale(model, steps, positive_strength(strength))


def weight_orthogonal(
    model: nn.Module, steps: int, *, strength: float = 1.0, generator: torch.Generator | None = None
) -> WeightRescale:
    """Make each layer's weight orthogonal after the last of the first ``steps`` updates, in the default's size.

    All directions that the weight has learned become about equally large. The iteration of ``early_muon`` brings the
    singular values close to each other. The root mean square becomes ``strength`` times PyTorch's default,
    1 / sqrt(3 fan_in).

    No new directions are added, and a direction below about 0.003 of the norm stays smaller. A weight that is still
    zero stays zero.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Above 0.
        generator: Not used: nothing is drawn.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        This package; Saxe et al. 2014 (orthogonal starts), Jordan et al. 2024 (the iteration).
    """
    return WeightRescale(model, steps, positive_strength(strength), is_orthogonal=True)
