"""What is kept of a shadow training for each layer, step by step."""

import math
from collections.abc import Callable, Iterable
from functools import cached_property

import torch
from torch import Tensor, nn

from zeroinit.symmetry.measures.diversity import (
    direction_spread,
    distinct_rows,
    position_spread,
    ranks_of,
    repeated_features,
)
from zeroinit.symmetry.units.features import Features, thinned
from zeroinit.symmetry.units.layers import Layer, UseOfWeights, find_layers
from zeroinit.symmetry.units.tracking import SAME, CopiedParts, Tracker

__all__ = ["LayerWatch", "Watch", "kernel_spread"]

SERIES_MOST = 32
"""Units, and inputs of them, whose ranks are followed step by step."""
SERIES = [
    f"{kind}_{name}"
    for name in ("weights", "updates", "gradients", "activations")
    for kind in ("effective_rank", "stable_rank")
]
LOW_PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class LayerWatch:
    """One layer's partition and a few thinned matrices."""

    def __init__(
        self,
        layer: Layer,
        values: Callable[[str], Tensor],
        epsilon: float,
        full: bool,
        earlier: Tracker | None,
        same: float = SAME,
    ):
        self.layer = layer
        self.tracker = Tracker(layer, same)
        if earlier is None:
            self.tracker.start(values, epsilon)
        else:
            self.tracker.start_like(earlier)
        low = LOW_PRECISIONS if full else {}
        self.distinct_in = {name: distinct_rows(layer.rows(values), dtype) for name, dtype in low.items()}
        self.start = thinned(layer.rows(values, ("weight",)))
        self.start_spread = kernel_spread(layer, values)
        self.first_gradient: Tensor | None = None
        self._matrices: list[dict[str, Tensor]] = []

    def rank_series(self, gradients: dict[str, Tensor], values: dict[str, Tensor], activations: Tensor | None) -> None:
        """Keep what the ranks of one step are of, all before its update."""
        part = self.layer.parts[0]
        start = thinned(self.start, SERIES_MOST)
        weights = thinned(thinned(part.rows(values[part.name])), SERIES_MOST)
        matrices = {"weights": weights, "updates": weights - start}
        if part.name in gradients:
            matrices["gradients"] = thinned(thinned(part.rows(gradients[part.name])), SERIES_MOST)
        if activations is not None:
            matrices["activations"] = thinned(activations, SERIES_MOST)
        self._matrices.append(matrices)

    @cached_property
    def series(self) -> dict[str, list[float]]:
        """Ranks by name, step by step; NaN where there is none."""
        found: dict[str, list[float]] = {}
        for matrices in self._matrices:
            ranks = ranks_of({name: matrix for name, matrix in matrices.items() if matrix.numel()})
            for name in SERIES:
                found.setdefault(name, []).append(ranks.get(name, math.nan))
        return found

    def follow(self, gradients: dict[str, Tensor], values: dict[str, Tensor]) -> bool:
        """Take one step's gradients in; tell whether there was news."""
        weight = self.layer.parts[0]
        if self.first_gradient is None and weight.name in gradients and gradients[weight.name].any():
            self.first_gradient = thinned(weight.rows(gradients[weight.name]))
        return self.tracker.follow(gradients, values)

    def diversity(self, values: Callable[[str], Tensor], first: Tensor | None, last: Tensor | None) -> dict[str, float]:
        """Return ranks and spreads by name, on at most 128 units and 128 inputs of them."""
        end = thinned(self.layer.rows(values, ("weight",)))
        matrices = {
            "weights": self.start,
            "weights_end": end,
            "updates_end": end - self.start,
            "first_gradient": self.first_gradient,
            "activations": first,
            "activations_end": last,
        }
        there = {name: each for name, each in matrices.items() if each is not None and each.numel()}
        numbers = ranks_of({name: each for name, each in there.items() if torch.isfinite(each).all()})
        numbers["direction_spread"] = direction_spread(self.start)
        numbers["direction_spread_end"] = direction_spread(end)
        for suffix, spread in (("", self.start_spread), ("_end", kernel_spread(self.layer, values))):
            if spread is not None:
                numbers[f"position_spread{suffix}"] = spread
        for suffix, matrix in (("", first), ("_end", last)):
            if matrix is not None:
                numbers |= repeated_features(matrix, suffix)
        return numbers


