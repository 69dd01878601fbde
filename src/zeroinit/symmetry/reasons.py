"""Why a parameter never receives a gradient: the zero that cuts it off, named."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit.symmetry.graph import FAINT, RECTIFIERS, Graph, Node

__all__ = ["Reason", "find_reason", "zero_parameters"]

ADDED = {("Addmm", 0), ("Convolution", 2), ("NativeBatchNorm", 2), ("NativeLayerNorm", 2), ("NativeGroupNorm", 2)}
"""Where an argument is added, so that its gradient does not depend on the others."""


@dataclass(frozen=True)
class Reason:
    """Why a parameter stays where it is.

    Attributes:
        kind: ``frozen``, ``unused``, ``idle``, ``detached``, ``zero_pair``, ``zero_above``, ``zero_below``, ``dead``,
            ``cancelled``, ``no_effect`` or ``unknown``.
        text: The same in words.
        culprits: Names of other parameters that take part.
    """

    kind: str
    text: str
    culprits: tuple[str, ...] = ()


def find_reason(name: str, model: nn.Module, graph: Graph, zeros: set[str]) -> Reason:
    """Find what keeps a parameter's gradient at zero.

    Args:
        name: The parameter.
        model: The shadow whose loss the graph is of.
        graph: Measured.
        zeros: Names of the parameters that are zero everywhere.
    """
    uses = graph.uses(name)
    if not uses:
        return Reason(
            "detached", "takes part in the forward pass, but no gradient leads back to it (detach, no_grad, argmax)"
        )
    reasons = [_of_one_use(name, node, position, graph, zeros) for node, position in uses]
    order = ("zero_pair", "zero_above", "dead", "zero_below", "cancelled", "no_effect", "unknown")
    return min(reasons, key=lambda reason: order.index(reason.kind))


def _of_one_use(name: str, node: Node, position: int, graph: Graph, zeros: set[str]) -> Reason:
    cutter = _cutter(node)
    if cutter is not None:
        return _cut_above(name, node, cutter, graph, zeros)
    below = _zero_operand(name, node, position, graph, zeros)
    if below is not None:
        return below
    if node.is_norm and (node.name, position) not in ADDED:
        return Reason("cancelled", "every channel that it scales is constant, so that the norm hands it zeros")
    norm = graph.nearest_norm(node)
    if norm is not None:
        weights = graph.weights_of(norm)
        return Reason("cancelled", f"{_norm_name(norm, weights)} removes whatever it adds", tuple(weights))
    return Reason("no_effect", "the loss does not depend on it: what it adds is removed further up")


def _cutter(start: Node) -> tuple[Node, int] | None:
    """Return the operation above, and its argument, where the error on the way to ``start`` is lost."""
    queue, seen, lost = [start], {id(start)}, []
    while queue:
        node = queue.pop(0)
        for parent, position in node.above:
            passed = parent.passed[position] if position < len(parent.passed) else 0.0
            if parent.error > 0 and passed <= FAINT * parent.error:
                lost.append((parent, position))
            elif parent.error > 0:
                return None if node is start and start.error > 0 else _first(lost)
            elif id(parent) not in seen:
                seen.add(id(parent))
                queue.append(parent)
    return _first(lost)


def _first(lost: list) -> Any:
    return lost[0] if lost else None


def _cut_above(name: str, node: Node, cutter: tuple[Node, int], graph: Graph, zeros: set[str]) -> Reason:
    cut, position = cutter
    weights = [each for each in graph.weights_of(cut) if each != name]
    if cut.is_norm:
        return Reason("cancelled", f"{_norm_name(cut, weights)} removes whatever it adds", tuple(weights))
    others = [edge for at, edge in enumerate(cut.edges) if at != position and edge is not None]
    zero = [each for each in weights if each in zeros] or _zeros_under(others, graph, zeros - {name})
    if zero:
        own = name in zeros
        if own:
            return Reason(
                "zero_pair", f"it and {_list(zero)} are both zero, so that each cuts off the other", tuple(zero)
            )
        return Reason("zero_above", f"{_list(zero)} above it is zero and stays so", tuple(zero))
    if cut.name.startswith(RECTIFIERS):
        return Reason("dead", f"{_plain(cut.name)} above it is flat for every input of the batch")
    if _saves_zero(cut, "", set()):
        frozen = _nearest(name, zeros - set(graph.leaves))
        named = f"; {frozen} is zero and gets no gradient" if frozen else ""
        return Reason("zero_above", f"a factor above it ({cut.name}) is zero, and frozen or constant{named}")
    return Reason("unknown", f"the error is lost in {cut.name} above it")


def _zero_operand(name: str, node: Node, position: int, graph: Graph, zeros: set[str]) -> Reason | None:
    """Look at what the parameter is multiplied with."""
    others = [edge for at, edge in enumerate(node.edges) if at != position and edge is not None and not edge.leaf]
    if (node.name, position) in ADDED or (node.name.startswith(("Add", "Sub")) and node.name != "Addmm"):
        return None
    if not _saves_zero(node, name, zeros):
        return None
    zero = _zeros_under(others, graph, zeros - {name})
    if zero and name in zeros:
        return Reason("zero_pair", f"it and {_list(zero)} are both zero, so that each cuts off the other", tuple(zero))
    if zero:
        return Reason("zero_below", f"its input is zero, because {_list(zero)} is zero and stays so", tuple(zero))
    return Reason("zero_below", "its input is zero everywhere")


def _saves_zero(node: Node, name: str, zeros: set[str]) -> bool:
    """Tell whether an operation kept an operand that is zero everywhere, other than the parameter itself."""
    kept = []
    for attribute in dir(node.call):
        if attribute.startswith("_saved_"):
            try:
                value = getattr(node.call, attribute)
            except RuntimeError:
                continue
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                kept.append(float(value.detach().abs().max()) <= FAINT)
    return sum(kept) > (1 if name in zeros and len(kept) > 1 else 0)


def _zeros_under(edges: list[Node], graph: Graph, zeros: set[str]) -> list[str]:
    """Return the nearest parameters of several values, or gains, below some operations that are zero everywhere."""
    for edge in edges:
        for node in graph.below(edge):
            found = [node.leaf] if node.leaf in zeros else [each for each in graph.weights_of(node) if each in zeros]
            if found:
                weights = [each for each in found if not each.endswith("bias")]
                return weights[:1] or found[:1]
    return []


def _nearest(name: str, others: set[str]) -> str:
    """Return the other parameter whose path has most in common with that of this one; nothing if none has."""

    def shared(other: str) -> int:
        return next((at for at, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), len(name))

    return max(sorted(others), key=shared, default="")


def _norm_name(node: Node, weights: list[str]) -> str:
    where = f" ({weights[0].rpartition('.')[0] or weights[0]})" if weights else ""
    return f"the norm above it{where}"


def _plain(name: str) -> str:
    return f"the {name.lower()}"


def _list(names: list[str]) -> str:
    return " and ".join(names)


def zero_parameters(model: nn.Module) -> set[str]:
    """Return the names of all parameters that are zero everywhere."""
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.layout == torch.strided and parameter.numel() and not parameter.detach().any()
    }
