"""The graph of a loss: where an error comes from, where it ends, and which zero cuts it off."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zeroinit.symmetry.measures import rounding

__all__ = ["Graph", "Node"]

FAINT = rounding.FAINT[torch.float64]
"""What is smaller than this share of what it came from counts as cut off."""
NORMS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RmsNorm", "RMSNorm")
SHAPES = (
    "TBackward", "Transpose", "Permute", "View", "Reshape", "Unsafe", "Expand", "Slice", "Select", "Split", "Unbind",
    "ToCopy", "Clone", "Squeeze", "Unsqueeze", "Alias", "AsStrided", "Chunk", "Index", "Narrow", "Cat", "Mean", "Sum",
)  # fmt: skip


@dataclass
class Node:
    """One operation of the backward pass.

    Attributes:
        call: Autograd's node.
        edges: The operations that receive an error from it, by argument; ``None`` for arguments without a gradient.
        error: Largest absolute error that arrives.
        passed: Largest absolute error that is handed on, by argument.
        leaf: Name of the parameter, for a node that only collects its gradient.
        above: Operations that hand their error to this one, with the argument's position.
        silent: For which arguments nothing was handed on, not even zeros.
    """

    call: Any
    edges: list["Node | None"] = field(default_factory=list)
    error: float = 0.0
    passed: list[float] = field(default_factory=list)
    leaf: str = ""
    above: list[tuple["Node", int]] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The operation, as ``"Addmm"``."""
        return self.call.name().split("::")[-1].rstrip("0123456789").removesuffix("Backward")

    @property
    def is_leaf(self) -> bool:
        """Whether it only collects a gradient."""
        return hasattr(self.call, "variable")

    @property
    def function(self) -> type | None:
        """The autograd function of the user's own whose backward pass it is, if it is one."""
        return getattr(type(self.call), "_forward_cls", None)

    @property
    def is_norm(self) -> bool:
        """Whether it is a norm of any kind."""
        return any(word.lower() in self.call.name().lower() for word in NORMS)

    @property
    def only_shapes(self) -> bool:
        """Whether it only moves values about."""
        return self.call.name().split("::")[-1].startswith(SHAPES)


