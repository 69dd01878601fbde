"""The optimizers of a Trainer as one, so that an inspection trains copies as the Trainer does."""

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer

__all__ = ["as_one"]


class _Together(Optimizer):
    """Steps every optimizer that it holds; each is an attribute, so that a copy of it holds copies."""

    def __init__(self, optimizers: list[Optimizer]):
        self.defaults: dict[str, Any] = {}
        self.param_groups = [group for each in optimizers for group in each.param_groups]
        self.state = {key: value for each in optimizers for key, value in each.state.items()}  # type: ignore[assignment]
        vars(self).update({f"part_{at}": each for at, each in enumerate(optimizers)})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # nobody hands over a closure
        """Take a step with each of them, in their order."""
        for each in vars(self).values():
            if isinstance(each, Optimizer):
                each.step()


def as_one(optimizers: Iterable[Any]) -> Optimizer | None:
    """Return one optimizer that does what several do; its class is named after theirs.

    Args:
        optimizers: Those of a Trainer. The wrapper of accelerate is taken off, because its step waits for accumulation.

    Returns:
        ``None`` if there is none, or if one of them is no torch optimizer, such as DeepSpeed's: what it holds is no
        parameter of the model.

    Example:
        >>> import torch
        >>> weight, bias = torch.nn.Linear(2, 2).parameters()
        >>> both = as_one([torch.optim.SGD([weight], lr=0.1), torch.optim.Adam([bias])])
        >>> type(both).__name__, len(both.param_groups)
        ('SGD and Adam', 2)
    """
    own = [_unwrapped(each) for each in optimizers]
    if not own or not all(isinstance(each, Optimizer) for each in own):
        return None
    names = " and ".join(dict.fromkeys(type(each).__name__ for each in own))
    return own[0] if len(own) == 1 else type(names, (_Together,), {})(own)


def _unwrapped(optimizer: Any) -> Any:
    """Return the optimizer in the wrapper of accelerate, which is also what a Trainer of transformers has."""
    is_wrapper = any(kind.__name__ == "AcceleratedOptimizer" for kind in type(optimizer).__mro__)
    return _unwrapped(optimizer.optimizer) if is_wrapper else optimizer
