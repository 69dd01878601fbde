"""Why parameters never get a gradient: candidates are tried on the copy, and the first that is true is told."""

from dataclasses import replace
from typing import Any

from zeroinit._findings.lines import readable
from zeroinit.symmetry.shadow.memory.frugal import is_large
from zeroinit.symmetry.verdict.causes.batch import emptied, nothing_in, padding_alone, small
from zeroinit.symmetry.verdict.causes.flat import far_inputs, saturated
from zeroinit.symmetry.verdict.causes.masks import of_mask
from zeroinit.symmetry.verdict.causes.reasons import candidates, last_operation
from zeroinit.symmetry.verdict.causes.views import Candidate, View
from zeroinit.symmetry.verdict.causes.zeros import times_zero
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.naming import of_model, operation, starred
from zeroinit.symmetry.verdict.search.culprits import with_culprits
from zeroinit.symmetry.verdict.search.cuts import cuts
from zeroinit.symmetry.verdict.search.gates import of_closed_gates
from zeroinit.symmetry.verdict.search.no_effect import among_equal_slices, balanced, comes_later
from zeroinit.symmetry.verdict.search.search import MORE_PASSES, SAME_LOSS, Search
from zeroinit.symmetry.verdict.search.selected import left_out
from zeroinit.symmetry.verdict.search.unused import reason_for_unused
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["Explainer"]

MORE_VIEWS = 8
CUTTING = ("dead", "detached")
"""Reasons of parameters whose gradient is lost on its way; values behind them stay as they start."""


