"""Draw zero weights that keep each other's gradient at zero; name weights that never move."""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from zeroinit._common import derive_seed
from zeroinit._modules.layers import Weight, weights_of
from zeroinit.remedies.remedy import Remedy, RemedyWarning

__all__ = ["DrawStuck", "is_underflow"]

PATIENCE = 3
"""After so many updates in which nothing leaves zero, zero weights count as stuck."""


class DrawStuck(Remedy):
    """Gives PyTorch's default to zero weights that cannot leave zero, and warns of weights that do not move.

    Of two factors that are both zero, each keeps the other's gradient at zero. Examples are a layer without a bias and
    the scale behind it, or LoRA's two matrices. If nothing in the model leaves zero for three updates, this remedy
    draws every dense or convolutional weight that is zero and has a gradient of exactly zero. It waits while gradients
    elsewhere are so small that rounding loses them. After the last update, a ``RemedyWarning`` names the weights that
    did not move.

    Attributes:
        only: The weights that the remedy watches; all of the model if ``None``.
        kept: The watched weights that it never draws.
        drawn: Names of those that it has drawn.
        unmoved: Names of those that had not moved after the last update, each with the reason.

    Source:
        This package.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False))
        >>> _ = [nn.init.zeros_(parameter) for parameter in model.parameters()]
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with DrawStuck(model, steps=10) as remedy:
        ...     for _ in range(10):
        ...         optimizer.zero_grad()
        ...         (1 - model(torch.ones(1, 4))).square().sum().backward()
        ...         optimizer.step()
        >>> remedy.drawn
        ['0.weight', '1.weight']
    """

    draws = True

    def _set_up(self) -> None:
        self.only: set[nn.Parameter] | None = None
        self.kept: set[nn.Parameter] = set()
        self.drawn: list[str] = []
        self.unmoved: dict[str, str] = {}
        self._zero: list[str] | None = None
        self._num_still = 0

    def state_dict(self) -> dict:
        """Return what remains, what was drawn, and for how long nothing has moved."""
        return super().state_dict() | {"drawn": self.drawn, "zero": self._zero, "num_still": self._num_still}

    def load_state_dict(self, state: dict) -> None:
        """Go on from there."""
        self.drawn, self._zero, self._num_still = list(state["drawn"]), state["zero"], state["num_still"]
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
        if self._num_still >= PATIENCE and not is_underflow(weight.parameter for weight in self._weights()):
            self._draw()
            self._num_still = 0
        if not self.remaining:
            self._check(optimizers, parameters)

    def _draw(self) -> None:
        for weight in self._weights():
            gradient = weight.parameter.grad
            if weight.parameter in self.kept or weight.parameter.any() or gradient is None or gradient.any():
                continue
            source = self._source(weight.name)
            for matrix in weight.matrices():
                bound = matrix[0].numel() ** -0.5
                drawn = torch.rand(matrix.shape, generator=source, device=source.device)
                matrix.copy_(drawn.mul_(2 * bound).sub_(bound))
            self.drawn.append(weight.name)

    def _source(self, name: str) -> torch.Generator:
        """Return where the values of a weight come from; in data-parallel training the same in every process."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.Generator().manual_seed(derive_seed(0, name))
        return self._generator

    def _check(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        still = [weight for weight in self._weights() if self._is_still(weight)]
        rates = learning_rates(optimizers)
        self.unmoved = {each.name: _reason(each.parameter, parameters, rates) for each in still}
        if self.unmoved:
            warnings.warn(unmoved_text(self.unmoved, self.steps), RemedyWarning, stacklevel=2)

    def _is_still(self, weight: Weight) -> bool:
        """Whether a weight is zero, or where it was drawn has no signal either."""
        gradient = weight.parameter.grad
        has_signal = gradient is None or bool(gradient.any())
        return not weight.parameter.any() or (weight.name in self.drawn and not has_signal)


def is_underflow(weights: Iterable[nn.Parameter]) -> bool:
    """Tell whether small weights make gradients vanish on their way down. Gradients come back as weights grow.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([0.0, 1e-30])
        >>> is_underflow([weight])
        True
    """
    for weight in weights:
        if weight.grad is not None and weight.grad.numel():
            largest = weight.grad.abs().max()
            if 0 < largest < torch.finfo(largest.dtype).tiny ** 0.5:
                return True
    return False


def learning_rates(optimizers: Iterable[Optimizer]) -> dict[nn.Parameter, float]:
    """Return the largest learning rate that any optimizer has for each of its parameters.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2))
        >>> list(learning_rates([torch.optim.SGD([weight], lr=0.5)]).values())
        [0.5]
    """
    found: dict[nn.Parameter, float] = {}
    for group in [group for optimizer in optimizers for group in optimizer.param_groups if "lr" in group]:
        for parameter in group["params"]:
            found[parameter] = max(found.get(parameter, 0.0), float(group["lr"]))
    return found


def _reason(parameter: nn.Parameter, updated: set[nn.Parameter], rates: dict[nn.Parameter, float]) -> str:
    if not parameter.requires_grad:
        return "is frozen"
    if rates.get(parameter) == 0:
        return "has a learning rate of zero"
    if parameter.grad is None and parameter not in updated:
        return "has no gradient"
    if parameter not in updated:
        return "is in no optimizer"
    has_signal = parameter.grad is not None and bool(parameter.grad.any())
    return "has a gradient, but the optimizer does not change it" if has_signal else "has a gradient of zero"


def unmoved_text(unmoved: dict[str, str], steps: int) -> str:
    """Say which weights have not moved, why, and what to do."""
    names = ", ".join(f"{name!r} ({reason})" for name, reason in list(unmoved.items())[:5])
    more = f" and {len(unmoved) - 5} more" if len(unmoved) > 5 else ""
    count = f"{len(unmoved)} weights do" if len(unmoved) > 1 else "1 weight does"
    them = "them" if len(unmoved) > 1 else "it"
    layer = next(iter(unmoved)).rpartition(".")[0]
    return (
        f"{count} not move in the first {steps} updates: {names}{more}; check that the loss depends on {them} and that "
        f"the optimizer holds {them} with a learning rate above 0, or draw {them}: "
        f"zeroinit.initialize_(model, 'pytorch', include={layer!r})"
    )
