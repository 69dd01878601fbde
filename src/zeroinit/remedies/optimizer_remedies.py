"""Remedies that act on the optimizer during the first updates: its learning rate and its state.

They act on every optimizer that holds parameters of the model, for example on Muon and AdamW side by side.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from zeroinit.remedies.remedy import Remedy, no_strength

__all__ = ["MomentReset", "Warmup", "moment_reset", "warmup"]


class Warmup(Remedy):
    """Lowers the learning rate for the duration of each step; see ``warmup``."""

    def __init__(self, model: nn.Module, steps: int):
        super().__init__(model, steps)
        self._lowered: list[tuple[dict, object]] = []

    def _before_step(self, optimizer: Optimizer, is_late: bool) -> None:
        self._restore()
        number = self.steps - self.remaining + (not is_late)
        if number > self.steps:
            return
        own = set(self._model.parameters())
        for group in optimizer.param_groups:
            if not own.isdisjoint(group["params"]):
                self._lowered.append((group, group["lr"]))
                group["lr"] = group["lr"] * number / self.steps

    def _after_step(self, optimizer: Optimizer) -> None:
        self._restore()

    def _take_off(self) -> None:
        self._restore()
        super()._take_off()

    def _restore(self) -> None:
        for group, learning_rate in self._lowered:
            group["lr"] = learning_rate
        self._lowered = []


class MomentReset(Remedy):
    """Clears the state of optimizers; see ``moment_reset``."""

    def __init__(self, model: nn.Module, steps: int):
        super().__init__(model, steps)
        self._is_done = False

    def _after_update(self, optimizers: Sequence[Optimizer], parameters: set[nn.Parameter]) -> None:
        if self.remaining:
            return
        own = set(self._model.parameters())
        for optimizer in optimizers:
            for parameter in [each for each in optimizer.state if each in own]:
                del optimizer.state[parameter]
        self._is_done = bool(optimizers) or self._is_done

    def _undone(self) -> str:
        return "the optimizer keeps its moments"

    def _failed(self) -> str | None:
        if self._is_done:
            return None
        return (
            "moments are not reset: you update the parameters by hand, not with an optimizer of torch; clear the state "
            "that your update rule keeps"
        )


def warmup(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> Warmup:
    """Let the learning rate rise linearly: at step t of the first ``steps`` it is multiplied by t / ``steps``.

    The learning rate is lowered only during each update and restored after it. So the factor multiplies with a schedule
    or with the warm-up of ``fit``.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Not used: nothing is drawn.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        Goyal et al. 2017, "Accurate, large minibatch SGD", arXiv:1706.02677.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> optimizer, before = torch.optim.SGD(model.parameters(), lr=1.0), model.weight.item()
        >>> with warmup(model, steps=4):
        ...     model(torch.ones(1, 1)).sum().backward()
        ...     optimizer.step()
        >>> round(before - model.weight.item(), 4), optimizer.param_groups[0]["lr"]
        (0.25, 1.0)
    """
    no_strength("warmup", strength)
    return Warmup(model, steps)


def moment_reset(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> MomentReset:
    """Clear the optimizer's state for the model's parameters, after the last of the first ``steps`` updates.

    Moments, momentum and Adam's count of steps start again, as with a new optimizer.

    Args:
        model: The model that is trained.
        steps: The number of updates.
        strength: Not used: this remedy takes none.
        generator: Not used: nothing is drawn.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        This package.
    """
    no_strength("moment_reset", strength)
    return MomentReset(model, steps)
