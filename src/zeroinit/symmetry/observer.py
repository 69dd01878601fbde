"""The diagnostics of a model while it trains: an observer of ``fit``, or of any loop that calls its methods."""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from zeroinit._common import whole_number
from zeroinit._imports import import_extra
from zeroinit._modules.layers import is_conv1d
from zeroinit._modules.state import plain_name
from zeroinit.symmetry.measures.diversity import (
    direction_spread,
    distinct_rows,
    ranks_of,
    repeated_features,
)
from zeroinit.symmetry.measures.partition import FEW, Labels, group_equal_rows, num_groups
from zeroinit.symmetry.measures.rounding import row_sizes
from zeroinit.symmetry.units.computed_weights import computed_layers, unknown_layers
from zeroinit.symmetry.units.features import MOST, Features, thinned
from zeroinit.symmetry.units.layers import Layer, UseOfWeights, find_layers
from zeroinit.symmetry.units.watching import LOW_PRECISIONS, SERIES_MOST, kernel_spread

if TYPE_CHECKING:
    import pandas

__all__ = ["LayerRecord", "SymmetryObserver"]


@dataclass(frozen=True)
class LayerRecord:
    """One layer at one step, before its update.

    Attributes:
        step: The update that is about to be done, from 1.
        path: The layer.
        num_units: Its units.
        num_distinct: Units whose weights and biases differ, bit for bit. A unit that is NaN or infinite is different
            from all others.
        num_driven_apart: Units whose values or gradients differ, bit for bit. So these units differ after this update,
            too.
        num_silent: Units without a gradient.
        num_merged: By how much the number of different units fell, because units are identical now that differed in an
            earlier record.
        gradient: Largest absolute gradient of its weights.
        distinct_in: Different units once stored as ``bfloat16`` and ``float16``.
        diversity: Numbers by name, as in ``LayerReport.diversity``, on at most 128 units and 128 inputs of them.
            Effective and stable rank of ``weights``, ``updates`` since the start, ``gradients`` and ``activations``.
            The spread of directions of weights, and that of kernels over their positions. The shares of constant and
            of duplicate features.
    """

    step: int
    path: str
    num_units: int
    num_distinct: int
    num_driven_apart: int
    num_silent: int
    gradient: float
    num_merged: int = 0
    distinct_in: dict[str, int] = field(default_factory=dict)
    diversity: dict[str, float] = field(default_factory=dict)


