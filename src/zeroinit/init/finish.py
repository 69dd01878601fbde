"""What some initializers do after all values are drawn: to residual branches, with data, to pairs of layers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit._modules.state import random_state_kept
from zeroinit.init.branches import Branches, find_branches
from zeroinit.init.initializers import Initializer
from zeroinit.init.plan import Entry, Plan
from zeroinit.init.probe import copy_model, take_probe
from zeroinit.init.shards import is_sharded
from zeroinit.init.sources import Source

__all__ = ["Finish", "Found", "prepare"]


@dataclass(frozen=True)
class Found:
    """What a batch shows of a model before anything changes."""

    batch: Any
    branches: Branches


def prepare(model: nn.Module, finishes: list[Initializer], probe: Any) -> Found | None:
    """Look at a model with a batch, if an initializer needs one.

    Raises:
        InputError: There is no batch, or the model cannot be run whole: on the meta device, or in shards.
    """
    needing = [each for each in finishes if each.needs_batch]
    if not needing:
        return None
    name = needing[0].name
    if probe is None:
        raise InputError(f"initializer={name!r}: needs probe=, a batch with which the model runs forward")
    if any(each.is_meta or is_sharded(each) for each in model.parameters()):
        raise InputError(f"initializer={name!r}: runs the model; use it before you shard, and not on the meta device")
    replica = copy_model(model)
    batch = take_probe(probe, model)
    with random_state_kept(replica):
        return Found(batch, find_branches(replica, batch))


@dataclass
class Finish:
    """The model after drawing, for what an initializer does then.

    Attributes:
        model: The model.
        plan: What was drawn.
        source: Where random values come from.
        found: What a batch showed; ``None`` without one.
        done: What was done to parameters, by ``id``, for their rows in the record.
        notes: Lines of the record.
    """

    model: nn.Module
    plan: Plan
    source: Source
    found: Found | None
    done: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _by: Initializer | None = None

    def run(self, initializer: Initializer) -> None:
        """Let an initializer finish its parameters."""
        assert initializer.finish is not None
        self._by = initializer
        with torch.no_grad():
            initializer.finish(self)

    @property
    def entries(self) -> list[Entry]:
        """What the initializer has drawn."""
        return [entry for entry in self.plan.entries if entry.initializer is self._by]

    @property
    def branches(self) -> Branches:
        """The residual branches."""
        assert self.found is not None
        return self.found.branches

    def entry_of(self, name: str) -> Entry | None:
        """Return what was drawn for a parameter; ``None`` if another initializer, or none, sets it."""
        return next((entry for entry in self.entries if name in entry.shared.names), None)

    @property
    def weights(self) -> dict[str, Entry]:
        """What was drawn of weights, by the path of their module."""
        return {entry.holder.path: entry for entry in self.entries if entry.slot.part == "weight"}

    def times(self, entry: Entry, factor: float) -> None:
        """Multiply a weight by a factor, through what computes it."""
        norm = [] if entry.norm is None else entry.norm.parameters
        (norm or [entry.parameter])[0].detach().mul_(factor)  # g of weight norm alone: the direction stays
        self.note([entry.parameter, *norm], f" * {factor:.4g}" if factor else " * 0")

    def note(self, parameters: Iterable[nn.Parameter], text: str) -> None:
        """Add to what the record says of parameters."""
        for parameter in parameters:
            self.done[id(parameter)] = self.done.get(id(parameter), "") + text