class Explainer(Search):
    """Explains stuck parameters, one cause once; see ``Search`` for its arguments."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._explained: set[str] = set()
        self._is_small = False

    def reasons(self) -> dict[str, Reason]:
        """Return the reason of each parameter that never got a gradient."""
        found = self.found
        found |= self._without_effect()
        if set(found) == self.without_gradient:
            return found
        view, reentrant = self.view(self.step)
        self._baseline(found, view, reentrant)
        rest = [name for name in self._ordered() if name not in found]
        absent = [name for name in rest if name not in view.graph.leaves] if view is not None else rest
        views = {name: view for name in rest if name not in absent and view is not None}
        self._of_small_inputs(found, views)
        if view is not None:
            found |= {name: each for name, each in of_closed_gates(self, view).items() if name in views}
        views |= self.other_views(absent)
        for name in rest:
            if name not in views:
                found[name] = reason_for_unused(name, self, view)
        for name, seen in views.items():
            found[name] = found.get(name) or self._tried(name, seen)
        found |= self._consequences(found)
        return with_culprits(self, found, views)

    def _without_effect(self) -> dict[str, Reason]:
        """In a large model, first look for vectors beside weights that learn: a view of all calls takes much memory."""
        if not is_large(self.replica.parameters()):
            return {}
        owners = {name.rpartition(".")[0] for name in self.moving() if self.replica.get_parameter(name).dim() > 1}
        vectors = [name for name in sorted(self.without_gradient) if name.rpartition(".")[0] in owners]
        vectors = [name for name in vectors if self.replica.get_parameter(name).dim() < 2]
        if not vectors or self.trials.loss_changes(Change(draw=tuple(vectors)), self.step):
            return {}
        return {name: Reason("no_effect", SAME_LOSS) for name in vectors}

    def _ordered(self) -> list[str]:
        names = [name for name, _ in self.replica.named_parameters() if name in self.without_gradient]
        return sorted(names, key=lambda name: self.replica.get_parameter(name).dim() < 2)

    def _baseline(self, found: dict[str, Reason], view: View | None, reentrant: bool) -> None:
        """Take out parameters that more steps would move, and those that only a checkpoint hides."""
        freed = self.trials.frees(Change(), self.step)
        if (self.trials.counts or (freed and freed != self.without_gradient)) and not reentrant:
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
                found[name] = Reason("checkpoint", text, (), repair, "checkpoint")
            else:
                found[name] = Reason("later", "Its first gradient comes with a later step.")

    def _of_small_inputs(self, found: dict[str, Reason], views: dict[str, View]) -> None:
        """Take out parameters that larger inputs free, if other inputs of the same size do not."""
        for view in dict.fromkeys(views.values()):
            for each in small(view):
                freed = self.trials.frees(each.change, view.step)
                other = Change(inputs="random")
                freed = freed and freed - self.trials.frees(other, view.step)
                freed |= self.trials.frees_from_zero(each.change, other, view.step) if freed else frozenset()
                self._is_small = self._is_small or bool(freed)
                for name in freed & set(views):
                    found[name] = self._accepted(name, each, each.repairs[0][1], view)

    def other_views(self, absent: list[str]) -> dict[str, View]:
        """Look at passes with other random states, for parameters that are left out at random."""
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
            return Reason("idle", text, (), "Nothing to do if other examples do.", "no example")
        if (padding := padding_alone(name, view)) is not None:
            text = f"Every index that is looked up in {{it}} is {padding}, the padding index, whose row stays as it is."
            return Reason("idle", text, (), "Nothing to do if other batches use others.", "padding alone")
        if vector and self._is_small and not self.trials.loss_changes(Change(draw=(name,)), view.step):
            return Reason("no_effect", SAME_LOSS)
        if (sum_of_none := emptied(name, view)) is not None:
            what, shape = operation(sum_of_none, self.replica), tuple(sum_of_none.given[0].shape)
            if shape[0]:  # of each example something is left out
                text = f"What goes into {what} has the shape {shape}, which is no value at all."
                repair = f"Look at the slice in front of {what}: it leaves nothing."
                return Reason("constant", text, (), repair, text, readable([sum_of_none.line]))
            text = f"No example of this batch is left for {what}: it works on no value at all."
            return Reason("idle", text, (), "Nothing to do if other batches do.", "no example left")
        for each in candidates(name, view):
            if not self._frees(each.change, name, view):
                continue
            if each.reason.cause.startswith("times 0") and (beside := self._cut_beside(name, view)) is not None:
                return beside
            if each.reason.kind == "no_effect" and (later := self._later(name, view)) is not None:
                return later
            for change, repair in each.repairs:
                if change == each.change or self._frees(change, name, view):
                    return self._accepted(name, each, repair, view)
            return self._accepted(name, each, "", view)
        return self._without_candidate(name, view, vector)

    def _consequences(self, found: dict[str, Reason]) -> dict[str, Reason]:
        """Return the reasons of parameters with a zero input that learn once what is wrong with others is mended."""
        told = {}
        for name in [name for name, each in found.items() if each.kind == "zero_input"]:
            for cause, change in self.changes.items():
                first = next((each for each in found.values() if each.cause == cause), None)
                if first is None or first.kind not in CUTTING or name not in self.trials.frees(change, self.step):
                    continue
                text = "The input of {it} is zero for the whole batch, and what is in front does not learn."
                told[name] = replace(first, kind="zero_input", text=text)
                break
        return told

    def _cut_beside(self, name: str, view: View) -> Reason | None:
        """Return what cuts a parameter off on a path of its own, beside one that is multiplied by zero on purpose."""
        for each in cuts(view.calls, self.replica):
            if not each.second and self._frees(each.change, name, view):
                return Reason("detached", each.text, (), each.repair, each.text, each.lines)
        return None

    def _without_candidate(self, name: str, view: View, vector: bool) -> Reason:
        """Tell why no candidate was true: no effect, none yet, or none with this batch."""
        if (far := self._far_inputs(name, view)) is not None:
            return far
        still = vector and not self.trials.loss_changes(Change(draw=(name,)), view.step)
        if still and (later := self._later(name, view)) is not None:
            return later
        for each in of_mask(view):
            if self._frees(each.change, name, view):
                return self._accepted(name, each, each.repairs[0][1], view)
        if (times := times_zero(name, view)) is not None:
            return times
        if not still and (even := balanced(name, self, view.step)) is not None:
            return even
        if (several := saturated(view)) is not None and self._frees(several.change, name, view):
            return self._accepted(name, several, several.repairs[0][1], view)
        if (other := self._of_other_batch(name, view)) is not None:
            return other
        out = left_out(name, self, view)
        if out is not None and (not vector or any(each.cause == out.cause for each in self.found.values())):
            return out
        if still:
            return Reason("no_effect", SAME_LOSS)
        if self.trials.left <= 0:
            return Reason(
                "unknown", "Why was not looked into: many other causes were tried.", (), "Mend the others first."
            )
        last = last_operation(name, view)
        text = f"Cause not found; {last} is the last operation on the way where the gradient was seen."
        return Reason("unknown", text, (), f"Follow the path from `{of_model(name)}` to {last}.")

    def _of_other_batch(self, name: str, view: View) -> Reason | None:
        """Return the reason of a parameter that another batch gives a gradient, as one with other examples masked."""
        for kind in ("other", "choices"):
            if name in self.trials.frees(Change(inputs=kind), view.step):
                return Reason("idle", "Other inputs give {it} a gradient.", (), "", "other inputs")
        if name in self.trials.frees(Change(targets="inverted"), view.step):
            return Reason("idle", "Other targets give {it} a gradient.", (), "", "other targets")
        return None

    def _far_inputs(self, name: str, view: View) -> Reason | None:
        """Return the reason of a parameter in a model most of which learns from normalized inputs alone."""
        for each in far_inputs("Inputs so far from zero leave no gradient to {it}.", view):
            trained = sum(parameter.requires_grad for parameter in self.replica.parameters())
            if 2 * len(self.without_gradient) > trained and self._frees(each.change, name, view):
                return self._accepted(name, each, each.repairs[0][1], view)
        return None

    def _later(self, name: str, view: View) -> Reason | None:
        """Return the reason of a parameter whose effect is hidden by the values of others."""
        if self.replica.get_parameter(name).dim() < 2:
            return comes_later(name, self, view.step)
        return among_equal_slices(name, self, view.step)

    def _frees(self, change: Change, name: str, view: View) -> bool:
        """Try a change. If a similar parameter was explained before, try the change on all similar places at once."""
        similar = starred(name) in self._explained
        return name in self.trials.frees(view.widened(change) if similar else change, view.step)

    def _accepted(self, name: str, each: Candidate, repair: str, view: View) -> Reason:
        self._explained.add(starred(name))
        cause = each.reason.cause or str(each.change)
        self.changes[cause] = each.change
        return replace(each.reason, repair=repair, cause=cause, lines=each.reason.lines or view.lines(each.change))
