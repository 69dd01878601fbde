"""The user's own optimizer: its class, groups and rates train the copy, and its gaps are known."""

import copy
import inspect
from collections import defaultdict
from typing import Any

import torch
from torch import nn

__all__ = ["OwnOptimizer"]

WARM = 0.01
"""A rate below this share of the one that a schedule started from is one of its ends, not a fault."""


class OwnOptimizer:
    """Builds optimizers for copies of a model: like the user's own optimizer, but without its state.

    Args:
        optimizer: The user's own; it stays as it is.
        model: The user's own, too.

    Attributes:
        held: The learning rate of each trained parameter that the optimizer holds, by name.
        rates: Learning rates of everything that it holds, by identity. Where a schedule warms up from zero, the rate
            that it warms up to.
        kind: Its class.
        replaced: Whether Adam takes its place, because each of its updates calls the loss by itself.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> own = OwnOptimizer(torch.optim.SGD([model.weight], lr=0.5), model)
        >>> own.held
        {'weight': 0.5}
    """

    def __init__(self, optimizer: torch.optim.Optimizer, model: nn.Module):
        self.replaced = _needs_closure(optimizer)
        self.__name__ = f"Adam in place of {type(optimizer).__name__}" if self.replaced else type(optimizer).__name__
        self._optimizer, self.kind = optimizer, type(optimizer)
        trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        self._positions = {id(each): at for at, (_, each) in enumerate(trained)}
        self.rates = {id(each): _rate(group) for group in optimizer.param_groups for each in group["params"]}
        self.held = {name: self.rates[id(each)] for name, each in trained if id(each) in self.rates}

    def __call__(self, parameters: list[nn.Parameter]) -> Any:
        """Return an optimizer of the same class and settings for the parameters of a copy."""
        if self.replaced:
            return torch.optim.Adam([parameters[at] for each, at in self._positions.items() if each in self.rates])
        groups = []
        for group in self._optimizer.param_groups:
            chosen = [parameters[self._positions[id(each)]] for each in group["params"] if id(each) in self._positions]
            groups.append({**group, "params": chosen, "lr": _rate(group)})
        copied = copy.copy(self._optimizer)
        copied.param_groups, copied.state = groups, defaultdict(dict)
        return copied


def _needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _rate(group: dict[str, Any]) -> float:
    """Return a group's learning rate; where a schedule has brought it near zero, the rate that it goes up to."""
    rate, peak = float(group.get("lr", 1.0)), float(group.get("initial_lr", 0.0))
    return peak if rate < WARM * peak else rate
