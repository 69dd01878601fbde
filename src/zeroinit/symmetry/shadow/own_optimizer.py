"""The user's own optimizer: its class, groups and rates train the copy, and its gaps are known."""

import copy
import inspect
import re
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from zeroinit._modules.sharded import num_processes

__all__ = ["OwnOptimizer", "over_copies", "stand_in"]

KNOWN = ("torch.optim", "zeroinit.", "accelerate.optimizer", "lightning.", "pytorch_lightning.")
"""Where the optimizers lie whose step calls no other process, and the wrappers whose inner one is looked at."""

REFUSES_NONE = re.compile(r"assert closure( is not None)?\b|if closure is None:\s+raise|if not closure:\s+raise")
"""How a step says that it has to be given a closure, as that of sharpness-aware minimization."""
WARM = 0.01
"""A rate below this share of the one that a schedule started from is one of its ends, not a fault."""


WARMS_UP = "the optimizer's learning rate is where a schedule starts; the one that it warms up to was taken"
MAXIMIZES = "the optimizer has maximize=True: the loss rises"


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
        notes: What else is to be known of it.
        slip: What looks like a slip in its groups, as a sentence.
        replaced: Whether Adam takes its place, because each of its updates calls the loss by itself.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> own = OwnOptimizer(torch.optim.SGD([model.weight], lr=0.5), model)
        >>> own.held
        {'weight': 0.5}
    """

    def __init__(self, optimizer: torch.optim.Optimizer, model: nn.Module):
        if any(each.__name__ == "LightningOptimizer" for each in type(optimizer).__mro__):
            optimizer = _innermost(optimizer)  # Lightning's step runs hooks of the module that trains
        if _may_wait(optimizer):
            optimizer = stand_in(optimizer)
        self.replaced = _needs_closure(optimizer)
        self.__name__ = f"Adam in place of {type(optimizer).__name__}" if self.replaced else type(optimizer).__name__
        self._optimizer, self.kind = optimizer, type(_innermost(optimizer))
        trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        self.slip = _slip(optimizer, {id(each): name for name, each in trained})
        self._positions = {id(each): at for at, (_, each) in enumerate(trained)}
        # updates leave a state, or a mark that schedules of torch look for
        self._has_stepped = bool(optimizer.state) or getattr(optimizer, "_opt_called", False) is True
        groups = [(group, _rate(group, self._has_stepped)) for group in optimizer.param_groups]
        self.rates = {id(each): rate for group, rate in groups for each in group["params"]}
        self.notes = [WARMS_UP] if any(rate != _rate(group, True) for group, rate in groups) else []
        if any(group.get("maximize") for group in optimizer.param_groups):
            self.notes.append(MAXIMIZES)
        self.held = {name: self.rates[id(each)] for name, each in trained if id(each) in self.rates}

    def __call__(self, parameters: list[nn.Parameter]) -> Any:
        """Return an optimizer of the same class and settings for the parameters of a copy."""
        if self.replaced:
            return torch.optim.Adam([parameters[at] for each, at in self._positions.items() if each in self.rates])
        memo: dict[int, Any] = {}
        for each in (each for group in self._optimizer.param_groups for each in group["params"]):
            at = self._positions.get(id(each))
            memo[id(each)] = parameters[at] if at is not None else _Absent()
        copied = over_copies(self._optimizer, memo)
        trained = {id(each) for each in parameters}
        is_torchs = self.kind.__module__.startswith("torch.optim")
        for group, original in zip(copied.param_groups, self._optimizer.param_groups, strict=True):
            listed = zip(group["params"], original["params"], strict=True)
            if is_torchs:
                group["params"] = [each for each, _ in listed if id(each) in trained]
            else:  # another rule may compute with frozen parameters, and counts on their places
                group["params"] = [each if id(each) in trained else own.detach().clone() for each, own in listed]
            if original.get("lr") is not None:
                group["lr"] = _rate(original, self._has_stepped)
        return copied


class _Absent:
    """Stands for a parameter that is not trained, until it is known whether it is needed."""

    def __deepcopy__(self, memo: dict) -> "_Absent":
        return self


def _innermost(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer that another one wraps, as accelerate's does."""
    inner = getattr(optimizer, "optimizer", None)
    return _innermost(inner) if isinstance(inner, torch.optim.Optimizer) and inner is not optimizer else optimizer


def over_copies(optimizer: torch.optim.Optimizer, memo: dict[int, Any]) -> Any:
    """Copy an optimizer and those that it holds: settings and groups without moments and hooks.

    Args:
        optimizer: It stays as it is.
        memo: What stands for each object in the copy, by identity.
    """
    if id(optimizer) in memo:
        return memo[id(optimizer)]
    copied = memo[id(optimizer)] = object.__new__(type(optimizer))
    memo[id(optimizer.state)] = defaultdict(dict)
    for name, value in vars(optimizer).items():
        if isinstance(value, torch.optim.Optimizer):
            value = over_copies(value, memo)
        elif name.endswith("_hooks") and isinstance(value, dict):
            value = type(value)()
        elif isinstance(value, list | dict | tuple | set | torch.Tensor):
            value = copy.deepcopy(value, memo)
        elif inspect.isroutine(value):  # what a schedule put around a method calls the user's own
            continue
        copied.__dict__[name] = value
    return copied


def stand_in(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return an Adam that holds the same parameters at the same rates, where the optimizer's own step cannot be copied.

    Example:
        >>> type(stand_in(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))).__name__
        'Adam in place of SGD'
    """
    groups, seen = [], set()
    for group in optimizer.param_groups:  # several optimizers may hold a parameter, and Adam refuses one twice
        own = [each for each in dict.fromkeys(group["params"]) if each not in seen]
        rates = {key: group[key] for key in ("lr", "initial_lr") if group.get(key) is not None}
        groups.append({"params": own, **rates})
        seen |= {*own}
    return type(f"Adam in place of {type(optimizer).__name__}", (torch.optim.Adam,), {})(groups)


def _may_wait(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether a step may wait for other processes: only those of torch.optim are known not to."""
    if num_processes() == 1:
        return False
    inner = [each for each in vars(optimizer).values() if isinstance(each, torch.optim.Optimizer)]
    is_known = type(optimizer).__module__.startswith(KNOWN)
    return not is_known or any(_may_wait(each) for each in inner if each is not optimizer)


def _needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether a step has to be given a closure: it has no default, or none is refused."""
    step = type(optimizer).step
    closure = inspect.signature(step).parameters.get("closure")
    if closure is None or closure.default is inspect.Parameter.empty:
        return closure is not None
    try:
        return REFUSES_NONE.search(inspect.getsource(inspect.unwrap(step))) is not None
    except (OSError, TypeError):
        return False


def _slip(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> str:
    """Say what looks like a slip in how the groups were made: an empty one, or a parameter that is listed twice."""
    for number, group in enumerate(optimizer.param_groups):
        if not group["params"]:
            return f"Its group {number} is empty, as one made of a filter or generator that was read before."
        seen: set[int] = set()
        for each in group["params"]:
            if id(each) in seen and id(each) in names:
                return f"It lists `{names[id(each)]}` twice."
            seen.add(id(each))
    return ""


def _rate(group: dict[str, Any], has_stepped: bool) -> float:
    """Return a group's learning rate; where a schedule starts near zero, the rate that it warms up to."""
    rate, peak = (1.0 if (found := group.get(key)) is None else float(found) for key in ("lr", "initial_lr"))
    peak = peak if group.get("initial_lr") is not None else 0.0
    return peak if rate < WARM * peak and not has_stepped else rate
