"""The cheap diagnostics of each update, as numbers by name."""

import weakref
from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zeroinit._common import InputError, counted
from zeroinit._modules.arguments import check_module, true_or_false
from zeroinit._modules.sharded import is_sharded
from zeroinit._modules.state import plain_name
from zeroinit.integrations.logs import metrics_of
from zeroinit.integrations.sentence import sentence
from zeroinit.integrations.skipped import Skipped
from zeroinit.integrations.tensors import moved, not_finite
from zeroinit.symmetry.observer import LayerRecord, SymmetryObserver
from zeroinit.symmetry.shadow.checks import unwrapped

__all__ = ["Recorder"]


@dataclass
class _Update:
    """The observations of the running update."""

    step: int = 0
    layers: list[LayerRecord] = field(default_factory=list)
    silent: dict[str, np.ndarray] = field(default_factory=dict)
    with_gradient: set[str] = field(default_factory=set)
    without_gradient: set[str] = field(default_factory=set)
    not_finite: set[str] = field(default_factory=set)
    not_held: set[str] = field(default_factory=set)


class Recorder:
    """Looks at a model before its updates, and keeps the observations of each completed update.

    Args:
        model: The model in training; wrappers are removed.
        every: Updates between two records; the first ten are always recorded.
        by_layer: Give numbers for each layer, too.

    Attributes:
        model: The model without its wrappers.
        records: One ``LayerRecord`` for each layer and recorded update.
        num_recorded: Updates recorded.
        num_zeros: Records at which an optimizer's gradients were there, and all 0.
        steps: The optimizers' steps, made and skipped.
        without_effect: Parameters of which an inspection has said that they have no effect.
        not_finite_gradients: Where nothing was recorded, parameters whose gradients are NaN or infinite at the end.

    Raises:
        InputError: ``model`` is no module, has no parameters, is lazy, or is sharded over processes; ``every`` is no
            whole number above 0; ``by_layer`` is neither ``True`` nor ``False``.
    """

    def __init__(self, model: nn.Module, every: int = 100, by_layer: bool = False):
        self.model = unwrapped(model)
        check_module(self.model)
        if name := is_sharded(self.model):
            raise InputError(f"model: {name} is sharded over processes; use zeroinit before the model is sharded")
        if not (named := dict(self.model.named_parameters())):
            raise InputError(f"model={type(model).__name__}: has no parameters to train")
        if lazy := next((name for name, each in named.items() if is_lazy(each)), None):
            raise InputError(f"model: {lazy} is lazy; run one forward pass first")
        self._by_layer = true_or_false(by_layer, "by_layer")
        self._observer = SymmetryObserver(every, is_cheap=True)
        self._names: dict[nn.Parameter, str] = {}
        self._known: dict[str, tuple[weakref.ref[nn.Parameter], torch.Size]] = {}
        self._sets: set[frozenset[nn.Parameter]] = set()
        self._moving: set[str] = set()
        self._trained: dict[str, None] = {}
        self._groups: set[frozenset[str]] = set()
        self._held: set[str] = set()
        self._update = _Update()
        self._last: list[LayerRecord] = []
        self._seen: set[str] = set()
        self.num_zeros = 0
        self._missed: dict[str, None] = {}
        self._lost: dict[str, int] = {}
        self._in_turns: set[str] = set()
        self._not_finite: dict[str, int] = {}
        self._silent: dict[str, np.ndarray] = {}
        self._latest = self._latest_gradients = self._num_updates = 0
        self.num_recorded = 0
        self.steps = Skipped()
        self.without_effect: Set[str] = frozenset()
        self.not_finite_gradients: tuple[str, ...] = ()

    @property
    def records(self) -> list[LayerRecord]:
        """One ``LayerRecord`` for each layer and recorded update."""
        return self._observer.records

    @property
    def without_gradient(self) -> tuple[str, ...]:
        """Names of the parameters that had no gradient at any recorded update, also of those in no optimizer."""
        return tuple(name for name in self._missed if name not in self._seen)

    @property
    def lost(self) -> dict[str, int]:
        """Parameters that had a gradient until one of the recorded updates and none from then on, with that update.

        A gradient that comes and goes is not lost.
        """
        return dict(self._lost)

    @property
    def not_held(self) -> tuple[str, ...]:
        """Names of the trainable parameters that no optimizer held at any recorded update."""
        return tuple(name for name in self._trained if name not in self._held)

    @property
    def still(self) -> tuple[str, ...]:
        """Names of the parameters whose learning rate was 0 at every recorded update."""
        return tuple(name for name in self._trained if name in self._held and name not in self._moving)

    @property
    def not_finite(self) -> dict[str, int]:
        """Parameters that became NaN or infinite, with the number of updates after which that was seen first."""
        return dict(self._not_finite)

    @property
    def dead(self) -> dict[str, np.ndarray]:
        """Which units (units,) of a layer had no gradient in any record, where these are more than half; by layer.

        A few units may rest by chance: so it takes ten records. If no unit of a layer had a gradient, its weight is in
        ``without_gradient``.
        """
        found = self._silent if self.num_recorded >= SymmetryObserver.ALWAYS else {}
        return {path: units for path, units in found.items() if 0.5 < units.mean() < 1}

    def __getstate__(self) -> dict[str, Any]:  # weak references cannot be pickled
        return {**vars(self), "_known": {}, "_names": {}, "_sets": set()}

    def __str__(self) -> str:
        return sentence(self, max(self._num_updates, self._latest)) if self.num_recorded else "Nothing was seen yet."

    def __repr__(self) -> str:
        return f"Recorder({type(self.model).__name__}, {counted(self.num_recorded, 'update')} recorded)"

    def is_due(self, step: int, parameters: Set[nn.Parameter] = frozenset()) -> bool:
        """Whether an update, from 1, is recorded: also if it is of parameters of the model that none was of before."""
        return self._observer.is_due(step) or bool(parameters and frozenset(parameters) not in self._sets)

    def start(self) -> None:
        """Measure updates from the present weights."""
        self._last = []
        self._renewed()
        self._observer.on_start(_State(self.model))

    @torch.no_grad()
    def look(self, step: int, groups: Iterable[dict[str, Any]], scale: float = 1.0) -> None:
        """Look at values and gradients before an optimizer's step; at each parameter once an update.

        Args:
            step: The number of the coming update, from 1.
            groups: The optimizer's ``param_groups``.
            scale: The factor on gradients until the step (of a ``GradScaler``).
        """
        if self._update.step != step:
            self.drop()
            self._update.step = step
        # at each look: two networks that train in turns have each other's parameters frozen
        named = self._renewed()
        self._names = {each: name for name, each in named.items() if each.requires_grad}
        held = {each: group.get("lr") for group in groups for each in group["params"]}
        own = {each: name for name, each in named.items() if each in held}
        self._moving |= {name for each, name in own.items() if (rate := held[each]) is None or float(rate) != 0}
        self._sets = {each for each in self._sets if each <= {*named.values()}} | {frozenset(own)}
        self._trained |= dict.fromkeys(self._names.values())
        known = self._update.with_gradient | self._update.without_gradient
        chosen = {each: name for each, name in self._names.items() if name not in known and each in own}
        self._held |= {*chosen.values()}
        self._groups.add(frozenset(chosen.values()))
        self._see(self._update, chosen, scale)
        others = {name: each.grad for each, name in self._names.items() if name not in self._held}
        self._update.not_held = {*others} - moved(others)

    def _see(self, update: _Update, chosen: dict[nn.Parameter, str], scale: float = 1.0) -> None:
        update.layers += self._observer.record(self.model, update.step, chosen, scale)
        update.silent |= {each.path: self._observer.silent[each.path] for each in update.layers}
        found = moved({name: each.grad for each, name in chosen.items()})
        self.num_zeros += not found and any(each.grad is not None for each in chosen)
        update.with_gradient |= found
        update.without_gradient |= {*chosen.values()} - found
        update.not_finite |= not_finite(chosen)

    @torch.no_grad()
    def finish(self, num_updates: int) -> None:
        """Take a last look, at the trained weights, and at the gradients of the last update that are still there.

        Zeros in all parameters of an optimizer may be those of ``zero_grad(set_to_none=False)``: they tell nothing.

        Args:
            num_updates: Updates so far, recorded or not.
        """
        self._num_updates, num_records = num_updates, len(self.records)
        with suppress(RuntimeError):  # a device that failed, or a model that was taken apart, tells no more
            if any(each.is_meta for each in self.model.parameters()):
                return
            if self.num_recorded:
                self._look_back(num_updates)
            else:
                named = {name: each.grad for name, each in self._renewed().items() if each.grad is not None}
                found = not_finite({each: name for name, each in named.items()})
                self.not_finite_gradients = tuple(name for name in named if name in found)
        del self.records[num_records:]

    def _look_back(self, num_updates: int) -> None:
        named = {name: each for name, each in self._renewed().items() if name in self._trained}
        there: dict[str, Tensor | None] = {
            name: each.grad for name, each in named.items() if each.requires_grad and each.grad is not None
        }
        found = moved(there)
        told = {name for group in self._groups if group & found for name in group & there.keys()}
        update = _Update(step=num_updates + 1)
        self._see(update, {named[name]: name for name in told})
        self._last = update.layers
        update.not_finite = not_finite({each: name for name, each in named.items()})
        self._keep(update, num_updates if told else self._latest_gradients)

    def _renewed(self) -> dict[str, nn.Parameter]:
        """Return the model's parameters; forget what was seen of those that are gone, replaced or of another size."""
        named = {plain_name(name): (name, each) for name, each in self.model.named_parameters()}
        for plain, (reference, shape) in self._known.items():
            name, each = named.get(plain, ("", None))
            if each is None or each.shape != shape or each is not reference():
                self._forget(plain, name)
        self._known = {plain: (weakref.ref(new), new.shape) for plain, (_, new) in named.items()}
        return {plain: new for plain, (_, new) in named.items()}

    def _forget(self, plain: str, name: str) -> None:
        for names in (self._trained, self._missed, self._lost, self._not_finite):
            names.pop(plain, None)
        for each in (self._held, self._seen, self._in_turns, self._moving):
            each.discard(plain)
        self._groups = {group - {plain} for group in self._groups}
        self._silent.pop(plain.rpartition(".")[0], None)
        self._observer.forget(name)

    def drop(self) -> None:
        """Forget an update that changed nothing, such as one that a ``GradScaler`` skipped."""
        del self._observer.records[len(self._observer.records) - len(self._update.layers) :]
        self._update = _Update()

    def take(self) -> dict[str, float]:
        """Keep the observed update; return its numbers by name, or none if it was not recorded."""
        update, self._update = self._update, _Update()
        if not update.step:
            return {}
        num_without_gradient = len(update.without_gradient) + (len(update.not_held) if update.step > 1 else 0)
        self.num_recorded += update.step != self._latest  # one that is late was counted
        self._latest = update.step
        self._keep(update, update.step)
        return metrics_of(update.layers, num_without_gradient, len(update.not_finite), self._by_layer)

    def _keep(self, update: _Update, gradients_of: int) -> None:
        """Keep what was seen of weights, and of the gradients of an update."""
        self._latest_gradients = gradients_of
        for name in sorted(update.not_finite):
            self._not_finite.setdefault(name, update.step - 1)
        self._in_turns |= update.with_gradient & self._lost.keys()
        self._lost = {name: first for name, first in self._lost.items() if name not in update.with_gradient}
        for name in sorted(update.without_gradient & self._seen - self._in_turns):
            self._lost.setdefault(name, gradients_of)
        self._seen |= update.with_gradient
        self._missed |= dict.fromkeys(sorted(update.without_gradient | update.not_held))
        for path, units in update.silent.items():
            self._silent[path] = units & self._silent.get(path, units)


@dataclass(frozen=True)
class _State:
    """What ``SymmetryObserver`` reads of a ``TrainState``."""

    model: nn.Module
