"""No effect at the starting values alone, or none at all: everything else is disturbed first to tell the two."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from torch import Tensor

from zeroinit.symmetry.shadow.memory.frugal import is_large
from zeroinit.symmetry.verdict.evidence import Evidence, Reason
from zeroinit.symmetry.verdict.passes.naming import draw_line, few
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.masks import masks_in
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = [
    "among_equal_slices",
    "apart_from_targets",
    "balanced",
    "comes_later",
    "equal_cause",
    "everything_else",
    "hidden_effects",
    "slices_that_compete",
]

APART = 1e-3
"""Gradients that differ by this share are different ones."""
NEAR, FAR, VERY_FAR = 1.0, 3.0, 300.0
"""So far values are moved to see whether gradients are zero there as well."""
CHANGED = 0.01
"""A loss that changes by such a share is no rounding, however far values are moved."""
CLEAR = 0.1
"""Such a share of the largest gradient is no rounding, however far values are moved."""
MOST = 64
"""Of so many parameters all are disturbed; of more, those that are zero or have equal slices."""


def everything_else(search: Search) -> Change:
    """Return the change that disturbs whatever may hide an effect."""
    trained = [name for name, each in search.replica.named_parameters() if each.requires_grad]
    if is_large(search.replica.parameters()):
        return Change()
    hiding = {*search.zeros, *_with_equal_slices(search)}
    return Change(draw=tuple(trained if len(trained) <= MOST else [name for name in trained if name in hiding]))


def hidden_effects(search: Search) -> set[str] | None:
    """Return which of its stuck parameters get a gradient where parameters have other values, or a mask is inverted.

    Those that get none there have no effect at all; ``None`` where that would take too much memory to tell.
    """
    base = everything_else(search)
    if not base.draw:
        return None
    moved = replace(base, moved=tuple(sorted(search.without_gradient)), distance=_far(search))
    found = set(search.trials.frees(moved, search.step, 1))
    if next(masks_in(search.evidence.objective.inputs), None) is not None:
        found |= search.trials.frees(Change(inputs="flipped masks"), search.step, 1)
    return found


def comes_later(name: str, search: Search, step: int) -> Reason | None:
    """Return the reason of a parameter without an effect on the loss that has one once parameters have moved.

    A shift in front of a norm has none wherever the other parameters are; what chooses among equal values has none only
    as long as they are equal. A bias behind which the slopes of a margin loss cancel has one as soon as an example is
    past the margin.
    """
    base = everything_else(search)
    if base.draw and name in search.trials.frees(base, step, 1):
        if (equal := among_equal_slices(name, search, step)) is not None:
            if any(each.cause == equal.cause and each.kind == equal.kind for each in search.found.values()):
                return equal  # they stay identical, as is told of the weights that choose among them
            return Reason("later", equal.text, equal.culprits, "", equal.cause)
        text = "It has no effect at these starting values, and gets one once other parameters have changed."
        return Reason("later", text, (), "", "later")
    return balanced(name, search, step)


def balanced(name: str, search: Search, step: int) -> Reason | None:
    """Return the reason of a parameter that matters at other values of its own, as behind a margin loss or rounding."""
    if name in _balanced([name], search, step):
        text = "The gradients that the examples give {it} add up to zero here. At other values of {it} they do not."
        return Reason("later", text, (), "", "balanced")
    stuck = tuple(_stuck_vectors(search))
    near = Change(moved=(name,), distance=NEAR)
    if (
        name in stuck
        and not search.trials.loss_changes(near, step)
        and all(
            search.trials.loss_changes(Change(moved=each, distance=VERY_FAR), step, share=CHANGED)
            for each in (stuck, (name,))
        )
    ):
        text = "Only values of {it} that are far from this one change the loss."
        return Reason("no_effect", text, (), "", "far")
    return None


def _stuck_vectors(search: Search) -> list[str]:
    return [each for each in sorted(search.without_gradient) if _is_vector(search.replica.get_parameter(each))]


def _balanced(names: Iterable[str], search: Search, step: int) -> set[str]:
    """Return the vectors that get a gradient once their own values are far from where they are."""
    stuck = _stuck_vectors(search)
    freed = _freed_far(stuck, search, step) & set(names)  # by all at once first: most have no effect anywhere
    return freed if len(stuck) < 2 else {each for each in freed if each in _freed_far([each], search, step)}


def _freed_far(names: Iterable[str], search: Search, step: int) -> set[str]:
    moved, found = tuple(names), set()
    for distance in (_far(search), NEAR):
        limit = search.trials.scale * (APART if distance <= FAR else CLEAR)
        rows = search.trials.rows(Change(moved=moved, distance=distance), step, 1)
        found |= {each for each in moved if each in rows and bool((rows[each] > limit).any())}
    return found


def _far(search: Search) -> float:
    """Return how far values are moved: farther behind a large loss, as outputs and targets may be so far apart."""
    size = 2 * abs(search.evidence.double.losses[-1])
    return size if FAR < size < math.inf else FAR


def _is_vector(parameter: Tensor) -> bool:
    """Tell whether all axes but one have one entry, and the last has more, or there is a single one."""
    return parameter.dim() < 2 or (parameter.numel() == max(parameter.shape) and parameter.shape[0] == 1)


def among_equal_slices(name: str, search: Search, step: int) -> Reason | None:
    """Return the reason of a parameter that gets a gradient once equal units or slices, its own or others', differ."""
    layers = _with_equal_slices(search)
    choices = [(each,) for each in sorted(layers, key=lambda each: each != name)]
    for chosen in [*choices, tuple(layers)] if layers else []:
        if name not in search.trials.frees(Change(draw=chosen), step):
            continue
        repair = f"Start with {draw_line(list(chosen), len(chosen))}."
        cause = equal_cause(chosen[0]) if len(chosen) == 1 else f"equal slices of {chosen}"
        if chosen == (name,):
            text = f"All {layers[name]} of {{it}} are identical, so nothing can be chosen among them."
            return Reason("equal", text, chosen, repair, cause)
        text = f"{{it}} can choose nothing among {layers[chosen[0]]} of {few(chosen)}, which are identical."
        return Reason("copies", text, chosen, repair, cause)
    return None