class SymmetryObserver:
    """Records the numbers that ``inspect`` has for each layer, while a model trains: units, ranks, features.

    Args:
        every: Steps between two records; the first ten steps are always recorded.
        is_cheap: Leave out activations, low precision and kernel positions, and compute ranks on at most 32 units and
            32 of their inputs. The model then has no hooks.

    Attributes:
        every: Steps between two records.
        is_cheap: Whether the costly numbers are left out.
        records: One ``LayerRecord`` for each layer with two or more axes and each recorded step.
        silent: Which units of a layer had no gradient in its latest record, by path.
        not_looked_at: Paths of the layers whose weight is computed by code other than weight norm, spectral norm and
            pruning.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> model, watch = nn.Linear(3, 2), SymmetryObserver()
        >>> watch.on_start(SimpleNamespace(model=model))
        >>> model(torch.randn(4, 3)).square().sum().backward()
        >>> watch.on_gradients(SimpleNamespace(model=model, step=1))
        >>> watch.records[0].num_distinct, watch.to_frame()["stable_rank_updates"].tolist()
        (2, [0.0])
    """

    ALWAYS = 10

    def __init__(self, every: int = 100, *, is_cheap: bool = False):
        self.every, self.is_cheap = whole_number(every, "every", 1), is_cheap
        self._most = SERIES_MOST if is_cheap else MOST
        self.records: list[LayerRecord] = []
        self.silent: dict[str, np.ndarray] = {}
        self.not_looked_at: tuple[str, ...] = ()
        self._layers: list[Layer] | None = None
        self._shapes: dict[str, torch.Size] = {}
        self._starts: dict[str, Tensor] = {}
        self._parted: dict[str, Labels] = {}
        self._features: Features | None = None

    def on_start(self, state) -> None:
        """Forget an earlier run, and look at the weights and at the next forward pass."""
        self.on_end(state)
        self.records, self._layers, self._parted, self._shapes = [], None, {}, {}
        self._starts = {}
        self._look_at(state.model)
        self._watch_features(state.model, 1)

    def on_gradients(self, state) -> None:
        """Record a step, before its update."""
        if self.is_due(state.step):
            self.record(state.model, state.step)
        self._watch_features(state.model, state.step + 1)

    def is_due(self, step: int) -> bool:
        """Whether a step, from 1, is recorded."""
        return step <= self.ALWAYS or step % self.every == 0

    def record(
        self, model: nn.Module, step: int, parameters: Container[nn.Parameter] | None = None, scale: float = 1.0
    ) -> list[LayerRecord]:
        """Record layers before an update, also between those that are due.

        Args:
            model: The model in training.
            step: The update that is about to be done, from 1.
            parameters: Layers whose weights are among them are recorded; all layers if ``None``.
            scale: What gradients are multiplied with until the update.

        Returns:
            The new records.
        """
        named = dict(model.named_parameters())
        if self._layers is None or self._shapes != {name: each.shape for name, each in named.items()}:
            self._look_at(model)
        chosen = [each for each in self._layers or [] if each.weight in named]
        if parameters is not None:
            chosen = [each for each in chosen if named[each.weight] in parameters]
        new = [self._record(step, layer, named) for layer in chosen]
        new = [replace(each, gradient=each.gradient / scale) for each in new] if scale != 1 else new
        self.records += new
        return new

    @property
    def paths(self) -> set[str]:
        """Paths of the layers that the model had at its latest record."""
        return {plain_name(each.path) for each in self._layers or []}

    def forget(self, name: str) -> None:
        """Take a parameter for a new one: it was replaced by one of the same name, or has another shape."""
        for known in (self._shapes, self._parted, self._starts):
            known.pop(name, None)

    def on_end(self, state) -> None:
        """Take the hooks off."""
        if self._features is not None:
            self._features.stop()
        self._features = None

    def to_frame(self) -> "pandas.DataFrame":
        """Return one row for each layer and recorded step."""
        pandas = import_extra("pandas", "bench")
        rows = []
        for each in self.records:
            row = asdict(each)
            diversity, distinct = row.pop("diversity"), row.pop("distinct_in")
            rows.append(row | {f"distinct_in_{name}": count for name, count in distinct.items()} | diversity)
        return pandas.DataFrame(rows)

    def _look_at(self, model: nn.Module) -> None:
        use = UseOfWeights(model)
        use.stop()
        use.axes |= {path: 1 for path, module in model.named_modules() if is_conv1d(module)}
        named = dict(model.named_parameters())
        found = find_layers(model, use, [name for name, each in named.items() if _has_numbers(each) and each.numel()])
        known = [each for each in found if each.known and named[each.weight].dim() > 1]
        self._layers = [*known, *computed_layers(model)]
        self.not_looked_at = unknown_layers(named, self._layers)
        shapes = {name: each.shape for name, each in named.items()}
        for name in [name for name, shape in self._shapes.items() if shapes.get(name) != shape]:
            self.forget(name)
        self._shapes = shapes
        for each in self._layers:
            start = thinned(each.parts[0].rows(named[each.weight].detach()), self._most)
            self._starts.setdefault(each.weight, start)

    def _watch_features(self, model: nn.Module, step: int) -> None:
        """Have hooks on the layers in front of a recorded step alone."""
        if self.is_cheap:
            return
        if self._features is not None and not self.is_due(step):
            self._features.stop()
            self._features = None
        elif self._features is None and self.is_due(step):
            self._features = Features(model, [each.path for each in self._layers or []], latest=True)

    def _record(self, step: int, layer: Layer, named: dict[str, nn.Parameter]) -> LayerRecord:
        def value(name: str) -> Tensor:
            return named[name].detach()

        gradient = _gradients(named)
        labels = _labels(layer, value)
        sizes = [row_sizes(part.rows(gradient(part.name))) for part in layer.parts]
        self.silent[plain_name(layer.path)] = (torch.stack(sizes) == 0).all(dim=0).cpu().numpy()
        low = {} if self.is_cheap else LOW_PRECISIONS
        return LayerRecord(
            step=step,
            path=plain_name(layer.path),
            num_units=len(labels),
            num_distinct=num_groups(labels),
            num_driven_apart=_num_driven_apart(layer, labels, gradient),
            num_silent=int(self.silent[plain_name(layer.path)].sum()),
            num_merged=self._num_merged(layer, labels),
            gradient=float(sizes[0].max()),
            distinct_in={name: distinct_rows(layer.rows(value), dtype) for name, dtype in low.items()},
            diversity=self._diversity(layer, named),
        )

    def _num_merged(self, layer: Layer, labels: Labels) -> int:
        """Refine the partition of units that ever differed; return how many groups of it are one group now."""
        earlier = self._parted.get(layer.weight)
        if earlier is None or len(earlier) != len(labels):
            earlier = labels
        self._parted[layer.weight] = _meet(earlier, labels)
        return num_groups(self._parted[layer.weight]) - num_groups(labels)

    def _diversity(self, layer: Layer, named: dict[str, nn.Parameter]) -> dict[str, float]:
        part = layer.parts[0]
        weights = thinned(part.rows(named[part.name].detach()), self._most)
        matrices = {
            "weights": weights,
            "updates": weights - self._starts[part.name].to(weights),
            "gradients": thinned(part.rows(_gradients(named)(part.name)), self._most),
        }
        features = self._features.outputs.get(layer.path) if self._features is not None else None
        if features is not None:
            matrices["activations"] = features
        numbers = {"direction_spread": direction_spread(weights)}
        spread = None if self.is_cheap else kernel_spread(layer, lambda name: named[name].detach())
        if spread is not None:
            numbers["position_spread"] = spread
        repeated = {} if features is None else repeated_features(features)
        return numbers | ranks_of(matrices) | repeated


