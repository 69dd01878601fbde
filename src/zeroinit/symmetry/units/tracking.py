"""Follows the units of each layer through a shadow training: who is still equal to whom, who has moved."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from zeroinit.symmetry.measures.partition import (
    first_signs,
    group_equal_rows,
    group_mirrored_rows,
    num_groups,
    refine,
    without_singles,
)
from zeroinit.symmetry.units.layers import Layer

__all__ = ["NEARLY", "SAME", "CopiedParts", "Tracker"]

SAME = 1e-7
"""Relative distance between gradients, in float64, that counts as rounding."""
NEARLY = 1e-4
"""The same for units whose values are equal only up to rounding."""
EPSILONS = 32
"""Values are equal up to rounding if they differ by so many machine epsilons of the model's own type."""
WEIGHTS = ("weight", "recurrent")
ALL = ("weight", "bias", "recurrent")


@dataclass
class Tracker:
    """The partitions of one layer's units, refined at each step by their gradients.

    Attributes:
        layer: Where the units are.
        same: Relative distance between gradients that counts as rounding.
        num_units: How many there are.
        labels: Groups with equal values and equal gradients so far.
        by_weight: The same with biases left aside, for layers whose biases have no effect.
        nearly: The same up to rounding of the initial values.
        mirrored: The same, with units that are each other's negative in one group.
        moved: Which units have had a gradient.
    """

    layer: Layer
    same: float = SAME
    num_units: int = 0
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    by_weight: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    nearly: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    mirrored: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    moved: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    initial_by_weight: int = 0
    initial: int = 0

    def start(self, values: Callable[[str], Tensor], epsilon: float) -> None:
        """Partition the units by their initial values."""
        rows = self.layer.rows(values, ALL)
        biased = any(part.role == "bias" for part in self.layer.parts)
        weights = self.layer.rows(values, WEIGHTS) if biased else rows
        self.num_units = len(rows)
        self.labels, self.by_weight = group_equal_rows(rows), group_equal_rows(weights)
        self.mirrored = group_mirrored_rows(rows)
        self.nearly = refine(np.zeros(len(rows), dtype=np.int64), rows, EPSILONS * epsilon)
        self._signs = first_signs(rows)
        self.at_start = self.labels, self.by_weight, self.mirrored, self.nearly, self._signs
        self._begin()

    def start_like(self, other: "Tracker") -> None:
        """Take over the partition with which another tracker of the same layer and values started."""
        self.num_units, self.at_start = other.num_units, other.at_start
        self.labels, self.by_weight, self.mirrored, self.nearly, self._signs = other.at_start
        self._begin()

    def _begin(self) -> None:
        self._start = self.labels
        self.moved = np.zeros(self.num_units, dtype=bool)
        self._open = self.has_groups()
        self.initial, self.initial_by_weight = num_groups(self.labels), num_groups(self.by_weight)

    def follow(self, gradients: dict[str, Tensor], values: dict[str, Tensor]) -> bool:
        """Take one step's gradients in; tell whether a group was split or a unit moved for the first time."""
        if not any(part.name in gradients for part in self.layer.parts):
            return False
        if self.moved.all() and not self._open:
            return False
        before = num_groups(self.labels), num_groups(self.by_weight), int(self.moved.sum())

        def gradient(name: str) -> Tensor:
            return gradients[name] if name in gradients else torch.zeros_like(values[name])

        rows = self.layer.rows(gradient, ALL)
        self.moved |= (torch.linalg.vector_norm(rows, math.inf, dim=1) > 0).cpu().numpy()
        if self._open:
            self.labels = refine(self.labels, rows, self.same)
            self.nearly = refine(self.nearly, rows, NEARLY)
            self._signs = torch.where(self._signs == 0, -first_signs(rows), self._signs)
            signs = torch.where(self._signs < 0, -1.0, 1.0).to(rows.dtype)
            self.mirrored = refine(self.mirrored, rows * signs[:, None], self.same)
            self.by_weight = refine(self.by_weight, self.layer.rows(gradient, WEIGHTS), self.same)
            self._open = self.has_groups()
        return before != (num_groups(self.labels), num_groups(self.by_weight), int(self.moved.sum()))

    def has_groups(self) -> bool:
        """Whether any partition still has a group of several units."""
        partitions = (self.labels, self.by_weight, self.nearly, self.mirrored)
        return any(num_groups(each) < self.num_units for each in partitions)

    def near(self) -> np.ndarray:
        """Return the groups of units that are equal up to rounding and were not exactly equal at the start (units,).

        Units that start exactly equal, as rows of zeros, and then part, are near each other for a few steps.
        """
        start, labels = self.at_start[0], self.nearly + self.num_units
        for group in set(self.nearly.tolist()):
            members = self.nearly == group
            if len(set(start[members].tolist())) == 1:
                labels[members] = self.labels[members]
        return labels

    @property
    def width(self) -> int:
        """Groups of units that are equal and have received equal gradients."""
        return num_groups(self.labels)

    def width_bitwise(self, values: Callable[[str], Tensor]) -> int:
        """Groups of units that were equal at the start and are so bit for bit now."""
        if self.initial == self.num_units:
            return self.num_units
        now = group_equal_rows(self.layer.rows(values, ALL))
        return len(np.unique(np.stack([self._start, now]), axis=1).T)


