"""Noise on the gradients of the parameters during the first steps."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from zeroinit.remedies.remedy import Remedy, check_strength, fresh_generator

__all__ = ["GradientNoise", "gradient_noise"]


class GradientNoise(Remedy):
    """Adds noise to the gradient of each parameter; see ``gradient_noise``."""

    def __init__(self, model: nn.Module, steps: int, strength: float, generator: torch.Generator | None):
        super().__init__(model, steps, fresh_generator(generator))
        self._strength = check_strength(strength, below=math.inf)

    def _hook_late(self) -> Sequence[RemovableHandle]:
        return [
            parameter.register_hook(self._add_noise)
            for parameter in self._model.parameters()
            if parameter.requires_grad
        ]

    def _add_noise(self, gradient: Tensor) -> Tensor:
        assert self._generator is not None
        noise = torch.randn(gradient.shape, generator=self._generator, device=self._generator.device).to(gradient)
        return gradient + self._strength * gradient.square().mean().sqrt() * noise


def gradient_noise(
    model: nn.Module, steps: int, *, strength: float = 1.0, generator: torch.Generator | None = None
) -> GradientNoise:
    """Add normal noise to the gradient of each parameter, ``strength`` times as large as the gradient.

    The standard deviation of the noise is ``strength`` times the root mean square of the gradient. So a gradient of
    zeros stays zero. Noise is added in every backward pass of the first ``steps`` updates, also when you accumulate
    gradients over several passes.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: At least 0.
        generator: Source of the noise; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        Neelakantan et al. 2015, "Adding gradient noise improves learning for very deep networks", arXiv:1511.06807.

    Example:
        >>> model = nn.Linear(1, 4, bias=False)
        >>> with gradient_noise(model, steps=10):
        ...     model(torch.ones(1, 1)).sum().backward()
        >>> len(model.weight.grad.unique())
        4
    """
    return GradientNoise(model, steps, strength, generator)
