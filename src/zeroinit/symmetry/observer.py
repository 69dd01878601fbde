"""The diagnostics of a model while it trains: an observer of ``fit``, or of any loop that calls its methods."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.symmetry.measures.diversity import (
    direction_spread,
    distinct_rows,
    ranks_of,
    repeated_features,
)
from zeroinit.symmetry.measures.partition import group_equal_rows, num_groups
from zeroinit.symmetry.units.features import Features, thinned
from zeroinit.symmetry.units.layers import Layer, UseOfWeights, find_layers
from zeroinit.symmetry.units.watching import LOW_PRECISIONS, kernel_spread

if TYPE_CHECKING:
    import pandas

__all__ = ["LayerMoment", "SymmetryObserver"]


@dataclass(frozen=True)
class LayerMoment:
    """One layer at one step, before its update.

    Attributes:
        step: The update that is about to be done, from 1.
        path: The layer.
        num_units: Its units.
        num_distinct: Units whose weights and biases differ, bit for bit.
        num_driven_apart: Units whose values or gradients differ, bit for bit: those that are not each other's copy
            after this update, either.
        num_silent: Units without a gradient.
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
    distinct_in: dict[str, int] = field(default_factory=dict)
    diversity: dict[str, float] = field(default_factory=dict)


class SymmetryObserver:
    """Records what ``inspect`` tells of each layer while a model trains: units, ranks, features.

    Args:
        every: Steps between two records; the first ten steps are always recorded.

    Attributes:
        records: One ``LayerMoment`` for each layer with two or more axes and each recorded step.

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

    def __init__(self, every: int = 100):
        if not isinstance(every, int) or every < 1:
            raise InputError(f"every={every!r}: must be a whole number of at least 1")
        self.every = every
        self.records: list[LayerMoment] = []
        self._layers: list[Layer] | None = None
        self._starts: dict[str, Tensor] = {}
        self._features: Features | None = None

    def on_start(self, state) -> None:
        """Forget an earlier run, and look at the weights and at the next forward pass."""
        self.on_end(state)
        self.records, self._layers = [], None
        self._look_at(state.model)
        self._watch_features(state.model, 1)

    def on_gradients(self, state) -> None:
        """Record a step, before its update."""
        if self._layers is None:
            self._look_at(state.model)
        if self._is_recorded(state.step):
            named = dict(state.model.named_parameters())
            self.records += [self._record(state.step, layer, named) for layer in self._layers or []]
        self._watch_features(state.model, state.step + 1)

    def on_end(self, state) -> None:
        """Take the hooks off."""
        if self._features is not None:
            self._features.stop()
        self._features = None

    def to_frame(self) -> "pandas.DataFrame":
        """Return one row for each layer and recorded step."""
        import pandas

        rows = []
        for each in self.records:
            row = asdict(each)
            diversity, distinct = row.pop("diversity"), row.pop("distinct_in")
            rows.append(row | {f"distinct_in_{name}": count for name, count in distinct.items()} | diversity)
        return pandas.DataFrame(rows)

    def _is_recorded(self, step: int) -> bool:
        return step <= self.ALWAYS or step % self.every == 0

    def _look_at(self, model: nn.Module) -> None:
        use = UseOfWeights(model)
        use.stop()
        named = dict(model.named_parameters())
        found = find_layers(model, use, [name for name, each in named.items() if each.is_floating_point()])
        self._layers = [each for each in found if each.known and named[each.weight].dim() > 1]
        self._starts = {
            each.weight: thinned(each.parts[0].rows(named[each.weight].detach())).clone() for each in self._layers
        }

    def _watch_features(self, model: nn.Module, step: int) -> None:
        """Have hooks on the layers in front of a recorded step alone."""
        if self._features is not None and not self._is_recorded(step):
            self._features.stop()
            self._features = None
        elif self._features is None and self._is_recorded(step):
            self._features = Features(model, [each.path for each in self._layers or []], latest=True)

    def _record(self, step: int, layer: Layer, named: dict[str, nn.Parameter]) -> LayerMoment:
        values = layer.rows(lambda name: named[name].detach())
        gradients = layer.rows(_gradients(named))
        labels = group_equal_rows(values)
        with_gradients = np.stack([labels, group_equal_rows(gradients)], axis=1)
        weight = layer.parts[0]
        return LayerMoment(
            step=step,
            path=layer.path,
            num_units=len(values),
            num_distinct=num_groups(labels),
            num_driven_apart=len(np.unique(with_gradients, axis=0)),
            num_silent=int((gradients == 0).all(dim=1).sum()),
            gradient=float(_gradients(named)(weight.name).abs().max()),
            distinct_in={name: distinct_rows(values, dtype) for name, dtype in LOW_PRECISIONS.items()},
            diversity=self._diversity(layer, named),
        )

    def _diversity(self, layer: Layer, named: dict[str, nn.Parameter]) -> dict[str, float]:
        part = layer.parts[0]
        weights = thinned(part.rows(named[part.name].detach()))
        matrices = {
            "weights": weights,
            "updates": weights - self._starts[part.name].to(weights),
            "gradients": thinned(part.rows(_gradients(named)(part.name))),
        }
        features = self._features.outputs.get(layer.path) if self._features is not None else None
        if features is not None:
            matrices["activations"] = features
        numbers = {"direction_spread": direction_spread(weights)}
        spread = kernel_spread(layer, lambda name: named[name].detach())
        if spread is not None:
            numbers["position_spread"] = spread
        repeated = {} if features is None else repeated_features(features)
        return numbers | ranks_of(matrices) | repeated


def _gradients(named: dict[str, nn.Parameter]) -> Callable[[str], Tensor]:
    """Return what gives a parameter's gradient by name, zeros where there is none."""

    def gradient(name: str) -> Tensor:
        parameter = named[name].detach()
        found = named[name].grad
        return parameter.new_zeros(parameter.shape) if found is None else found.detach().to_dense()

    return gradient
