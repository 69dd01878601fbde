"""The diagnostics of a model while it trains: an observer of ``fit``, or of any loop that calls its methods."""

from dataclasses import dataclass

from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.symmetry.diversity import direction_spread, effective_rank, stable_rank
from zeroinit.symmetry.features import thinned
from zeroinit.symmetry.layers import Layer, UseOfWeights, find_layers
from zeroinit.symmetry.partition import group_equal_rows, num_groups

__all__ = ["LayerMoment", "SymmetryObserver"]


@dataclass(frozen=True)
class LayerMoment:
    """One layer at one step.

    Attributes:
        step: The update that is about to be done, from 1.
        path: The layer.
        num_units: Its units.
        num_distinct: Units whose weights and biases differ, bit for bit.
        gradient: Largest absolute gradient of its weights.
        effective_rank: Of the weights, on at most 128 units and 128 inputs of them; ``stable_rank`` and
            ``direction_spread`` likewise.
    """

    step: int
    path: str
    num_units: int
    num_distinct: int
    gradient: float
    effective_rank: float
    stable_rank: float
    direction_spread: float


class SymmetryObserver:
    """Records each layer's distinct units, gradients and ranks while a model trains.

    Args:
        every: Steps between two records; the first ten steps are always recorded.

    Attributes:
        records: One ``LayerMoment`` for each layer with two or more axes and each recorded step.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> model, watch = nn.Linear(3, 2), SymmetryObserver()
        >>> model(torch.randn(4, 3)).sum().backward()
        >>> watch.on_gradients(SimpleNamespace(model=model, step=1))
        >>> watch.records[0].num_distinct
        2
    """

    ALWAYS = 10

    def __init__(self, every: int = 100):
        if not isinstance(every, int) or every < 1:
            raise InputError(f"every={every!r}: must be a whole number of at least 1")
        self.every = every
        self.records: list[LayerMoment] = []
        self._layers: list[Layer] | None = None

    def on_start(self, moment) -> None:
        """Forget an earlier run."""
        self.records, self._layers = [], None

    def on_gradients(self, moment) -> None:
        """Record a step, before its update."""
        if moment.step > self.ALWAYS and moment.step % self.every:
            return
        named = dict(moment.model.named_parameters())
        for layer in self._layers_of(moment.model):
            weight = named[layer.weight]
            if weight.dim() > 1 and layer.known:
                self.records.append(self._record(moment.step, layer, named, weight.grad))

    def _layers_of(self, model: nn.Module) -> list[Layer]:
        if self._layers is None:
            use = UseOfWeights(model)
            use.stop()
            names = [name for name, each in model.named_parameters() if each.is_floating_point()]
            self._layers = find_layers(model, use, names)
        return self._layers

    def _record(self, step: int, layer: Layer, named: dict[str, nn.Parameter], gradient: Tensor | None) -> LayerMoment:
        rows = layer.rows(lambda name: named[name].detach())
        weights = thinned(layer.rows(lambda name: named[name].detach(), ("weight",)))
        return LayerMoment(
            step=step,
            path=layer.path,
            num_units=len(rows),
            num_distinct=num_groups(group_equal_rows(rows)),
            gradient=0.0 if gradient is None else float(gradient.detach().abs().max()),
            effective_rank=effective_rank(weights),
            stable_rank=stable_rank(weights),
            direction_spread=direction_spread(weights),
        )
