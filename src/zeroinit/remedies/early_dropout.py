"""Dropout during the first steps, of single elements or of whole channels."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from zeroinit.remedies.activations import EVERY_ELEMENT, ActivationRemedy, kept, mask_shape
from zeroinit.remedies.remedy import check_strength, fresh_generator

__all__ = ["EarlyDropout", "early_channel_dropout", "early_dropout"]


class EarlyDropout(ActivationRemedy):
    """Multiplies the input of weight layers by random masks of mean 1; see ``early_dropout``."""

    def __init__(
        self, model: nn.Module, steps: int, strength: float, per: Collection[str], generator: torch.Generator | None
    ):
        super().__init__(model, steps, fresh_generator(generator))
        self._drop = check_strength(strength, below=1)
        self._per = per

    def _change(self, site: nn.Module, inputs: Tensor) -> Tensor:
        assert self._generator is not None
        return inputs * kept(mask_shape(site, inputs, self._per), self._drop, self._generator, inputs)


def early_dropout(
    model: nn.Module, steps: int, *, strength: float = 0.5, generator: torch.Generator | None = None
) -> EarlyDropout:
    """Drop each element that enters a weight layer with probability ``strength``; scale the others by 1 / (1 - it).

    Every example and unit has a mask of its own, fresh at each step, which tells identical units apart.

    Args:
        model: As of ``Remedy``, likewise ``steps``.
        steps: The number of training passes.
        strength: The probability, in [0, 1).
        generator: Where the masks come from; a fresh one with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        Liu et al. 2023, "Dropout reduces underfitting" (early dropout), arXiv:2303.01500.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> with early_dropout(model, steps=10) as remedy:
        ...     output = model(torch.ones(4, 2))
        >>> len(output.unique(dim=0)) > 1, remedy.remaining
        (True, 9)
    """
    return EarlyDropout(model, steps, strength, EVERY_ELEMENT, generator)


def early_channel_dropout(
    model: nn.Module, steps: int, *, strength: float = 0.5, generator: torch.Generator | None = None
) -> EarlyDropout:
    """Drop whole channels that enter a weight layer, for each example on its own; else as ``early_dropout``.

    For inputs (examples, units) it is the same as ``early_dropout``.

    Args:
        model: As of ``Remedy``, likewise ``steps``.
        steps: The number of training passes.
        strength: The probability, in [0, 1).
        generator: Where the masks come from; a fresh one with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        Tompson et al. 2015, "Efficient object localization" (spatial dropout); Liu et al. 2023, arXiv:2303.01500.
    """
    return EarlyDropout(model, steps, strength, ("example", "unit"), generator)
