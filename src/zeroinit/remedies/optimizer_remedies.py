"""Remedies on the optimizer's side: what it is told, keeps or does during the first steps.

They find the optimizer by torch's hooks on the steps of all optimizers, and act on those that hold parameters of the
model, in each step that follows a training pass: Muon and AdamW side by side as one. Their hooks go when the first
training pass after the phase begins, or on leaving.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from zeroinit.remedies.remedy import Remedy, no_strength

__all__ = ["MomentReset", "OptimizerRemedy", "Warmup", "moment_reset", "warmup"]


class OptimizerRemedy(Remedy):
    """Is called before and after each update of the model's parameters that follows a training pass."""

    def _hook_after(self, output: object) -> Sequence[RemovableHandle]:
        return [
            register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: self._before_update(optimizer)),
            register_optimizer_step_post_hook(lambda optimizer, args, kwargs: self._after_update(optimizer)),
        ]

    def _groups(self, optimizer: Optimizer) -> list[tuple[dict, list[nn.Parameter]]]:
        """List the groups of an optimizer that hold parameters of the model, and these."""
        own = set(self._model.parameters())
        found = [(group, [each for each in group["params"] if each in own]) for group in optimizer.param_groups]
        return [(group, parameters) for group, parameters in found if parameters]

    def _before_update(self, optimizer: Optimizer) -> None:
        """An optimizer, perhaps of another model, is about to update its parameters."""

    def _after_update(self, optimizer: Optimizer) -> None:
        """It has done so."""


class Warmup(OptimizerRemedy):
    """Lowers the learning rate for the duration of each update; see ``warmup``."""

    def __init__(self, model: nn.Module, steps: int):
        super().__init__(model, steps)
        self._lowered: list[tuple[dict, object]] = []

    def _before_update(self, optimizer: Optimizer) -> None:
        self._leave()
        for group, _ in self._groups(optimizer):
            self._lowered.append((group, group["lr"]))
            group["lr"] = group["lr"] * (self.steps - self.remaining) / self.steps

    def _after_update(self, optimizer: Optimizer) -> None:
        self._leave()

    def _leave(self) -> None:
        for group, learning_rate in self._lowered:
            group["lr"] = learning_rate
        self._lowered = []


class MomentReset(OptimizerRemedy):
    """Clears the state of optimizers; see ``moment_reset``."""

    def _after_update(self, optimizer: Optimizer) -> None:
        if not self.remaining:
            for _, parameters in self._groups(optimizer):
                for parameter in parameters:
                    optimizer.state.pop(parameter, None)


def warmup(
    model: nn.Module, steps: int, *, strength: float | None = None, generator: torch.Generator | None = None
) -> Warmup:
    """Let the learning rate rise linearly: at step t of the first ``steps`` it is multiplied by t / ``steps``.

    It is lowered during each update alone and as it was at any other time, so that a schedule or the warm-up of ``fit``
    multiplies with it.

    Args:
        model: As of ``Remedy``, likewise ``steps``.
        steps: The number of training passes.
        strength: It has none.
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
    """Clear what the optimizer keeps of the model's parameters, after the update of the last of the first ``steps``.

    Moments, momentum and Adam's count of steps begin anew, as with a fresh optimizer.

    Args:
        model: As of ``Remedy``, likewise ``steps``.
        steps: The number of training passes.
        strength: It has none.
        generator: Not used: nothing is drawn.

    Raises:
        InputError: ``steps`` is out of range, or a strength is given.

    Source:
        This package.
    """
    no_strength("moment_reset", strength)
    return MomentReset(model, steps)
