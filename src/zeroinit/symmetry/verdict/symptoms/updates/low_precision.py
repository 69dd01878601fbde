"""Updates that the model's own precision swallows: smaller than the spacing of its numbers, so that values stay.

Source: a bfloat16 keeps 8 binary digits, so an update below 0.2 % to 0.4 % of a value is rounded away.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.symptoms.numbers import is_broken

__all__ = ["Lost", "lost_updates"]

KEPT = 0.2
"""A parameter stands still if less than this share of what its updates sum to is kept."""
MANY = 0.5
"""More updates are looked at where the first one keeps less of nearly all values."""
UPDATES = 5
NEARLY_ALL = 0.9
"""Share of the trained values that stand still from which on the model does."""


@dataclass
class Lost:
    """Parameters that stand still in the model's own precision.

    Attributes:
        every: Those of which no value moves.
        most: Those of which some values move.
        still: Share of the values of all these that do not move.
        everything: Whether they are nearly all that is trained.
    """

    every: tuple[str, ...]
    most: tuple[str, ...]
    still: float
    everything: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.every, *self.most)

    def text(self, model: nn.Module, rates: dict[str, float]) -> str:
        """Say what is lost."""
        names = self.names
        dtype = _name(model, names)
        spacing = f"smaller than the spacing of numbers in {dtype}"
        if not self.most:
            return f"Every update of {few(names)} is lost in {dtype}: it is smaller than the spacing of numbers there."
        rate = max((rates[name] for name in names if name in rates), default=0.0)
        why = f"updates at learning rate {rate:.1g} are {spacing}" if rate else f"updates are {spacing}"
        share = f"{100 * self.still:.0f} %" if self.still < 0.995 else "Nearly all"
        trained = [name for name, each in model.named_parameters() if each.requires_grad]
        which = f"the {len(names)} trained parameters" if len(names) == len(trained) > 1 else few(names)
        return f"{share} of the values of {which} do not move: {why}."

    def repair(self, model: nn.Module) -> str:
        """Say what to type."""
        dtype = _name(model, self.names)
        if self.everything:
            return f"Train float32 weights (`model.float()`) under `torch.autocast(device, dtype=torch.{dtype})`."
        return (
            "Keep these parameters in float32 (`module.float()`), or train float32 weights under "
            f"`torch.autocast(dtype=torch.{dtype})`."
        )


def _name(model: nn.Module, names: tuple[str, ...]) -> str:
    return str(model.get_parameter(names[0]).dtype).removeprefix("torch.")


class _Rounded:
    """Rounds the values of a float32 copy after each update, as the model's own type does."""

    def __init__(self, replica: nn.Module, types: dict[str, torch.dtype]):
        self._named = {name: replica.get_parameter(name) for name in types}
        self._types = types
        self.start = {name: each.detach().clone() for name, each in self._named.items()}
        self._before = dict(self.start)
        self.exact = {name: torch.zeros_like(each) for name, each in self.start.items()}

    @torch.no_grad()
    def __call__(self, step: int, gradients: dict[str, Tensor]) -> bool:
        for name, value in self._named.items():
            self.exact[name] += value - self._before[name]
            value.copy_(value.to(self._types[name]).to(value.dtype))
            self._before[name] = value.detach().clone()
        return False

    def kept(self, name: str) -> float:
        """Return the share of what the updates sum to that is there after rounding; 1 where there was no update."""
        wanted = self.exact[name]
        whole = float(wanted.square().sum())
        return float(((self._before[name] - self.start[name]) * wanted).sum()) / whole if whole else 1.0

    def moved(self, name: str) -> int:
        """Return how many values are others than at the start."""
        return int((self._before[name] != self.start[name]).sum())


def lost_updates(evidence: Evidence) -> Lost | None:
    """Return the parameters whose updates are lost in the model's own precision, if there are any."""
    model = evidence.model
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad and each.numel()}
    narrow = {
        name: each.dtype
        for name, each in trained.items()
        if each.dtype in (torch.bfloat16, torch.float16) and name not in evidence.not_inspected
    }
    if not narrow or is_broken(evidence.single) or _rounds_itself(evidence):
        return None
    seen = _run(evidence, narrow, 1)
    doubtful = sum(trained[name].numel() for name in narrow if seen.kept(name) < MANY)
    if doubtful >= NEARLY_ALL * sum(each.numel() for each in trained.values()):
        seen = _run(evidence, narrow, UPDATES)
    slow = [name for name in narrow if seen.kept(name) < KEPT]
    every = tuple(name for name in slow if not seen.moved(name))
    values = sum(trained[name].numel() for name in slow)
    everything = values >= NEARLY_ALL * sum(each.numel() for each in trained.values())
    most = tuple(name for name in slow if name not in every)
    lost = Lost(every, most, 1.0, everything)
    if not lost.names:
        return None
    lost.still -= sum(map(seen.moved, lost.names)) / sum(trained[name].numel() for name in lost.names)
    return lost


def _run(evidence: Evidence, narrow: dict[str, torch.dtype], updates: int) -> _Rounded:
    replica = copy_of(evidence.model, torch.float32)
    seen = _Rounded(replica, narrow)
    run_shadow(replica, evidence.objective, torch.float32, replace(evidence.settings, steps=updates), watch=seen)
    seen(updates + 1, {})
    return seen


def _rounds_itself(evidence: Evidence) -> bool:
    """Tell whether the user's own optimizer is none of torch's: it may round at random, or keep a float32 copy."""
    rule = evidence.settings.optimizer
    if isinstance(rule, str):
        return False
    if isinstance(rule, OwnOptimizer):
        return not rule.kind.__module__.startswith("torch.optim")
    try:
        return not type(rule([nn.Parameter(torch.zeros(1))])).__module__.startswith("torch.optim")
    except Exception:  # made for the parameters of this model alone
        return True