def _has_numbers(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _labels(layer: Layer, tensors: Callable[[str], Tensor]) -> Labels:
    """Group the units of a layer; a few columns settle layers without equal units."""
    few = [part.rows(tensors(part.name))[:, :FEW] for part in layer.parts]
    labels = group_equal_rows(torch.cat(few, dim=1))
    if num_groups(labels) == len(labels):
        return labels
    rows = layer.rows(tensors)
    labels, finite = group_equal_rows(rows), torch.isfinite(rows).all(dim=1).cpu().numpy()
    return np.where(finite, labels, len(labels) + np.arange(len(labels)))


def _num_driven_apart(layer: Layer, labels: Labels, gradient: Callable[[str], Tensor]) -> int:
    """Count units whose values or gradients differ."""
    if num_groups(labels) == len(labels):
        return len(labels)
    return num_groups(_meet(labels, group_equal_rows(layer.rows(gradient))))


def _meet(one: Labels, other: Labels) -> Labels:
    """Return the partition into units that are in one group in both."""
    return np.unique(np.stack([one, other], axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _gradients(named: dict[str, nn.Parameter]) -> Callable[[str], Tensor]:
    """Return what gives a parameter's gradient by name, zeros where there is none."""

    def gradient(name: str) -> Tensor:
        parameter = named[name].detach()
        found = named[name].grad
        return parameter.new_zeros(parameter.shape) if found is None else found.detach().to_dense()

    return gradient
