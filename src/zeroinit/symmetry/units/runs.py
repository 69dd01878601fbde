"""A shadow run: one training of a copy, and what is watched of its layers. All of them are carried out here."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.memory.frugal import release
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.trace import Settings, Trace
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.shadow.undisturbed import deterministic_kernels
from zeroinit.symmetry.units.layers import Layer
from zeroinit.symmetry.units.tracking import SAME, Tracker
from zeroinit.symmetry.units.watching import Watch

__all__ = ["Outcome", "ShadowRun", "Subject", "carry_out"]


@dataclass(frozen=True)
class Subject:
    """What is inspected, and how it trains.

    Attributes:
        model: As it was handed over.
        objective: The batch and the loss.
        settings: Of every run, unless the run says otherwise.
        inspected: Names of the parameters to look at.
    """

    model: nn.Module
    objective: Objective
    settings: Settings
    inspected: list[str]

    @property
    def epsilon(self) -> float:
        """Machine epsilon of the model's own type, the coarsest of its parameters."""
        own = (torch.finfo(each.dtype).eps for each in self.model.parameters() if each.is_floating_point())
        return max(own, default=1e-7)


@dataclass(frozen=True)
class ShadowRun:
    """One training of a copy, before it is done.

    Attributes:
        dtype: Of the copy.
        full: Whether activations, ranks and copied layers are watched, too, or the groups of equal units alone.
        same: Relative distance between gradients that counts as rounding.
        dropout: Whether dropout acts.
        equal_biases: Whether every bias of a layer starts at the layer's mean bias.
        deterministic: Whether torch uses deterministic kernels alone, as far as there are any.
    """

    dtype: torch.dtype
    full: bool = True
    same: float = SAME
    dropout: bool = True
    equal_biases: bool = False
    deterministic: bool = False


@dataclass
class Outcome:
    """The result of a run.

    Attributes:
        trace: Its gradients and losses.
        watch: Its layers.
        replica: The trained copy.
    """

    trace: Trace
    watch: Watch
    replica: nn.Module

    def widths(self) -> dict[str, int]:
        """Return the number of groups of identical units in each layer, by the name of its weight."""
        return {each.layer.weight: each.tracker.width for each in self.watch.layers}

    def widths_bitwise(self) -> dict[str, int]:
        """Return the number of groups of units that are the same bit for bit in each layer, by its weight."""
        return {each.layer.weight: each.tracker.width_bitwise(self.watch.value) for each in self.watch.layers}


def carry_out(
    run: ShadowRun,
    subject: Subject,
    *,
    steps: int | None = None,
    reference: Trace | None = None,
    earlier: Iterable[Tracker] = (),
    layers: Iterable[Layer] = (),
) -> Outcome:
    """Copy the model, train the copy for a few steps, and watch its layers.

    Args:
        run: How it differs from others.
        subject: What is inspected.
        steps: Updates, where they are not those of the subject's settings.
        reference: The float32 trace, with which gradients are told from rounding.
        earlier: Trackers of another run that started with the same values.
        layers: Whose biases are made equal, where the run has equal biases.

    Raises:
        InputError: The model cannot be copied, or does not run in this precision. No copy is kept in memory.
    """
    settings = replace(subject.settings, steps=steps or subject.settings.steps, dropout=run.dropout)
    with deterministic_kernels() if run.deterministic else nullcontext():
        replica = copy_of(subject.model, run.dtype)
        watch = Watch(replica, subject.inspected, subject.epsilon, full=run.full, earlier=earlier, same=run.same)
        try:
            if run.equal_biases:
                _level_biases(replica, layers)
            trace = run_shadow(replica, subject.objective, run.dtype, settings, reference=reference, watch=watch)
        except InputError:
            release(replica)
            raise
    return Outcome(trace, watch, replica)


@torch.no_grad()
def _level_biases(replica: nn.Module, layers: Iterable[Layer]) -> None:
    named = dict(replica.named_parameters())
    for layer in layers:
        for part in layer.parts:
            if part.role == "bias":
                named[part.name].fill_(named[part.name].mean())
