"""Noise on the gradients of the parameters during the first updates."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from zeroinit.remedies.remedy import Remedy

__all__ = ["GradientNoise"]


class GradientNoise(Remedy):
    """Adds normal noise to the gradient of each parameter, ``strength`` times as large as the gradient.

    The standard deviation of the noise is ``strength`` times the root mean square of the gradient. So a gradient of
    zeros stays zero. Noise is added in every backward pass of the first ``steps`` updates, also when you accumulate
    gradients over several passes.

    Source:
        Neelakantan et al. 2015, "Adding gradient noise improves learning for very deep networks", arXiv:1511.06807.

    Example:
        >>> model = torch.nn.Linear(1, 4, bias=False)
        >>> with GradientNoise(model, steps=10):
        ...     model(torch.ones(1, 1)).sum().backward()
        >>> len(model.weight.grad.unique())
        4
    """

    default_strength = 1.0
    draws = True

    def _hook_late(self) -> Sequence[RemovableHandle]:
        trained = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        return [parameter.register_hook(self._add_noise) for parameter in trained]

    def _add_noise(self, gradient: Tensor) -> Tensor:
        noise = torch.randn(gradient.shape, generator=self._generator, device=self._generator.device).to(gradient)
        return gradient + self._strength * gradient.square().mean().sqrt() * noise