def equal_cause(weight: str) -> str:
    """Return the cause that two findings share: one about equal units, one about a choice among them."""
    return f"equal slices of {weight}"


def slices_that_compete(evidence: Evidence, explain: Callable[..., Search]) -> set[tuple[str, str]]:
    """Return weights and axes whose slices are one and the same, and would get different gradients if they were not.

    Parts of a mixture are; entries that are only added up are not.

    Args:
        evidence: After the last update.
        explain: Makes an ``Search`` of watched names and their axes.
    """
    found = set()
    trained = {name for name, each in evidence.model.named_parameters() if each.requires_grad}
    choosing = {name for name in trained if evidence.double.first_step(name) is None}
    for each in evidence.watch.layers:
        tracker, part = each.tracker, each.layer.parts[0]
        if each.layer.known or tracker.num_units < 2 or tracker.width > 1 or not tracker.moved.all():
            continue
        watched = {part.name, *choosing}  # what chooses among the slices moves first, if it starts at zero
        sizes = explain(watched, {part.name: part}).trials.rows(Change(draw=(part.name,)), 0, 2).get(part.name)
        if sizes is None or not len(sizes):
            differ = part.name in evidence.fed_to_weights
        else:
            differ = bool(sizes.max() - sizes.min() > APART * sizes.max())
        if differ:
            found.add((part.name, each.layer.unit))
    return found


def apart_from_targets(evidence: Evidence, explain: Callable[..., Search]) -> set[str]:
    """Return the last weights whose units were equal and have parted, though no target has a part in their gradient.

    Args:
        evidence: After the last update.
        explain: Makes a ``Search`` of watched names.
    """
    trackers = {each.layer.weight: each.tracker for each in evidence.watch.layers}
    names = {name for name, each in trackers.items() if each.initial < each.width} - evidence.fed_to_weights
    if not names or evidence.objective.targets is None:
        return names if evidence.objective.loss_fn is not None else set()
    trials = explain(names).trials
    own, other = (trials.rows(change, 0, 1) for change in (Change(), Change(targets="targets")))
    moved = {each for each in names & set(own) & set(other) if own[each].any()}
    return {each for each in moved if np.allclose(own[each], other[each], rtol=APART, atol=0)}


def _with_equal_slices(search: Search) -> dict[str, str]:
    """Return the parameters with equal units that have received equal gradients so far, and what these are called."""
    return {
        each.layer.weight: "slices" if not each.layer.known else each.layer.unit
        for each in search.evidence.watch.layers
        if each.tracker.num_units > 1 and each.tracker.width < each.tracker.num_units
    }
