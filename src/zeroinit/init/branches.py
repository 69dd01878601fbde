"""Residual branches of a model, found in the graph of one forward pass.

A sum closes a residual branch if one summand was computed from the other: an identity shortcut. It also does if both
come from one place and one side has fewer weights: a shortcut with a projection. Names and types of modules play no
part.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit._modules.batch import Batch, call_model, describe, failed_pass, map_tensors, tensors_in

__all__ = ["Branches", "find_branches"]

VIEWS = ("TBackward0", "TransposeBackward0", "PermuteBackward0", "ToCopyBackward0")
"""Operations between a weight and the operation that uses it."""
SHAPES = (
    *VIEWS,
    "ViewBackward0",
    "UnsafeViewBackward0",
    "ReshapeAliasBackward0",
    "UnsqueezeBackward0",
    "ExpandBackward0",
)
"""Operations that leave all values as they are."""


@dataclass(frozen=True)
class Branches:
    """The residual branches of a model.

    Attributes:
        branches: Names of the parameters of each branch, in the order of the forward pass.
        scales: Names of the parameters that multiply the end of each branch, as in SkipInit, ReZero and LayerScale.
        read_out: Names of the parameters of the last weight before the output that is in no branch.
    """

    branches: tuple[tuple[str, ...], ...]
    scales: tuple[tuple[str, ...], ...]
    read_out: str | None


def find_branches(replica: nn.Module, probe: Batch) -> Branches:
    """Run a model forward once and return its residual branches.

    Args:
        replica: A copy of the model that is discarded afterwards.
        probe: A batch.

    Raises:
        InputError: The forward pass fails, or returns nothing with a gradient.

    Example:
        >>> class Block(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.up, self.down = nn.Linear(3, 5), nn.Linear(5, 3)
        ...
        ...     def forward(self, x):
        ...         return x + self.down(self.up(x).relu())
        >>> model = nn.Sequential(nn.Linear(2, 3), Block(), nn.Linear(3, 2))
        >>> found = find_branches(model, torch.ones(4, 2))
        >>> [each for each in found.branches[0] if "weight" in each], found.read_out
        (['1.up.weight', '1.down.weight'], '2.weight')
    """
    for parameter in replica.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    names = {id(parameter): name for name, parameter in replica.named_parameters()}
    try:
        with torch.enable_grad():
            outputs = call_model(replica.train(), map_tensors(probe, torch.clone))
    except Exception as error:
        raise InputError(
            f"probe={describe(probe)}: {failed_pass(replica, error)}; pass inputs with "
            "which model(*probe), model(**probe) or model(probe) runs in train mode"
        ) from error
    roots = [each.grad_fn for each in tensors_in(outputs) if each.grad_fn is not None]
    if not roots:
        raise InputError(f"probe={describe(probe)}: no output of the model depends on its parameters")
    return _Graph(roots, names).branches()


class _Graph:
    """Nodes of autograd, inputs first; sets of nodes are the bits of a number."""

    def __init__(self, roots: list, names: dict[int, str]):
        self._order = _inputs_first(roots)
        self._number = {node: number for number, node in enumerate(self._order)}
        self._below: list[int] = []
        for number, node in enumerate(self._order):
            below = 1 << number
            for other, _ in node.next_functions:
                below |= self._below[self._number[other]] if other is not None else 0
            self._below.append(below)
        self._names = [names.get(id(getattr(node, "variable", None))) for node in self._order]
        self._uses = self._first_uses()
        self._num_axes = [node.variable.dim() if hasattr(node, "variable") else 0 for node in self._order]

    def branches(self) -> Branches:
        found: list[tuple[int, int]] = []
        for node in self._order:
            ends = [self._number[each] for each, _ in node.next_functions if each is not None]
            if type(node).__name__ == "AddBackward0" and len(ends) == 2 and not any(self._is_leaf(end) for end in ends):
                found += self._branch(*ends)
        named = {names: self._scales(end) for nodes, end in found if (names := self._parameters(nodes))}
        inside = {name for names in named for name in names}
        outside = [
            name
            for name in sorted(self._uses, key=self._uses.__getitem__)
            if name not in inside and self._is_weight(name)
        ]
        return Branches(tuple(named), tuple(named.values()), outside[-1] if outside else None)

    def _is_leaf(self, number: int) -> bool:
        return hasattr(self._order[number], "variable")

    def _scales(self, end: int) -> tuple[str, ...]:
        """Return the parameters that the end of a branch is multiplied by, as they are or through tanh."""
        found, node = [], self._order[end]
        while True:
            inputs = [each for each, _ in node.next_functions if each is not None]
            names = [self._name_below(each, (*SHAPES, "TanhBackward0")) for each in inputs]
            if type(node).__name__ == "MulBackward0" and len(inputs) == 2 and names.count(None) == 1:
                found += [name for name in names if name is not None]
                node = inputs[names.index(None)]
            elif len(inputs) == 1 and type(node).__name__ in (*SHAPES, "MulBackward0", "NativeDropoutBackward0"):
                node = inputs[0]
            else:
                return tuple(found)

    def _branch(self, one: int, other: int) -> list[tuple[int, int]]:
        """Return the nodes of the branch that a sum closes, and its end, if it closes one."""
        for near, far in ((one, other), (other, one)):
            if self._below[near] >> far & 1:
                return [(self._below[near] & ~self._below[far], near)]
        if not self._below[one] & self._below[other] & ~self._leaves():
            return []
        sides = [self._below[one] & ~self._below[other], self._below[other] & ~self._below[one]]
        counts = [sum(self._is_weight(name) for name in self._parameters(side)) for side in sides]
        side = int(counts[1] > counts[0])
        return [] if counts[0] == counts[1] else [(sides[side], (one, other)[side])]

    def _leaves(self) -> int:
        return sum(1 << number for number in range(len(self._order)) if self._is_leaf(number))

    def _first_uses(self) -> dict[str, int]:
        """Return the position of the operation that first uses each parameter."""
        found: dict[str, int] = {}
        for number, node in enumerate(self._order):
            for other, _ in node.next_functions if type(node).__name__ not in VIEWS else ():
                name = None if other is None else self._name_below(other)
                if name is not None:
                    found.setdefault(name, number)
        return found

    def _name_below(self, node: Any, through: tuple[str, ...] = VIEWS) -> str | None:
        """Return the parameter that a node is, or transposes."""
        while type(node).__name__ in through:
            node = node.next_functions[0][0]
        return None if node is None else self._names[self._number[node]]

    def _parameters(self, nodes: int) -> tuple[str, ...]:
        names = [self._names[number] for number in range(len(self._order)) if nodes >> number & 1]
        return tuple(sorted({name for name in names if name}, key=lambda name: (self._uses.get(name, 0), name)))

    def _is_weight(self, name: str) -> bool:
        return self._num_axes[self._names.index(name)] > 1


def _inputs_first(roots: list) -> list:
    """Return all nodes, each after those that it depends on."""
    done, order, stack = set(), [], [(root, False) for root in roots]
    while stack:
        node, is_left = stack.pop()
        if is_left:
            order.append(node)
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            stack += [(each, False) for each, _ in node.next_functions if each is not None]
    return order
