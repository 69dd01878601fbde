"""Why parameters never get a gradient: candidates are tried on the copy, and the first that is true is told."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zeroinit.symmetry.batch_causes import emptied, nothing_in, small
from zeroinit.symmetry.calls import Calls
from zeroinit.symmetry.graph import Graph
from zeroinit.symmetry.made_in_forward import replaced_in_forward
from zeroinit.symmetry.mask_causes import of_mask
from zeroinit.symmetry.memory import is_large
from zeroinit.symmetry.naming import draw_line, few, of_model, operation, starred
from zeroinit.symmetry.no_effect import among_equal_slices, comes_later, hidden_effects
from zeroinit.symmetry.other_inputs import used_with_other_inputs
from zeroinit.symmetry.reasons import candidates, last_operation
from zeroinit.symmetry.silent import find_silent, may_be_stuck
from zeroinit.symmetry.symptoms import died, of_dead, strangers
from zeroinit.symmetry.trials import Change, Trials
from zeroinit.symmetry.unused import reason_for_unused
from zeroinit.symmetry.views import Candidate, Reason, View, zero_parameters
from zeroinit.symmetry.zero_causes import times_zero

if TYPE_CHECKING:
    from zeroinit.symmetry.inspector import Evidence

__all__ = ["Explainer", "LastPass", "explain"]

MORE_PASSES = 16
MORE_VIEWS = 8
MOST_CULPRITS = 6


@dataclass
class LastPass:
    """What the pass after the last update showed.

    Attributes:
        loss: Its loss.
        strangers: What the loss depends on and the model does not register.
        norms: Which norm follows a parameter, in words.
    """

    loss: float
    strangers: list[Any] = field(default_factory=list)
    norms: dict[str, str] = field(default_factory=dict)


def explain(evidence: "Evidence", replica: nn.Module, dtype: torch.dtype, last: LastPass) -> None:
    """Find out why parameters and units never got a gradient, why others lost it, and what is not registered.

    Args:
        evidence: What the shadows showed; reasons and symptoms are added to it.
        replica: The trained copy.
        dtype: Of the copy.
        last: The pass after its last update.
    """
    trained = [name for name, parameter in evidence.model.named_parameters() if parameter.requires_grad]
    frozen = Reason("frozen", "is frozen (requires_grad=False)")
    evidence.reasons = {name: frozen for name, _ in evidence.model.named_parameters() if name not in trained}
    trace, looked_at = evidence.double, [name for name in trained if name not in evidence.not_inspected]
    locked = {name for name in looked_at if trace.first_step(name) is None}
    evidence.reasons |= replaced_in_forward(evidence, locked)
    locked -= set(evidence.reasons)
    evidence.reasons |= _of_removed(evidence, replica, dtype, locked, last)
    locked -= set(evidence.reasons)
    if locked:
        explainer = Explainer(evidence, replica, dtype, locked)
        reasons = explainer.reasons()
        evidence.reasons |= _of_nothing(reasons) if locked == set(looked_at) else reasons
        evidence.waking = explainer.waking
    lost = {name: step for name, step in died(trace).items() if name in looked_at}
    if lost:
        explainer = Explainer(evidence, replica, dtype, set(lost))
        found = {name: reason.text for name, reason in explainer.reasons().items() if reason.kind == "dead"}
        dead = list(of_dead(evidence, lost, found))
        if dead:  # one fault: where the loss grew, that is part of it
            evidence.symptoms = [each for each in evidence.symptoms if each.code != "ZI015"] + dead
    masks = {each.layer.weight: may_be_stuck(each, evidence) for each in evidence.watch.layers}
    stuck = {name: mask for name, mask in masks.items() if mask.any() and name not in lost}
    if stuck:
        parts = {each.layer.weight: each.layer.parts[0] for each in evidence.watch.layers}
        evidence.silent = find_silent(Explainer(evidence, replica, dtype, set(looked_at), parts), stuck)
    if last.strangers:
        evidence.symptoms += strangers(last.strangers, Explainer(evidence, replica, dtype, set()))


def _of_nothing(found: dict[str, Reason]) -> dict[str, Reason]:
    """Where nothing at all learns, a batch that leaves everything out is what is wrong."""
    if {each.kind for each in found.values()} - {"idle", "no_effect"}:
        return found
    told = "Hand over a batch and a loss from which something can be learned."
    return {
        name: replace(each, kind="batch", repair=each.repair if "Nothing to do" not in each.repair else told)
        for name, each in found.items()
        if each.kind == "idle"
    } | {name: each for name, each in found.items() if each.kind != "idle"}


def _of_removed(evidence, replica, dtype, locked: set[str], last: LastPass) -> dict[str, Reason]:
    """Return the reasons of vectors whose gradient is rounding, if the loss is the same with all of them changed."""
    names = [name for name in sorted(locked) if replica.get_parameter(name).dim() < 2]
    names = [name for name in names if evidence.double.rounding_step(name) is not None]
    if not names:
        return {}
    hidden = {name for name in names if name not in last.norms}
    effects = hidden_effects(Explainer(evidence, replica, dtype, hidden)) if hidden else set()
    if effects is None or len(hidden) < len(names):
        trials, step = Explainer(evidence, replica, dtype, set()).trials, len(evidence.double.losses) + 1
        if trials.loss_changes(Change(draw=tuple(names)), step, last.loss):
            return {}
    names = [name for name in names if name not in (effects or ())]
    other = Reason("no_effect", "The loss is the same whatever its value.", tried=True)
    norms = {name: last.norms[name] for name in names if name in last.norms}
    removed = {
        name: Reason("cancelled", f"{norm} removes whatever {{it}} adds.", tried=True, cause=f"norm {starred(norm)}")
        for name, norm in norms.items()
    }
    return dict.fromkeys(names, other) | removed


class Explainer:
    """Explains stuck parameters, one cause once.

    Args:
        evidence: Of a model that was trained for a few steps.
        replica: The trained copy; it is as before afterwards.
        dtype: Of the copy.
        locked: Names of the parameters that never got a gradient.
        parts: Along which axes units are counted, by the weight's name, where trials look at units.
    """

    def __init__(self, evidence: "Evidence", replica: nn.Module, dtype: torch.dtype, locked: set[str], parts=None):
        self.evidence, self.replica, self.dtype, self.locked = evidence, replica, dtype, locked
        sizes = [size for of in evidence.double.sizes for size in of.values() if size == size]
        settings = evidence.settings
        self.trials = Trials(
            replica,
            evidence.objective,
            dtype,
            settings.dropout,
            settings.seed,
            set(locked),
            max(sizes, default=0.0) or (1.0 if any(evidence.double.rounding) else 0.0),
            parts or {},
        )
        self.step = len(evidence.double.losses) + 1
        self.zeros = zero_parameters(replica)
        self.twins = evidence.watch.twins.twins() if evidence.watch.twins is not None else []
        self.waking: set[str] = set()
        self.found: dict[str, Reason] = {}
        self._used_elsewhere: set[str] | None = None
        self._explained: set[str] = set()
        self._is_small = False

    def reasons(self) -> dict[str, Reason]:
        """Return the reason of each locked parameter; ``waking`` then holds those that would move a little later."""
        found = self.found
        found |= self._without_effect()
        if set(found) == self.locked:
            return found
        view, reentrant = self.view(self.step)
        self._baseline(found, view, reentrant)
        rest = [name for name in self._ordered() if name not in found]
        absent = [name for name in rest if name not in view.graph.leaves] if view is not None else rest
        views = {name: view for name in rest if name not in absent and view is not None}
        self._of_small_inputs(found, views)
        views |= self._other_views(absent)
        for name in rest:
            if name not in views:
                found[name] = reason_for_unused(name, self, view)
        for name, seen in views.items():
            found[name] = found.get(name) or self._tried(name, seen)
        return self._with_culprits(found, views)

    def moving(self) -> set[str]:
        """Return the names of the parameters that have had a gradient."""
        return set(self.evidence.double.sizes[-1]) - self.locked if self.evidence.double.sizes else set()

    def used_with_other_inputs(self) -> set[str]:
        """Return the names of the parameters that take part for other inputs or other random numbers."""
        if self._used_elsewhere is None:
            self._used_elsewhere = used_with_other_inputs(self.evidence.objective, self.replica, self.dtype)
        return self._used_elsewhere

    def _without_effect(self) -> dict[str, Reason]:
        """In a large model, first look for vectors beside weights that learn: a view of all calls takes much memory."""
        if not is_large(self.replica.parameters()):
            return {}
        owners = {name.rpartition(".")[0] for name in self.moving() if self.replica.get_parameter(name).dim() > 1}
        vectors = [name for name in sorted(self.locked) if name.rpartition(".")[0] in owners]
        vectors = [name for name in vectors if self.replica.get_parameter(name).dim() < 2]
        if not vectors or self.trials.loss_changes(Change(draw=tuple(vectors)), self.step):
            return {}
        return {name: Reason("no_effect", "The loss is the same whatever its value.", tried=True) for name in vectors}

    def _ordered(self) -> list[str]:
        names = [name for name, _ in self.replica.named_parameters() if name in self.locked]
        return sorted(names, key=lambda name: self.replica.get_parameter(name).dim() < 2)

    def _baseline(self, found: dict[str, Reason], view: View | None, reentrant: bool) -> None:
        """Take out what would move with more steps, and what only a checkpoint hides."""
        freed = self.trials.frees(Change(), self.step)
        if (self.trials.counts or (freed and freed != self.locked)) and not reentrant:
            freed |= self.trials.frees(Change(), self.step, MORE_PASSES)
        for name in freed:
            if reentrant:
                text = (
                    "`torch.utils.checkpoint` with use_reentrant=True passes no gradient on, because none of its "
                    "inputs requires one."
                )
                repair = (
                    "Call checkpoint(..., use_reentrant=False). In transformers: `model.gradient_checkpointing_enable("
                    'gradient_checkpointing_kwargs={"use_reentrant": False})`.'
                )
                found[name] = Reason("checkpoint", text, (), repair, True, "checkpoint")
            else:
                self.waking.add(name)
                found[name] = Reason("asleep", "Its first gradient comes with a later step.", tried=True)

    def _of_small_inputs(self, found: dict[str, Reason], views: dict[str, View]) -> None:
        """Take out what larger inputs free, and other inputs of the same size do not."""
        for view in dict.fromkeys(views.values()):
            for each in small(view):
                freed = self.trials.frees(each.change, view.step)
                other = Change(inputs="random")
                freed = freed and freed - self.trials.frees(other, view.step)
                freed |= self.trials.frees_from_zero(each.change, other, view.step) if freed else frozenset()
                self._is_small = self._is_small or bool(freed)
                for name in freed & set(views):
                    found[name] = self._accepted(name, each, each.repairs[0][1])

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
            step, self.replica, graph, calls, inputs, self.zeros, set(self.locked), self.twins, still
        ), reentrant

    def _other_views(self, absent: list[str]) -> dict[str, View]:
        """Look at passes with other random states, for what is left out at random."""
        used = {name for name in absent if name in self.evidence.double.used}
        found: dict[str, View] = {}
        for more in range(1, MORE_VIEWS + 1):
            if not used - set(found):
                break
            view, _ = self.view(self.step + more)
            if view is not None:
                found |= {name: view for name in used - set(found) if name in view.graph.leaves}
        return found

    def _tried(self, name: str, view: View) -> Reason:
        """Return the first candidate that gives the parameter a gradient, and the first repair that does."""
        vector = self.replica.get_parameter(name).dim() < 2
        if nothing_in(name, view):
            text = "No example of this batch reaches {it}."
            return Reason("idle", text, (), "Nothing to do if other examples do.", True, "no example")
        if vector and self._is_small and not self.trials.loss_changes(Change(draw=(name,)), view.step):
            return Reason("no_effect", "The loss is the same whatever its value.", tried=True)
        if (sum_of_none := emptied(name, view)) is not None:
            what = operation(sum_of_none, self.replica)
            text = f"No example of this batch is left for {what}: it works on no value at all."
            return Reason("idle", text, (), "Nothing to do if other batches do.", True, "no example left")
        for each in candidates(name, view):
            if not self._frees(each.change, name, view):
                continue
            if each.reason.kind == "no_effect" and (later := self._later(name, view)) is not None:
                return later
            for change, repair in each.repairs:
                if change == each.change or self._frees(change, name, view):
                    return self._accepted(name, each, repair)
            return self._accepted(name, each, "")
        return self._without_candidate(name, view, vector)

    def _without_candidate(self, name: str, view: View, vector: bool) -> Reason:
        """Tell why no candidate was true: no effect, none yet, or none with this batch."""
        still = vector and not self.trials.loss_changes(Change(draw=(name,)), view.step)
        if still and (later := self._later(name, view)) is not None:
            return later
        for each in of_mask(view):
            if self._frees(each.change, name, view):
                return self._accepted(name, each, each.repairs[0][1])
        if (times := times_zero(name, view)) is not None:
            return times
        if any(name in self.trials.frees(Change(inputs=kind), view.step) for kind in ("other", "choices")):
            return Reason("idle", "Other inputs give {it} a gradient.", (), "", True, "other inputs")
        if still:
            return Reason("no_effect", "The loss is the same whatever its value.", tried=True)
        if self.trials.left <= 0:
            return Reason(
                "unknown", "Why was not looked into: many other causes were tried.", (), "Mend the others first."
            )
        last = last_operation(name, view)
        text = f"Cause not found; {last} is the last operation on the way where the gradient was seen."
        return Reason("unknown", text, (), f"Follow the path from `{of_model(name)}` to {last}.")

    def _later(self, name: str, view: View) -> Reason | None:
        """Return the reason of a parameter whose effect is hidden by the values of others."""
        if self.replica.get_parameter(name).dim() < 2:
            return comes_later(name, self, view.step)
        return among_equal_slices(name, self, view.step)

    def _frees(self, change: Change, name: str, view: View) -> bool:
        """Try a change; where a parameter like this one was explained before, on all places that are alike at once."""
        alike = starred(name) in self._explained
        return name in self.trials.frees(view.widened(change) if alike else change, view.step)

    def _accepted(self, name: str, each: Candidate, repair: str) -> Reason:
        self._explained.add(starred(name))
        cause = each.reason.cause or str(each.change)
        return replace(each.reason, repair=repair, tried=True, cause=cause)

    def _with_culprits(self, found: dict[str, Reason], views: dict[str, View]) -> dict[str, Reason]:
        """Work out which zeros matter: those that free another parameter when they alone are drawn."""
        groups: dict[str, list[str]] = {}
        for name, reason in found.items():
            if reason.kind in ("zero", "self"):
                groups.setdefault(reason.cause, []).append(name)
        merged = _merged({cause: (set(found[names[0]].culprits), names) for cause, names in groups.items()})
        alike: dict[tuple, tuple[list[str], set[str], list[str]]] = {}
        for drawn, names in merged:
            culprits = self._culprits(drawn, set(names), views[names[0]])
            patterns = (tuple(sorted(set(map(starred, culprits)))), len(culprits) > 1)
            kept = alike.setdefault(patterns, ([], set(), []))
            kept[0].extend(each for each in culprits if each not in kept[0])
            kept[1].update(drawn)
            kept[2].extend(names)
        for culprits, drawn, names in alike.values():
            found |= self._told(culprits, drawn, names, views[names[0]])
        return found

    def _told(self, culprits: list[str], drawn: set[str], names: list[str], view: View) -> dict[str, Reason]:
        """Return one reason for all parameters that the same zeros keep at zero."""
        repair, text = self._repair(culprits, drawn, set(names), view), self._sentence(culprits, view)
        frozen = not any(self.replica.get_parameter(each).requires_grad for each in culprits)
        found = {}
        for name in names:
            kind = "zero_pair" if name in self.zeros and not frozen else "zero_above"
            found[name] = Reason(kind, text, tuple(sorted(culprits)), repair, True, f"zero {sorted(culprits)}")
        return found

    def _culprits(self, drawn: set[str], names: set[str], view: View) -> list[str]:
        """Return the zero weights that free others if they alone are drawn, in the model's order."""
        freed = self.trials.frees(Change(draw=tuple(sorted(drawn))), view.step) | names
        zero = [name for name, _ in self.replica.named_parameters() if name in self.zeros and name in freed | drawn]
        weights = [name for name in zero if not _is_shift(name, self.replica)] or zero
        patterns = list(dict.fromkeys(starred(name) for name in weights))
        culprits: list[str] = []
        for pattern in patterns[:MOST_CULPRITS]:
            members = tuple(name for name in weights if starred(name) == pattern)
            others = freed - set(members)
            got = self.trials.frees(Change(draw=tuple(sorted(members))), view.step)
            if got & (others or set(members)):
                culprits += members
        return culprits or sorted(drawn)

    def _repair(self, culprits: list[str], drawn: set[str], names: set[str], view: View) -> str:
        """Write the smallest change that frees all of these names; singles are tried first."""
        choices = [tuple(each for each in culprits if starred(each) == pattern)
                   for pattern in dict.fromkeys(map(starred, culprits))]  # fmt: skip
        singles = [(each,) for each in culprits] if len(culprits) <= 4 else []
        for choice in [*singles, *choices, tuple(culprits), tuple(sorted(drawn))]:
            if names <= self.trials.frees(Change(draw=tuple(sorted(choice))), view.step):
                frozen = [each for each in choice if not self.replica.get_parameter(each).requires_grad]
                start = f"Start with {self._draw_line(list(choice))}"
                return start + (f", or train it: `{of_model(frozen[0])}.requires_grad_()`." if frozen else ".")
        return f"Start with {self._draw_line(sorted(drawn))}."

    def _draw_line(self, names: list[str]) -> str:
        vectors = any(self.replica.get_parameter(each).dim() < 2 for each in names)
        return draw_line(names, len(names), vectors)

    def _sentence(self, culprits: list[str], view: View) -> str:
        frozen = [each for each in culprits if not self.replica.get_parameter(each).requires_grad]
        if frozen:
            return f"{few(frozen)} {'is' if len(frozen) == 1 else 'are'} zero and frozen."
        if len(culprits) == 1:
            uses = view.graph.uses(culprits[0])
            if len(uses) > 1:
                more = "Each use keeps the gradient of the other at zero."
                return f"{few(culprits)} starts at zero and is used twice. {more}"
            return f"{few(culprits)} starts at zero."
        both = "both" if len(set(map(starred, culprits))) == 2 or len(culprits) == 2 else "all"
        return f"{few(culprits)} {both} start at zero. Each keeps the gradient of the {_other(culprits)} at zero."


def _other(culprits: list[str]) -> str:
    return "other" if len(set(map(starred, culprits))) == 2 or len(culprits) == 2 else "others"


def _is_shift(name: str, model: nn.Module) -> bool:
    return name.rpartition(".")[2].startswith("bias") or name.endswith("bias")


def _merged(groups: dict[str, tuple[set[str], list[str]]]) -> list[tuple[set[str], list[str]]]:
    """Join groups whose drawn parameters, or stuck ones, overlap."""
    merged: list[tuple[set[str], list[str]]] = []
    for drawn, names in groups.values():
        drawn, names = set(drawn), list(names)
        for each in [each for each in merged if each[0] & (drawn | set(names)) or set(each[1]) & drawn]:
            merged.remove(each)
            drawn |= each[0]
            names = [*each[1], *names]
        merged.append((drawn, names))
    return merged