def kernel_spread(layer: Layer, values: Callable[[str], Tensor]) -> float | None:
    """Return how much of a layer's kernels varies over their positions; ``None`` if they have none, or a single one."""
    weight = values(layer.weight)
    if weight.is_complex():
        return None
    return position_spread(weight) if layer.known and weight.dim() > 2 and weight[0, 0].numel() > 1 else None


class Watch:
    """Watches a shadow: finds its layers at the first step and follows them.

    Args:
        replica: The shadow.
        inspected: Names of the parameters to look at.
        epsilon: Machine epsilon of the model's own type.
        full: ``False`` follows the partitions alone.
        earlier: Trackers of another shadow that started with the same values, so that these are looked at only once.
        same: Relative distance between gradients that counts as rounding.
    """

    def __init__(
        self,
        replica: nn.Module,
        inspected: list[str],
        epsilon: float,
        full: bool = True,
        earlier: Iterable[Tracker] = (),
        same: float = SAME,
    ):
        self._same = same
        self._earlier = {str(each.layer.parts): each for each in earlier}
        self._named = dict(replica.named_parameters())
        self._axes = {name: each.dim() for name, each in self._named.items()}
        self._replica, self._inspected, self._epsilon, self._full = replica, inspected, epsilon, full
        self._use = UseOfWeights(replica)
        self.layers: list[LayerWatch] = []
        self.copied: CopiedParts | None = None
        self._now = Features(nn.Identity(), [])
        self.first = self.last = Features(replica if full else nn.Identity(), _owners(replica) if full else [])

    def look_again(self, replica: nn.Module | None = None) -> Features:
        """Keep the activations of the next forward pass, too; of another copy where one is given."""
        self._now.stop()
        paths = [each.layer.path for each in self.layers if each.layer.known]
        self.last = Features(replica or self._replica, paths, sizes=False)
        return self.last

    def __call__(self, step: int, gradients: dict[str, Tensor]) -> bool:
        """Take one step in; tell whether there was news."""
        if step == 1:
            self._start()
        values = {name: parameter.detach() for name, parameter in self._named.items()}
        news = [layer.follow(gradients, values) for layer in self.layers]
        if self._full:
            outputs = self.first.outputs if step == 1 else self._now.outputs
            for layer in self.layers:
                layer.rank_series(gradients, values, outputs.get(layer.layer.path) if layer.layer.known else None)
            self._now.forget()
        if self.copied is not None:
            news.append(self.copied.follow(gradients))
        return any(news)

    def equal_units(self) -> list[str]:
        """Name the weights whose units, or copies of which, may still be equal, or differ by their biases alone."""
        found = []
        for each in self.layers:
            part, tracker = each.layer.parts[0], each.tracker
            if not self._named[part.name].requires_grad or (each.layer.known and self._named[part.name].dim() < 2):
                continue
            if tracker.has_groups() or (each.layer.known and tracker.initial_by_weight < tracker.initial):
                found.append(part.name)
        if self.copied is not None and self.copied.has_groups():
            found.append("copied layers")
        return found

    def of_matrices(self) -> list[Tracker]:
        """Return the trackers of known layers whose weights have two or more axes."""
        trackers = [each.tracker for each in self.layers]
        return [each for each in trackers if each.layer.known and self.num_axes(each.layer.weight) > 1]

    def num_axes(self, name: str) -> int:
        """Return how many axes a parameter has, also after its memory was given back."""
        return self._axes[name]

    def value(self, name: str) -> Tensor:
        """Return a parameter of the shadow as it is now."""
        return self._named[name].detach()

    def _start(self) -> None:
        self._use.stop()
        self.first.stop()
        found = find_layers(self._replica, self._use, self._inspected)
        self.layers = [
            LayerWatch(layer, self.value, self._epsilon, self._full, self._earlier.get(str(layer.parts)), self._same)
            for layer in found
        ]
        if self._full:
            self._now = Features(self._replica, [each.path for each in found if each.known], SERIES_MOST, sizes=False)
            self.copied = CopiedParts({name: self._named[name] for name in self._inspected}, self._same)


def _owners(model: nn.Module) -> list[str]:
    return [path for path, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
