"""Make weights orthonormal twice during the first updates, so that signals cross a deep network."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from zeroinit.remedies.weight_rescale import WeightRemedy
from zeroinit.remedies.weight_sizes import polar_factor

__all__ = ["WeightOrthonormal"]


class WeightOrthonormal(WeightRemedy):
    """Makes each layer's weight orthonormal after half of the first ``steps`` updates, and after the last.

    All singular values become equal, however small they were. The root mean square becomes ``strength`` / sqrt(fan_in);
    with ``strength`` 1 a layer then keeps the size of its input.

    Until half-way, the layers of a deep network see almost constant inputs. After the first change, signals cross the
    network, and weights learn directions from these signals. The second change makes these directions equally large.
    With one step, weights are changed once.

    A weight that is still zero stays zero. No new directions are added. The cost is one singular value decomposition
    per layer and change.

    Source:
        This package; Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks" (orthogonal starts); LeCun et al. 1998 (the size).

    Example:
        >>> import torch
        >>> model = nn.Linear(4, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with WeightOrthonormal(model, steps=1):
        ...     model(torch.eye(4)).square().sum().backward()
        ...     optimizer.step()
        >>> torch.allclose(model.weight @ model.weight.T, torch.eye(2), atol=1e-6)
        True
    """

    def _set_up(self) -> None:
        super()._set_up()
        self._halfway_at: int | None = None

    def state_dict(self) -> dict:
        """Return the state, with the update at which the remedy acted half-way."""
        return super().state_dict() | {"halfway_at": self._halfway_at}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a saved state."""
        self._halfway_at = state["halfway_at"]
        super().load_state_dict(state)

    def _is_due(self) -> bool:
        """Whether this update is the last, or the first one from half-way on, of however many optimizers."""
        if self.remaining > self.steps // 2:
            return False
        if self.remaining and self._halfway_at is None:
            self._halfway_at = self.remaining
        return self.remaining in (0, self._halfway_at)

    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        if self._is_due():
            self._change_all(parameters)

    def _changed(self, matrix: Tensor) -> Tensor:
        factor = polar_factor(matrix)
        return factor * (self._strength * matrix[0].numel() ** -0.5 / factor.square().mean().sqrt())

    def _promise(self) -> str:
        return "weights are not made orthonormal"
