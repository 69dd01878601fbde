"""Units without a gradient in a layer that has one: dead behind a rectifier, zero times zero, or not in this batch."""

import math

import numpy as np
from torch import Tensor

from zeroinit.symmetry.units.watching import LayerWatch
from zeroinit.symmetry.verdict.causes.views import RECTIFIERS, View
from zeroinit.symmetry.verdict.evidence import Evidence, Silent
from zeroinit.symmetry.verdict.passes.graph import Node
from zeroinit.symmetry.verdict.passes.naming import of_model, operation, sentence
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["find_silent", "may_be_stuck"]

MOST_RECTIFIERS = 3
MARGIN = 3
"""A unit counts as dead if inputs so many times larger than those of the batch, or than one, leave it off."""
MANY = 0.6
"""If inputs of the batch's own size leave so large a share of a layer off, all of these units count."""


def may_be_stuck(watch: LayerWatch, evidence: Evidence) -> np.ndarray:
    """Return which units have had no gradient, and cannot get one if a rectifier follows: too low, or zero (units,)."""
    layer, tracker = watch.layer, watch.tracker
    sizes = evidence.watch.first.input_sizes
    biases = [part for part in layer.parts if part.role == "bias"]
    weight, silent = evidence.watch.value(layer.weight), ~tracker.moved
    nothing = np.zeros(tracker.num_units, dtype=bool)
    if not layer.known or layer.path not in sizes or weight.dim() < 2 or layer.unit == "features":
        return nothing
    if silent.all() or not silent.any() or layer.path in evidence.watch.first.of_tables:
        return nothing
    rows = layer.parts[0].rows(weight).norm(dim=1)
    bias = evidence.watch.value(biases[0].name) if biases else rows.new_zeros(len(rows))
    if len(bias) != len(rows):
        return nothing
    empty, reach = (rows == 0) & (bias <= 0), _reach(rows, sizes[layer.path])
    low = (bias + reach <= 0) & (bias < 0) & ~empty & (sizes[layer.path] > 0)
    if float(low.float().mean()) < MANY:
        low &= bias + MARGIN * reach.maximum(_reach(rows, layer.parts[0].rows(weight).shape[1] ** 0.5)) <= 0
    return silent & (empty | low).cpu().numpy()


def _reach(rows: Tensor, size: float) -> Tensor:
    return rows * size if math.isfinite(size) else rows.new_full(rows.shape, math.inf).where(rows > 0, 0.0)


def find_silent(search: Search, stuck: dict[str, np.ndarray]) -> dict[str, Silent]:
    """Try what keeps units silent, layer by layer.

    Args:
        search: Whose trials watch the weights of these layers.
        stuck: By the name of a layer's weight, which units may be stuck.
    """
    view, _ = search.view(search.step)
    found: dict[str, Silent] = {}
    for watch in search.evidence.watch.layers:
        mask = stuck.get(watch.layer.weight)
        if view is not None and mask is not None and watch.layer.weight in view.graph.leaves:
            found[watch.layer.weight] = _of_layer(watch, mask, search, view)
    return found


def _of_layer(watch: LayerWatch, mask: np.ndarray, search: Search, view: View) -> Silent:
    trials, name = search.trials, watch.layer.weight
    biases = tuple(part.name for part in watch.layer.parts if part.role == "bias")
    dead, text, repair = np.zeros_like(mask), "", ""
    near = _rectifiers(view, name)
    if not near and _rectifiers(view, name, joined=True):
        return Silent(dead, dead)
    for node in near:
        call = view.call(node)
        assert call is not None
        change = view.act(call, "leaky")
        freed = trials.freed_rows(change, name, view.step)
        if len(freed) == len(mask) and (freed & mask & ~dead).any():
            dead |= freed & mask
            text = text or f"{sentence(operation(call, view.model))} is off for them, for every input of this size."
            if not repair:
                level = trials.freed_rows(Change(zero=biases), name, view.step) if biases else np.zeros(0)
                if len(level) == len(mask) and level[freed & mask].mean() > 0.5:  # a random half is off by chance
                    repair = f"Start with smaller biases: `nn.init.zeros_({of_model(biases[0])})`."
                else:
                    repair = f"Use an activation with a slope below zero in place of {operation(call, view.model)}."
    zero, rest = np.zeros_like(mask), mask & ~dead
    if rest.any() and watch.layer.parts[0].groups == 1:
        freed = trials.freed_rows(Change(rows=(name,)), name, view.step)
        if len(freed) == len(mask):
            zero = rest & freed
    if zero.any() and (above := view.call(next(iter(near), None))) is not None:
        dead |= zero  # zero units behind a rectifier that has no slope at zero
        text = text or f"They are zero, and {operation(above, view.model)} has no slope there."
        repair = repair or f"Start them at random: `nn.init.normal_({of_model(name)}, std=0.02)`."
        zero = np.zeros_like(mask)
    if zero.any() and not dead.any():
        text = f"Units {_span(zero)} start at zero and are multiplied with each other, so they stay zero."
        at, first = np.flatnonzero(zero), watch.layer.parts[0].axis == 0
        whole = first and len(at) == at[-1] - at[0] + 1
        target = f"{of_model(name)}.data[{at[0]}:{at[-1] + 1}]" if whole else of_model(name)
        repair = f"Start them at random: `nn.init.normal_({target}, std=0.02)`."
    return Silent(dead, zero, text, repair)


def _span(mask: np.ndarray) -> str:
    at = np.flatnonzero(mask)
    if len(at) == at[-1] - at[0] + 1:
        return f"{at[0]} to {at[-1]}"
    return ", ".join(map(str, at[:4])) + (", ..." if len(at) > 4 else "")


def _rectifiers(view: View, name: str, joined: bool = False) -> list[Node]:
    """Return the nearest rectifiers above a weight; ``joined`` are those that a sum with another stream may turn on."""
    queue = [node for node, _ in view.graph.uses(name)]
    seen: set[int] = set()
    found: list[Node] = []
    while queue and len(found) < MOST_RECTIFIERS:
        node = queue.pop(0)
        call = view.call(node)
        if call is not None and call.name in RECTIFIERS:
            found.append(node)
            continue
        weights = [each for each in view.graph.weights_of(node) if each != name]
        if any(view.model.get_parameter(each).dim() > 1 for each in weights):
            continue
        for parent, _ in node.above:
            if id(parent) not in seen and (joined or not _joins(parent)):
                seen.add(id(parent))
                queue.append(parent)
    return found


def _joins(node: Node) -> bool:
    """Tell whether an operation adds what comes from two parts of a model."""
    streams = [each for each in node.edges if each is not None and not each.leaf]
    return node.name in ("Add", "Sub") and len(streams) > 1
