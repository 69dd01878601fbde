"""The copy, trials on it, and passes through it: every search for a reason has them in hand."""

import torch
from torch import nn

from zeroinit.symmetry.verdict.causes.views import View, zero_parameters
from zeroinit.symmetry.verdict.evidence import Evidence, Reason
from zeroinit.symmetry.verdict.passes.calls import Calls
from zeroinit.symmetry.verdict.passes.graph import Graph
from zeroinit.symmetry.verdict.trials.other_inputs import used_with_other_inputs
from zeroinit.symmetry.verdict.trials.trials import Change, Trials

__all__ = ["MORE_PASSES", "SAME_LOSS", "Search", "called"]

MORE_PASSES = 16
"""Passes of a trial for what a later step may move."""
SAME_LOSS = "The loss is the same whatever its value."


class Search:
    """A copy whose stuck parameters are looked into.

    Args:
        evidence: Of a model that was trained for a few steps.
        replica: The trained copy; it is as before afterwards.
        dtype: Of the copy.
        without_gradient: Names of the parameters that never got a gradient.
        parts: Along which axes units are counted, by the weight's name, where trials look at units.

    Attributes:
        trials: On the copy.
        step: What the random numbers of its passes derive from.
        zeros: Names of the parameters that are zero everywhere.
        copied: Groups of parameters that are copies of each other.
        found: Reasons found so far, by name.
        changes: What undoes what cuts a gradient off, by the cause of its reason.
        handed_out: What modules return, and what it depends on, once that was looked at.
        dropped: Modules none of whose results gets to the loss, once that was looked at. With each of them stands the
            module at the end of the chain that uses it.
        unkept: Modules that hand out several tensors of which the model keeps none that its loss does not use.
    """

    def __init__(
        self, evidence: Evidence, replica: nn.Module, dtype: torch.dtype, without_gradient: set[str], parts=None
    ):
        self.evidence, self.replica, self.dtype, self.without_gradient = evidence, replica, dtype, without_gradient
        sizes = [size for of in evidence.double.sizes for size in of.values() if size == size]
        settings = evidence.settings
        self.trials = Trials(
            replica,
            evidence.objective,
            dtype,
            settings.dropout,
            settings.seed,
            set(without_gradient),
            max(sizes, default=0.0) or (1.0 if any(evidence.double.rounding) else 0.0),
            parts or {},
            written=frozenset(evidence.single.written),
        )
        self.step = len(evidence.double.losses) + 1
        self.zeros = zero_parameters(replica)
        self.copied = evidence.watch.copied.groups() if evidence.watch.copied is not None else []
        self.found: dict[str, Reason] = {}
        self.changes: dict[str, Change] = {}
        self.handed_out: list | None = None
        self.dropped: dict[str, str] = {}
        self.unkept: set[str] = set()
        self._used_elsewhere: set[str] | None = None

    def moving(self) -> set[str]:
        """Return the names of the parameters that have had a gradient."""
        return set(self.evidence.double.sizes[-1]) - self.without_gradient if self.evidence.double.sizes else set()

    def used_with_other_inputs(self) -> set[str]:
        """Return the names of the parameters that take part for other inputs or other random numbers."""
        if self._used_elsewhere is None:
            self._used_elsewhere = used_with_other_inputs(self.evidence.objective, self.replica, self.dtype)
        return self._used_elsewhere

    def view(self, step: int) -> tuple[View | None, bool]:
        """Go forward once, with a random state that derives from ``step``, and measure its graph."""
        calls = Calls(self.replica)
        loss = self.trials.loss(Change(), step, calls)
        reentrant = self.trials.reentrant
        if not loss.requires_grad:
            return None, reentrant
        graph = Graph(loss, {id(each): name for name, each in self.replica.named_parameters()})
        graph.note_dims({name: each.dim() for name, each in self.replica.named_parameters()})
        graph.measure(loss)
        for parameter in self.replica.parameters():
            parameter.grad = None
        inputs = self.evidence.objective.inputs
        still = not any(size > 0 for of in self.evidence.double.sizes for size in of.values())
        return View(
            step, self.replica, graph, calls, inputs, self.zeros, set(self.without_gradient), self.copied, still
        ), reentrant


def called(search: Search) -> set[nn.Module]:
    """Return the modules whose forward runs; the copy itself always counts."""
    found: set[nn.Module] = {search.replica}
    handles = [
        each.register_forward_pre_hook(lambda module, arguments: found.add(module)) for each in search.replica.modules()
    ]
    try:
        search.trials.loss(Change(), search.step)
    finally:
        for handle in handles:
            handle.remove()
    return found
