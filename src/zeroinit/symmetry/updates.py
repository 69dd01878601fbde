"""Update rules of the shadow training: small, in place, and blind to everything but the gradient."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, lookup

__all__ = ["LEARNING_RATES", "build_updates"]

LEARNING_RATES = {"adam": 1e-3, "sgd": 0.1}
"""Learning rate of each rule where the user names none."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
LARGE = 2**18
"""Values beyond which a parameter's moments are kept in float32."""


class PlainSGD:
    """``p -= learning_rate * gradient``."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float):
        self.parameters, self.learning_rate = list(parameters), learning_rate

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-self.learning_rate)


class SmallAdam:
    """Adam whose moments are kept only for parameters that have had a gradient, and in float32 for large ones.

    Equal gradients give equal updates all the same, and a large model in float64 needs half of the memory for them.

    Source:
        Kingma and Ba 2015, "Adam", algorithm 1.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float):
        self.parameters, self.learning_rate = list(parameters), learning_rate
        self.moments: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        self.steps: dict[nn.Parameter, int] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has, or has had, a gradient that is not zero."""
        for parameter in self.parameters:
            gradient = parameter.grad
            if gradient is None or (parameter not in self.moments and not gradient.any()):
                continue
            if parameter not in self.moments:
                dtype = torch.float32 if gradient.numel() > LARGE else gradient.dtype
                zeros = torch.zeros_like(gradient, dtype=dtype, memory_format=torch.preserve_format)
                self.moments[parameter] = zeros, zeros.clone()
                self.steps[parameter] = 0
            self._update(parameter, gradient)

    def _update(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        first, second = self.moments[parameter]
        self.steps[parameter] += 1
        count, (beta1, beta2) = self.steps[parameter], BETAS
        narrow = gradient.to(first.dtype)
        first.lerp_(narrow, 1 - beta1)
        second.mul_(beta2).addcmul_(narrow, narrow, value=1 - beta2)
        size = (second / (1 - beta2**count)).sqrt_().add_(EPSILON)
        parameter.add_(torch.div(first, size, out=size), alpha=-self.learning_rate / (1 - beta1**count))


RULES: dict[str, Callable] = {"adam": SmallAdam, "sgd": PlainSGD}


def build_updates(optimizer: str | Callable, learning_rate: float | None, parameters: Iterable[nn.Parameter]) -> Any:
    """Build what updates a shadow.

    Args:
        optimizer: A key of ``LEARNING_RATES``, or a function from parameters to a ``torch.optim.Optimizer``.
        learning_rate: That of ``LEARNING_RATES`` if ``None``; not used with a function.
        parameters: What is trained.

    Returns:
        Something with a method ``step``.

    Raises:
        InputError: An unknown name, a learning rate that is not positive, or a function whose result cannot step.
    """
    if learning_rate is not None and not learning_rate > 0:
        raise InputError(f"learning_rate={learning_rate}: must be greater than 0")
    if isinstance(optimizer, str):
        rule = lookup(RULES, optimizer, "optimizer")
        return rule(parameters, LEARNING_RATES[optimizer] if learning_rate is None else learning_rate)
    built = optimizer(list(parameters)) if callable(optimizer) else None
    if not callable(getattr(built, "step", None)):
        raise InputError(
            f"optimizer={optimizer!r}: must be one of {', '.join(sorted(RULES))}, or a function from a list of "
            "parameters to a torch optimizer"
        )
    return built
