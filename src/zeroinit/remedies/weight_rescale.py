"""Give weights the size of PyTorch's default after the first updates, and keep the directions that they learned."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zeroinit._common import InputError
from zeroinit._modules.layers import Weight, weights_of
from zeroinit.remedies.draw_stuck import is_underflow
from zeroinit.remedies.early_muon import orthogonalized
from zeroinit.remedies.remedy import Remedy
from zeroinit.remedies.weight_sizes import default_size, is_faint, polar_factor

__all__ = ["WeightOrthogonal", "WeightRemedy", "WeightRescale"]


class WeightRemedy(Remedy):
    """Changes weights of layers that were updated, after some of the first updates.

    Attributes:
        only: The weights that the remedy may change; all of the model if ``None``.
    """

    default_strength = 1.0

    def _set_up(self) -> None:
        self.only: set[nn.Parameter] | None = None
        self._infinite: list[str] = []

    @classmethod
    def _check_strength(cls, strength: float | None) -> float:
        if (chosen := super()._check_strength(strength)) == 0:
            raise InputError("strength=0.0: would set all weights to zero; choose a number above 0, such as 1")
        return chosen

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
    """Multiplies each layer's weight by one number after the last of the first ``steps`` updates.

    The root mean square of the weight is then ``strength`` times PyTorch's default, 1 / sqrt(3 fan_in). Adam's steps
    are about as large as the learning rate, whatever the layer. So after a few steps, weights with a small fan-in are
    far smaller than the default. The learned directions do not change. A weight that is still zero stays zero.

    Attributes:
        helps_halfway: Whether it acts half-way, too, if weights are tiny there, or gradients are lost before they reach
            every weight. Tiny weights get singular values that are all equal, half-way and at the end.
        has_helped: Whether it did so.
        has_opened: Whether it did so because of tiny weights.

    Source:
        This package; Mishkin and Matas 2016, "All you need is a good init" (one factor per layer).

    Example:
        >>> model = nn.Linear(3, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        >>> with WeightRescale(model, steps=1):
        ...     model(torch.ones(1, 3)).sum().backward()
        ...     optimizer.step()
        >>> round(model.weight.square().mean().sqrt().item(), 6) == round(default_size(model.weight), 6)
        True
    """

    def _set_up(self) -> None:
        super()._set_up()
        self.helps_halfway = self.has_helped = self.has_opened = self._is_judged = False

    def state_dict(self) -> dict:
        """Return what remains, and whether it has acted half-way."""
        done = {"has_helped": self.has_helped, "has_opened": self.has_opened, "is_judged": self._is_judged}
        return super().state_dict() | done

    def load_state_dict(self, state: dict) -> None:
        """Go on with what remained."""
        self.has_helped = state.get("has_helped", False)
        self.has_opened, self._is_judged = state.get("has_opened", False), state.get("is_judged", False)
        super().load_state_dict(state)

    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        if self.helps_halfway and not self.has_helped and 0 < self.remaining <= self.steps // 2:
            is_lost = self._is_lost()
            self.has_opened = not (is_lost or self._is_judged) and is_faint(self._matrices())
            self.has_helped, self._is_judged = is_lost or self.has_opened, True
            if self.has_helped:
                self._change_all(parameters)
        if not self.remaining:
            self._change_all(parameters)

    def _matrices(self) -> list[Tensor]:
        return [matrix for each in self._weights() for matrix in each.matrices()]

    def _is_lost(self) -> bool:
        weights = [each.parameter for each in self._weights() if each.parameter.requires_grad]
        return is_underflow(weights) and not all(weight.any() for weight in weights if weight.numel())

    def _changed(self, matrix: Tensor) -> Tensor:
        plain = matrix / matrix.abs().max()  # the squares of 1e-25 would be zero
        whole = polar_factor(plain) if self.has_opened else self._shaped(plain)
        return whole * (self._strength * default_size(matrix) / whole.square().mean().sqrt())

    def _shaped(self, matrix: Tensor) -> Tensor:
        """Return a matrix whose size is still open."""
        return matrix


class WeightOrthogonal(WeightRescale):
    """Makes each layer's weight orthogonal after the last of the first ``steps`` updates, in the default's size.

    All directions that the weight has learned become about equally large. The iteration of ``EarlyMuon`` brings the
    singular values close to each other. The root mean square becomes ``strength`` times PyTorch's default,
    1 / sqrt(3 fan_in).

    No new directions are added, and a direction below about 0.003 of the norm stays smaller. A weight that is still
    zero stays zero.

    Source:
        This package; Saxe et al. 2014 (orthogonal starts), Jordan et al. 2024 (the iteration).
    """

    def _shaped(self, matrix: Tensor) -> Tensor:
        return orthogonalized(matrix)

    def _promise(self) -> str:
        return "weights are not made orthogonal"
