"""Remedies that act on the optimizer during the first updates: its learning rate and its state.

They act on every optimizer that holds parameters of the model, for example on Muon and AdamW side by side.
"""

from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from zeroinit.remedies.remedy import Remedy

__all__ = ["MomentReset", "Warmup"]


class Warmup(Remedy):
    """Lets the learning rate rise linearly: at step t of the first ``steps`` it is multiplied by t / ``steps``.

    The learning rate is lowered only during each update and restored after it. So the factor multiplies with a schedule
    or with the warm-up of ``fit``.

    Source:
        Goyal et al. 2017, "Accurate, large minibatch SGD", arXiv:1706.02677.

    Example:
        >>> import torch
        >>> model = nn.Linear(1, 1, bias=False)
        >>> optimizer, before = torch.optim.SGD(model.parameters(), lr=1.0), model.weight.item()
        >>> with Warmup(model, steps=4):
        ...     model(torch.ones(1, 1)).sum().backward()
        ...     optimizer.step()
        >>> round(before - model.weight.item(), 4), optimizer.param_groups[0]["lr"]
        (0.25, 1.0)
    """

    def _set_up(self) -> None:
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
    """Clears the optimizer's state for the model's parameters, after the last of the first ``steps`` updates.

    Moments, momentum and Adam's count of steps start again, as with a new optimizer.

    Source:
        This package.
    """

    def _set_up(self) -> None:
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
