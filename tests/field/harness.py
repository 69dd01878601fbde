"""Cases for ``inspect``: models rebuilt from public reports in our own words, each with the right answer beside it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["CASES", "Batch", "Case", "OneOf", "fault", "healthy"]


@dataclass
class Batch:
    """What ``inspect`` is called with."""

    model: nn.Module
    inputs: Any
    targets: Any = None
    settings: dict[str, Any] | None = None


@dataclass(frozen=True)
class Case:
    """One model and its right answer.

    Attributes:
        make: Builds it.
        source: The public report it imitates, or ``"own"``.
        kind: Of the fault; healthy models share the kind of the fault that they look like.
        code: Of the warning; empty for a healthy model.
        where: A module or parameter that a warning of this code names.
        says: Words that the report holds: the cause.
        never: Words that the report must not hold: a wrong reason, or a repair that does not help.
        also: Codes of further warnings that are right as well.
    """

    make: Callable[[], Batch]
    source: str
    kind: str
    code: str = ""
    where: str = ""
    says: str = ""
    never: str = ""
    also: tuple[str, ...] = ()


CASES: dict[str, Case] = {}


def fault(source: str, kind: str, code: str, where: str, says: str, **more: Any) -> Callable:
    """Register a function that builds a model with a fault."""

    def register(make: Callable[[], Batch]) -> Callable[[], Batch]:
        assert make.__name__ not in CASES
        CASES[make.__name__] = Case(make, source, kind, code, where, says, **more)
        return make

    return register


def healthy(source: str, kind: str, says: str = "") -> Callable:
    """Register a function that builds a model without one."""
    return fault(source, kind, "", "", says)


class OneOf(nn.Module):
    """A module from parts and a function, to keep cases short."""

    def __init__(self, forward: Callable, **parts: Any):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.run = forward

    def forward(self, *inputs: Any) -> Any:
        return self.run(self, *inputs)


def zeroed(module: nn.Module) -> nn.Module:
    """Set all parameters to zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def floats(*shape: int) -> torch.Tensor:
    """Draw a batch of normal values."""
    return torch.randn(*shape)


def labels(number: int, *shape: int) -> torch.Tensor:
    """Draw classes or tokens."""
    return torch.randint(number, shape)


def mlp(*sizes: int, activation: Callable = nn.ReLU) -> nn.Sequential:
    """Build dense layers with activations between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])