class CopiedParts:
    """Follows parameters of equal shape and equal values: copies of one layer that receive the same gradients."""

    def __init__(self, named: dict[str, Tensor], same: float = SAME):
        self._same = same
        self._groups: dict[tuple, np.ndarray] = {}
        self._names: dict[tuple, list[str]] = {}
        self._moved: set[str] = set()
        for name, value in named.items():
            if value.dim() >= 2 and value.numel() > 1 and value.is_floating_point():
                start = value.detach().flatten()[:16].tolist()
                self._names.setdefault((tuple(value.shape), *start), []).append(name)
        for key, names in self._names.items():
            if len(names) < 2:
                continue
            hashes = [_fingerprint(named[name]) for name in names]
            self._groups[key] = np.unique(hashes, return_inverse=True)[1].astype(np.int64)

    def follow(self, gradients: dict[str, Tensor]) -> bool:
        """Take one step's gradients in; tell whether a group was split."""
        news = False
        for key, labels in self._groups.items():
            several = without_singles(labels)
            if not len(several):
                continue
            names = self._names[key]
            zero = torch.zeros(key[0], dtype=torch.float64, device="cpu")
            rows = torch.stack([_projection(gradients.get(names[at], zero)) for at in several])
            self._moved |= {names[at] for at, row in zip(several, rows, strict=True) if row.any()}
            stretched = torch.zeros(len(labels), rows.shape[1], dtype=torch.float64, device="cpu")
            stretched[torch.from_numpy(several)] = rows
            self._groups[key] = refine(labels, stretched, self._same)
            news |= num_groups(self._groups[key]) != num_groups(labels)
        return news

    def has_groups(self) -> bool:
        """Whether any are still copies of each other."""
        return any(len(without_singles(labels)) for labels in self._groups.values())

    def groups(self) -> list[list[str]]:
        """Names of parameters that are still copies of each other and have moved, group by group."""
        found = []
        for key, labels in self._groups.items():
            for label in np.unique(labels[without_singles(labels)]):
                group = [self._names[key][at] for at in np.flatnonzero(labels == label)]
                if all(name in self._moved for name in group):
                    found.append(group)
        return found


def _fingerprint(value: Tensor) -> int:
    """Hash all values; equal tensors have equal fingerprints."""
    flat = (value.detach().double() + 0.0).reshape(1, -1).view(torch.int64)
    generator = torch.Generator("cpu").manual_seed(2)
    total = torch.zeros((), dtype=torch.int64, device="cpu")
    for part in flat[0].split(1 << 22):
        draws = torch.randint(-(2**63), 2**63 - 1, (len(part),), dtype=torch.int64, generator=generator, device="cpu")
        total = total + (part.cpu() * (draws | 1)).sum()
    return int(total)


def _projection(gradient: Tensor) -> Tensor:
    """Three numbers that stand for a gradient: its products with random rows and columns."""
    matrix = gradient.detach().double().reshape(gradient.shape[0], -1)
    generator = torch.Generator("cpu").manual_seed(3)
    left = torch.randn(3, matrix.shape[0], dtype=torch.float64, generator=generator, device="cpu").to(matrix.device)
    right = torch.randn(matrix.shape[1], 3, dtype=torch.float64, generator=generator, device="cpu").to(matrix.device)
    return ((left @ matrix) * right.T).sum(dim=1).cpu()
