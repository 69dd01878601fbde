"""Dropout during the first updates, of single elements or of whole channels."""

import warnings
from collections import deque
from collections.abc import Collection
from typing import ClassVar

from torch import Tensor, nn

from zeroinit.remedies.activations import EVERY_ELEMENT, ActivationRemedy, kept, mask_shape
from zeroinit.remedies.remedy import RemedyWarning

__all__ = ["EarlyChannelDropout", "EarlyDropout"]

MOST_CALLS = 64
"""Calls of one layer in one update whose masks activation checkpointing can draw again."""


class EarlyDropout(ActivationRemedy):
    """Drops each element that enters a weight layer with probability p, the strength; scales the others by 1 / (1 - p).

    Every example and unit has its own mask, new at each step. So identical units get different updates.

    Source:
        Liu et al. 2023, "Dropout reduces underfitting" (early dropout), arXiv:2303.01500.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> with EarlyDropout(model, steps=10):
        ...     output = model(torch.ones(4, 2))
        >>> len(output.unique(dim=0)) > 1
        True
    """

    default_strength = 0.5
    below = 1
    per: ClassVar[Collection[str]] = EVERY_ELEMENT

    def _set_up(self) -> None:
        super()._set_up()
        self._states: dict[nn.Module, deque[Tensor]] = {}
        self._is_told = False

    def _change(self, site: nn.Module, inputs: Tensor) -> Tensor:
        self._states.setdefault(site, deque(maxlen=MOST_CALLS)).append(self._generator.get_state())
        return inputs * kept(mask_shape(site, inputs, self.per), self._strength, self._generator, inputs)

    def _change_again(self, site: nn.Module, inputs: Tensor) -> Tensor:
        """Draw the mask of the first call again, if the first call drew one."""
        if not self._states.get(site):
            self._tell(site)
            return inputs
        now = self._generator.get_state()
        self._generator.set_state(self._states[site].pop())
        changed = inputs * kept(mask_shape(site, inputs, self.per), self._strength, self._generator, inputs)
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
                f"{self.key()} has no effect on {self._sites[site] or 'the model'!r}: activation checkpointing with "
                "use_reentrant=True hides that the layer's input carries a gradient; pass use_reentrant=False to "
                "torch.utils.checkpoint",
                RemedyWarning,
                stacklevel=2,
            )


class EarlyChannelDropout(EarlyDropout):
    """Drops whole channels that enter a weight layer, separately for each example; otherwise as ``EarlyDropout``.

    For inputs (examples, units) the two remedies are equal.

    Source:
        Tompson et al. 2015, "Efficient object localization" (spatial dropout); Liu et al. 2023, arXiv:2303.01500.
    """

    per = ("example", "unit")
