"""Draw zero weights that keep each other's gradient at zero, and name weights that never move."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from zeroinit.remedies.remedy import Remedy, RemedyWarning, fresh_generator, no_strength
from zeroinit.remedies.weights import Weight, weights_of

__all__ = ["DrawStuck", "draw_stuck"]

PATIENCE = 3
"""Number of updates without any parameter leaving zero, after which zero weights count as stuck."""


class DrawStuck(Remedy):
    """Draws zero weights whose gradient stays exactly zero; see ``draw_stuck``.

    Attributes:
        only: The weights that the remedy watches; all of the model if ``None``.
        kept: Watched weights that it never draws.
        offsets: Biases and norms' beta by name that it may turn positive, for rectifiers; none by itself.
        drawn: Names of the weights that it has drawn.
        turned: Names of offsets of which it has turned some positive.
        unmoved: Names of the weights that had not moved after the last update, each with the reason.
    """

    def __init__(self, model: nn.Module, steps: int, generator: torch.Generator | None):
        super().__init__(model, steps, fresh_generator(generator))
        self.only: set[nn.Parameter] | None = None
        self.kept: set[nn.Parameter] = set()
        self.offsets: dict[str, nn.Parameter] = {}
        self.drawn: list[str] = []
        self.turned: list[str] = []
        self.unmoved: dict[str, str] = {}
        self._zero: list[str] | None = None
        self._num_still = 0

    def state_dict(self) -> dict:
        """Return the state, with what was drawn and the number of updates in which nothing has moved."""
        told = {"drawn": self.drawn, "turned": self.turned}
        return super().state_dict() | told | {"zero": self._zero, "num_still": self._num_still}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a saved state."""
        self.drawn, self.turned = list(state["drawn"]), list(state["turned"])
        self._zero, self._num_still = state["zero"], state["num_still"]
        super().load_state_dict(state)

    def _is_needed(self) -> bool:
        return bool(self._weights())

    def _weights(self) -> list[Weight]:
        found = weights_of(self._model).values()
        return [each for each in found if each.parameter.numel() and (self.only is None or each.parameter in self.only)]

    @torch.no_grad()
    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        own = dict(self._model.named_parameters())
        names = own if self._zero is None else self._zero
        zero = [name for name in names if name in own and own[name].requires_grad and not own[name].any()]
        self._num_still = self._num_still + 1 if zero == self._zero else 0
        self._zero = zero
        if self._num_still >= PATIENCE and not self._is_underflow():
            stuck = [weight for weight in self._weights() if self._is_stuck(weight)]
            self._draw(stuck)
            if stuck:
                self._turn_offsets()
            self._num_still = 0
        if not self.remaining:
            self._check(parameters)

    def _is_underflow(self) -> bool:
        """Whether gradients underflow in a chain of small weights; they grow again with the weights."""
        for weight in self._weights():
            if weight.parameter.grad is not None:
                largest = weight.parameter.grad.abs().max()
                if 0 < largest < torch.finfo(largest.dtype).tiny ** 0.5:
                    return True
        return False

    def _is_stuck(self, weight: Weight) -> bool:
        gradient = weight.parameter.grad
        return bool(gradient is not None and not gradient.any() and not weight.parameter.any())

    def _draw(self, stuck: Sequence[Weight]) -> None:
        assert self._generator is not None
        for weight in stuck:
            if weight.parameter in self.kept:
                continue
            for matrix in weight.matrices():
                bound = matrix[0].numel() ** -0.5
                drawn = torch.rand(matrix.shape, generator=self._generator, device=self._generator.device)
                matrix.copy_(drawn.mul_(2 * bound).sub_(bound))
            self.drawn.append(weight.name)

    def _turn_offsets(self) -> None:
        """Turn offsets positive that have no gradient: with zero weights a rectifier cuts off each negative one."""
        for name, offset in self.offsets.items():
            if offset.grad is None:
                continue
            is_cut = (offset.grad == 0) & (offset < 0)
            if is_cut.any():
                offset.copy_(torch.where(is_cut, -offset, offset))
                self.turned.append(name)

    def _check(self, parameters: set[nn.Parameter]) -> None:
        still = [weight for weight in self._weights() if self._is_still(weight)]
        self.unmoved = {weight.name: _reason(weight.parameter, parameters) for weight in still}
        if self.unmoved:
            warnings.warn(unmoved_text(self.unmoved, self.steps), RemedyWarning, stacklevel=2)

    def _is_still(self, weight: Weight) -> bool:
        """Whether a weight is zero, or was drawn and still has a zero gradient."""
        gradient = weight.parameter.grad
        has_signal = gradient is None or bool(gradient.any())
        return not weight.parameter.any() or (weight.name in self.drawn and not has_signal)


def _reason(parameter: nn.Parameter, updated: set[nn.Parameter]) -> str:
    if not parameter.requires_grad:
        return "is frozen"
    if parameter.grad is None and parameter not in updated:
        return "has no gradient"
    return "has a gradient of zero" if parameter in updated else "is in no optimizer"


def unmoved_text(unmoved: dict[str, str], steps: int) -> str:
    """Say which weights have not moved, why, and what to do."""
    names = ", ".join(f"{name!r} ({reason})" for name, reason in list(unmoved.items())[:5])
    more = f" and {len(unmoved) - 5} more" if len(unmoved) > 5 else ""
    count = f"{len(unmoved)} weights do" if len(unmoved) > 1 else "1 weight does"
    them = "them" if len(unmoved) > 1 else "it"
    layer = next(iter(unmoved)).rpartition(".")[0]
    return (
        f"{count} not move in the first {steps} updates: {names}{more}; check that the loss depends on {them} and that "
        f"the optimizer holds {them}, or draw {them}: zeroinit.initialize_(model, 'pytorch', include={layer!r})"
    )


def draw_stuck(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> DrawStuck:
    """Draw zero weights that cannot leave zero as PyTorch's default does, and warn of weights that do not move.

    If two factors of a product are both zero, each keeps the other's gradient at zero. Examples are a bias-free layer
    with a zero scale after it, and LoRA's two matrices. The remedy acts if no parameter leaves zero in three updates.
    Then each dense or convolutional weight that is zero, with a gradient of exactly zero, gets PyTorch's default. The
    remedy does not draw while gradients elsewhere are so small that rounding loses them. After the last update a
    warning names the weights that did not move.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Source of the weights; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Warns:
        RemedyWarning: A weight has not moved after the last update.

    Source:
        This package.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False))
        >>> _ = [nn.init.zeros_(parameter) for parameter in model.parameters()]
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with draw_stuck(model, steps=10) as remedy:
        ...     for _ in range(10):
        ...         optimizer.zero_grad()
        ...         (1 - model(torch.ones(1, 4))).square().sum().backward()
        ...         optimizer.step()
        >>> remedy.drawn
        ['0.weight', '1.weight']
    """
    no_strength("draw_stuck", strength)
    return DrawStuck(model, steps, generator)
