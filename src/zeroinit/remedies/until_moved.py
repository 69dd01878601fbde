"""End the first updates early: after twice as many as every weight needs to leave zero."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from zeroinit._modules.layers import weights_of
from zeroinit.remedies.remedy import Remedy

__all__ = ["FEWEST_STEPS", "UntilMoved"]

FEWEST_STEPS = 10
"""The fewest updates to which the remedies are shortened."""


class UntilMoved(Remedy):
    """Ends the other remedies early: after twice as many updates as every weight needs to leave zero, at least 10.

    For zero weights. Each update lets gradients reach one layer more. So the longest chain of layers, measured along
    the shortest paths, decides how many updates all weights need. It has every layer of a plain network, and 7 of 54 in
    a ResNet-50.

    Say the last weights leave zero in update t, before half of ``steps``. Then the remedy is shortened to 2 (t + 1)
    steps, at least 10. Each remedy of the same ``Combination`` is shortened by the same factor. If a weight never
    leaves zero, nothing is shortened. Alone this remedy does nothing. Frozen weights do not count. With ``ReviveUnits``
    beside it, the units that it revived count, too.

    Attributes:
        only: The weights that count; all of the model if ``None``.

    Source:
        This package; Schicho 2023 (one layer more per update).

    Example:
        >>> from zeroinit import initialize_
        >>> from zeroinit.remedies import make_remedy
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> record = initialize_(model, "normal_bias")
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with make_remedy("until_moved+unit_signs", model, steps=100) as remedy:
        ...     for _ in range(2):
        ...         optimizer.zero_grad()
        ...         model(torch.rand(8, 4)).square().sum().backward()
        ...         optimizer.step()
        ...         print(remedy.remaining)
        99
        8
    """

    def _set_up(self) -> None:
        self.only: set[nn.Parameter] | None = None

    def _is_needed(self) -> bool:
        return bool(weights_of(self._model))

    @torch.no_grad()
    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        whole = self.steps
        needed = max(FEWEST_STEPS, 2 * (whole - self.remaining + 1))
        if needed >= whole:
            return  # there is nothing to shorten any more
        weights = [weight for weight in weights_of(self._model) if self.only is None or weight in self.only]
        have_moved = all(weight.any() for weight in weights if weight.requires_grad and weight.numel())
        if have_moved and not any(part._holds() for part in self._beside):
            for part in (self, *self._beside):
                part.shorten(needed, whole)
