"""No effect at the starting values alone, or none at all: told by disturbing everything else first."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from zeroinit.symmetry.masks import masks_in
from zeroinit.symmetry.memory import is_large
from zeroinit.symmetry.naming import draw_line, few
from zeroinit.symmetry.trials import Change
from zeroinit.symmetry.views import Reason, View

if TYPE_CHECKING:
    from zeroinit.symmetry.explain import Explainer
    from zeroinit.symmetry.inspector import Evidence

__all__ = ["among_equal_slices", "comes_later", "everything_else", "hidden_effects", "slices_that_compete"]

APART = 1e-3
"""Gradients that differ by this share are different ones."""
MOST = 64
"""Of so many parameters all are disturbed; of more, those that are zero or have equal slices."""


def everything_else(explainer: "Explainer") -> Change:
    """Return the change that disturbs whatever may hide an effect."""
    trained = [name for name, each in explainer.replica.named_parameters() if each.requires_grad]
    if is_large(explainer.replica.parameters()):
        return Change()
    hiding = {*explainer.zeros, *_with_equal_slices(explainer)}
    return Change(draw=tuple(trained if len(trained) <= MOST else [name for name in trained if name in hiding]))


def hidden_effects(explainer: "Explainer") -> set[str] | None:
    """Return which of its stuck parameters get a gradient where others have other values, or a mask is inverted.

    Those that get none there have no effect at all; ``None`` where that would take too much memory to tell.
    """
    base = everything_else(explainer)
    if not base.draw:
        return None
    found = set(explainer.trials.frees(base, explainer.step, 1))
    if next(masks_in(explainer.evidence.objective.inputs), None) is not None:
        found |= explainer.trials.frees(Change(inputs="flipped masks"), explainer.step, 1)
    return found


def comes_later(name: str, explainer: "Explainer", step: int) -> Reason | None:
    """Return the reason of a parameter without an effect on the loss that has one once other parameters have moved.

    A shift in front of a norm has none wherever the other parameters are; what chooses among equal values has none only
    as long as they are equal.
    """
    base = everything_else(explainer)
    if not base.draw or name not in explainer.trials.frees(base, step, 1):
        return None
    if (equal := among_equal_slices(name, explainer, step)) is not None:
        return Reason("asleep", equal.text, equal.culprits, "", True, equal.cause)
    text = "It has no effect at these starting values, and gets one once other parameters have changed."
    return Reason("asleep", text, (), "", True, "later")


def among_equal_slices(name: str, explainer: "Explainer", step: int, view: View | None = None) -> Reason | None:
    """Return the reason of a parameter that gets a gradient once equal slices of others differ."""
    equal = [each for each in _with_equal_slices(explainer) if each != name]
    for chosen in [*((each,) for each in equal), tuple(equal)] if equal else []:
        if name in explainer.trials.frees(Change(draw=chosen), step):
            text = f"{{it}} chooses among slices of {few(chosen)}, which are identical."
            repair = f"Start with {draw_line(list(chosen), len(chosen))}."
            cause = f"equal slices of {chosen[0]}" if len(chosen) == 1 else f"equal slices {chosen}"
            return Reason("copies", text, chosen, repair, True, cause)
    return None


def slices_that_compete(evidence: "Evidence", explain: Callable[..., "Explainer"]) -> set[tuple[str, str]]:
    """Return weights and axes whose slices are one and the same, and would get different gradients if they were not.

    Parts of a mixture are; entries that are only added up are not.

    Args:
        evidence: After the last update.
        explain: Makes an ``Explainer`` of watched names and their axes.
    """
    found = set()
    for each in evidence.watch.layers:
        tracker, part = each.tracker, each.layer.parts[0]
        if each.layer.known or tracker.num_units < 2 or tracker.width > 1 or not tracker.moved.all():
            continue
        if part.name in evidence.fed_to_weights:
            continue  # it counts anyway
        sizes = explain({part.name}, {part.name: part}).trials.rows(Change(draw=(part.name,)), 0, 1).get(part.name)
        if sizes is not None and len(sizes) and sizes.max() - sizes.min() > APART * sizes.max():
            found.add((part.name, each.layer.unit))
    return found


def _with_equal_slices(explainer: "Explainer") -> list[str]:
    """Return the parameters with equal units or slices that have received equal gradients so far."""
    found = [
        each.layer.weight
        for each in explainer.evidence.watch.layers
        if each.tracker.num_units > 1 and each.tracker.width < each.tracker.num_units
    ]
    return list(dict.fromkeys(found))
