"""Dropout during the first steps, of single elements or of whole channels."""

import warnings
from collections import deque
from collections.abc import Collection

import torch
from torch import Tensor, nn

from zeroinit.remedies.activations import EVERY_ELEMENT, ActivationRemedy, kept, mask_shape
from zeroinit.remedies.remedy import RemedyWarning, check_strength, fresh_generator

__all__ = ["EarlyDropout", "early_channel_dropout", "early_dropout"]

MOST_CALLS = 64
"""Calls of one layer in one update whose masks activation checkpointing can draw again."""


class EarlyDropout(ActivationRemedy):
    """Multiplies the input of weight layers by random masks of mean 1; see ``early_dropout``."""

    def __init__(
        self, model: nn.Module, steps: int, strength: float, per: Collection[str], generator: torch.Generator | None
    ):
        super().__init__(model, steps, fresh_generator(generator))
        self._drop = check_strength(strength, below=1)
        self._per = per
        self._states: dict[nn.Module, deque[Tensor]] = {}
        self._is_told = False

    def _change(self, site: nn.Module, inputs: Tensor) -> Tensor:
        assert self._generator is not None
        self._states.setdefault(site, deque(maxlen=MOST_CALLS)).append(self._generator.get_state())
        return inputs * kept(mask_shape(site, inputs, self._per), self._drop, self._generator, inputs)

    def _change_again(self, site: nn.Module, inputs: Tensor) -> Tensor:
        """Draw the mask of the first call again, if the first call drew one."""
        assert self._generator is not None
        if not self._states.get(site):
            self._tell(site)
            return inputs
        now = self._generator.get_state()
        self._generator.set_state(self._states[site].pop())
        changed = inputs * kept(mask_shape(site, inputs, self._per), self._drop, self._generator, inputs)
        self._generator.set_state(now)
        return changed

    def _end_update(self) -> None:
        self._states.clear()
        super()._end_update()

    def _tell(self, site: nn.Module) -> None:
        """Warn once that the first call of a layer did not show that its input carries a gradient."""
        if not self._is_told:
            self._is_told = True
            warnings.warn(
                f"early dropout has no effect on {self._sites[site] or 'the model'!r}: activation checkpointing with "
                "use_reentrant=True hides that the layer's input carries a gradient; pass use_reentrant=False to "
                "torch.utils.checkpoint",
                RemedyWarning,
                stacklevel=2,
            )


def early_dropout(
    model: nn.Module, steps: int, *, strength: float = 0.5, generator: torch.Generator | None = None
) -> EarlyDropout:
    """Drop each element that enters a weight layer with probability p = ``strength``; scale the others by 1 / (1 - p).

    Every example and unit has its own mask, new at each step. So identical units get different updates.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: The probability, in [0, 1).
        generator: Source of the masks; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        Liu et al. 2023, "Dropout reduces underfitting" (early dropout), arXiv:2303.01500.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> with early_dropout(model, steps=10):
        ...     output = model(torch.ones(4, 2))
        >>> len(output.unique(dim=0)) > 1
        True
    """
    return EarlyDropout(model, steps, strength, EVERY_ELEMENT, generator)


def early_channel_dropout(
    model: nn.Module, steps: int, *, strength: float = 0.5, generator: torch.Generator | None = None
) -> EarlyDropout:
    """Drop whole channels that enter a weight layer, separately for each example; otherwise as ``early_dropout``.

    For inputs (examples, units) the two remedies are equal.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: The probability, in [0, 1).
        generator: Source of the masks; a new generator with seed 0 if ``None``.

    Raises:
        InputError: ``steps`` or ``strength`` is out of range.

    Source:
        Tompson et al. 2015, "Efficient object localization" (spatial dropout); Liu et al. 2023, arXiv:2303.01500.
    """
    return EarlyDropout(model, steps, strength, ("example", "unit"), generator)