class Graph:
    """All operations under a loss, with the sizes of the errors that one backward pass sends through them.

    Args:
        loss: A scalar that was not yet gone backward from.
        names: Parameter names by identity.
    """

    def __init__(self, loss: Tensor, names: dict[int, str]):
        self.nodes: dict[Any, Node] = {}
        self.leaves: dict[str, Node] = {}
        self.strangers: list[Tensor] = []
        self._names = names
        self._dims: dict[str, int] = {}
        self._collect(loss.grad_fn)
        self.root = self.nodes.get(loss.grad_fn)

    def measure(self, loss: Tensor, go_backward: Callable[[], None] | None = None) -> None:
        """Go backward once, by ``go_backward`` where it is given, and note the sizes of all errors."""
        handles = [node.call.register_hook(_note(node)) for node in self.nodes.values() if not node.is_leaf]
        try:
            go_backward() if go_backward is not None else loss.backward(retain_graph=True)
        finally:
            for handle in handles:
                handle.remove()

    def first_broken(self, loss: Tensor) -> Node | None:
        """Go backward once and return the first operation that makes NaN or infinity of finite errors."""
        found: list[Node] = []

        def watch(node: Node):
            def hook(passed: tuple, errors: tuple) -> None:
                if not found and all(map(_finite, errors)) and not all(map(_finite, passed)):
                    found.append(node)

            return hook

        handles = [node.call.register_hook(watch(node)) for node in self.nodes.values() if not node.is_leaf]
        try:
            loss.backward(retain_graph=True)
        finally:
            for handle in handles:
                handle.remove()
        return found[0] if found else None

    def note_dims(self, dims: dict[str, int]) -> None:
        """Take in how many axes each parameter has."""
        self._dims = dims

    def uses(self, name: str) -> list[tuple[Node, int]]:
        """Return the operations that a parameter enters, past changes of shape, with the argument's position."""
        return list(self._users(self.leaves[name])) if name in self.leaves else []

    def weights_of(self, node: Node) -> list[str]:
        """Return the parameters that enter an operation directly."""
        found = []
        for edge in node.edges:
            while edge is not None and not edge.leaf and edge.only_shapes and len(edge.edges) == 1:
                edge = edge.edges[0]
            if edge is not None and edge.leaf:
                found.append(edge.leaf)
        return found

    def below(self, node: Node, most: int = 200) -> Iterator[Node]:
        """Yield a node and what lies below it, nearest first."""
        queue, seen = [node], {id(node)}
        while queue and most:
            taken, most = queue.pop(0), most - 1
            yield taken
            for edge in taken.edges:
                if edge is not None and id(edge) not in seen:
                    seen.add(id(edge))
                    queue.append(edge)

    def nearest_norm(self, node: Node) -> Node | None:
        """Return the first norm above an operation, before any other weights enter."""
        queue, seen = [node], {id(node)}
        while queue:
            taken = queue.pop(0)
            if taken.is_norm:
                return taken
            if "softmax" in taken.name.lower() or "attention" in taken.name.lower():
                continue  # what it removes no norm has to
            if taken is not node and any(self._dims.get(name, 0) > 1 for name in self.weights_of(taken)):
                continue
            for parent, _ in taken.above:
                if id(parent) not in seen:
                    seen.add(id(parent))
                    queue.append(parent)
        return None

    def norms_behind(self, names: set[str]) -> dict[str, str]:
        """Say which norm follows each of some parameters before any other weights enter; none for a norm's own."""
        found = {}
        for name in names & set(self.leaves):
            norms = [(self.nearest_norm(node), node) for node, _ in self.uses(name)]
            behind = [norm for norm, node in norms if norm is not None and norm is not node]
            if behind:
                weights = self.weights_of(behind[0])
                kind = next(word for word in NORMS if word.lower() in behind[0].call.name().lower())
                kind = kind.removesuffix("Norm").lower().replace("rms", "RMS")
                kind = "instance" if _is_instance_norm(behind[0]) else kind
                path = weights[0].rpartition(".")[0] if weights else ""
                article = "An" if kind in ("instance", "RMS") else "A"
                found[name] = f"The {kind} norm in `{path}`" if path else f"{article} {kind} norm behind it"
        return found

    def fed_to_weights(self, dims: dict[str, int]) -> set[str]:
        """Return the parameters above whose output other weights of two or more axes follow, on the way to the loss."""
        self._dims = dims
        followed: set[int] = set()
        result = set()
        for node in self._from_the_loss():
            if node.leaf:
                continue
            holds = any(dims.get(name, 0) > 1 for name in self.weights_of(node))
            for edge in node.edges:
                if edge is not None and (holds or id(node) in followed):
                    followed.add(id(edge))
        for name in self.leaves:
            if any(id(user) in followed for user, _ in self.uses(name)):
                result.add(name)
        return result

    def _from_the_loss(self) -> Iterator[Node]:
        waiting = {id(node): len(node.above) for node in self.nodes.values()}
        queue = [self.root] if self.root else []
        while queue:
            node = queue.pop()
            yield node
            for edge in node.edges:
                if edge is not None:
                    waiting[id(edge)] -= 1
                    if not waiting[id(edge)]:
                        queue.append(edge)

    def _collect(self, start: Any) -> None:
        queue = [start] if start is not None else []
        for call in queue:
            self.nodes.setdefault(call, Node(call))
        while queue:
            call = queue.pop()
            node = self.nodes[call]
            variable = getattr(call, "variable", None)
            if variable is not None:
                node.leaf = self._names.get(id(variable), "")
                if not node.leaf:
                    self.strangers.append(variable)
                if node.leaf:
                    self.leaves[node.leaf] = node
                continue
            for position, (below, _) in enumerate(call.next_functions):
                if below is None:
                    node.edges.append(None)
                    continue
                if below not in self.nodes:
                    self.nodes[below] = Node(below)
                    queue.append(below)
                node.edges.append(self.nodes[below])
                self.nodes[below].above.append((node, position))

    def _users(self, node: Node) -> Iterator[tuple[Node, int]]:
        for parent, position in node.above:
            if parent.only_shapes and sum(edge is not None for edge in parent.edges) == 1:
                yield from self._users(parent)
            else:
                yield parent, position


def _note(node: Node):
    def hook(passed: tuple, errors: tuple) -> None:
        node.error = max([node.error, *map(_size, errors)])
        sizes = [_size(each) for each in passed]
        node.passed = [max(pair) for pair in zip(node.passed, sizes, strict=True)] if node.passed else sizes
        node.silent = [each is None for each in passed]

    return hook


def _is_instance_norm(node: Node) -> bool:
    """Tell whether a batch norm works on a batch whose examples were made channels, as instance norms do."""
    given = getattr(node.call, "_saved_input", None)
    below = node.edges[0] if node.edges else None
    return given is not None and given.shape[0] == 1 and below is not None and "View" in below.name


def _finite(value: Any) -> bool:
    known = isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
    return not known or bool(torch.isfinite(value).all())


def _size(value: Any) -> float:
    if not isinstance(value, Tensor) or not value.numel():
        return 0.0
    known = value.is_floating_point() or value.is_complex()
    return float(torch.nan_to_num(value.detach().abs()).max()) if known else 0.0
