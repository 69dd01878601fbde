"""The cheap diagnostics of each update, as numbers by name."""

from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zeroinit._common import InputError, counted
from zeroinit._modules.state import plain_name
from zeroinit.integrations.arguments import true_or_false
from zeroinit.integrations.metrics import metrics_of
from zeroinit.symmetry.observer import LayerRecord, SymmetryObserver
from zeroinit.symmetry.shadow.checks import unwrapped

__all__ = ["Recorder", "is_sharded"]


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

    Raises:
        InputError: ``model`` is no module, has no parameters, is lazy, or is sharded over processes; ``every`` is no
            whole number above 0; ``by_layer`` is neither ``True`` nor ``False``.
    """

    def __init__(self, model: nn.Module, every: int = 100, by_layer: bool = False):
        self.model = unwrapped(model)
        if not isinstance(self.model, nn.Module):
            raise InputError(f"model={type(model).__name__}: must be a torch.nn.Module")
        if name := is_sharded(self.model):
            raise InputError(f"model: {name} is sharded over processes; use zeroinit before the model is sharded")
        if not (named := dict(self.model.named_parameters())):
            raise InputError(f"model={type(model).__name__}: has no parameters to train")
        if lazy := next((name for name, each in named.items() if is_lazy(each)), None):
            raise InputError(f"model: {lazy} is lazy; run one forward pass first")
        self._by_layer = true_or_false(by_layer, "by_layer")
        self._observer = SymmetryObserver(every, is_cheap=True)
        self._names: dict[nn.Parameter, str] = {}
        self._trained: dict[str, None] = {}
        self._groups: set[frozenset[str]] = set()
        self._held: set[str] = set()
        self._update = _Update()
        self._last: list[LayerRecord] = []
        self._seen: set[str] = set()
        self._missed: dict[str, None] = {}
        self._lost: dict[str, int] = {}
        self._in_turns: set[str] = set()
        self._not_finite: dict[str, int] = {}
        self._silent: dict[str, np.ndarray] = {}
        self._latest = self._latest_gradients = self._num_updates = 0
        self.num_recorded = 0

    @property
    def records(self) -> list[LayerRecord]:
        """One ``LayerRecord`` for each layer and recorded update."""
        return self._observer.records

    @property
    def is_looking(self) -> bool:
        """Whether an update was looked at and is not kept yet."""
        return self._update.step > 0

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

    def __str__(self) -> str:
        return self.sentence(max(self._num_updates, self._latest)) if self.num_recorded else "Nothing was seen yet."

    def __repr__(self) -> str:
        return f"Recorder({type(self.model).__name__}, {counted(self.num_recorded, 'update')} recorded)"

    def sentence(self, num_updates: int) -> str:
        """Say what is wrong after the last record, or that nothing is.

        Args:
            num_updates: Updates so far, recorded or not.
        """
        latest = {each.path: each for each in [*self.records, *self._last]}
        identical = [each for each in latest.values() if each.num_driven_apart < each.num_units]
        merged = [each for each in latest.values() if each.num_merged]
        layers, parameters = f"of {len(latest)} layers", f"of {len(self._trained)} parameters"
        when = "" if num_updates <= self.num_recorded else " at the recorded updates"
        rows = (
            (
                "",
                parameters,
                _quoted(self.not_finite),
                f"became NaN or infinite, first seen after {_first(self.not_finite)}",
            ),
            ("units are identical in", layers, [f"`{each.path}`: {_distinct(each)}" for each in identical], ""),
            ("units merged again in", layers, _quoted(each.path for each in merged), ""),
            ("", parameters, _quoted(self.without_gradient), f"had no gradient{when}"),
            ("", parameters, _quoted(self.lost), f"lost their gradient, first seen at {_first(self.lost)}"),
            ("units had no gradient in any record in", layers, [_dead(*each) for each in self.dead.items()], ""),
            ("", parameters, _quoted(self.not_held), "are held by no optimizer"),
        )
        texts = [f"{start} {len(names)} {of} ({_few(names)}) {end}".strip() for start, of, names, end in rows if names]
        found = ", ".join(texts) or f"no units are identical, and each {parameters} had a gradient"
        seen = self._latest_gradients
        until = "" if seen >= num_updates else f" (gradients were last seen at update {seen})"
        return f"After {counted(num_updates, 'update')}: {found}{until}."

    def is_due(self, step: int) -> bool:
        """Whether an update, from 1, is recorded."""
        return self._observer.is_due(step)

    def start(self) -> None:
        """Measure updates from the present weights."""
        self._last = []
        self._observer.on_start(_State(self.model))

    @torch.no_grad()
    def look(self, step: int, parameters: Container[nn.Parameter], scale: float = 1.0) -> None:
        """Look at values and gradients before an optimizer's step; at each parameter once an update.

        Args:
            step: The number of the coming update, from 1.
            parameters: The parameters that the optimizer holds.
            scale: The factor on gradients until the step (of a ``GradScaler``).
        """
        if self._update.step != step:
            self.drop()
            self._update.step = step
        # at each look: two networks that train in turns have each other's parameters frozen
        self._names = {each: name for name, each in self._named().items() if each.requires_grad}
        self._trained |= dict.fromkeys(self._names.values())
        known = self._update.with_gradient | self._update.without_gradient
        chosen = {each: name for each, name in self._names.items() if name not in known and each in parameters}
        self._held |= {*chosen.values()}
        self._groups.add(frozenset(chosen.values()))
        self._see(self._update, chosen, scale)
        others = {name: each.grad for each, name in self._names.items() if name not in self._held}
        self._update.not_held = {*others} - _moved(others)

    def _see(self, update: _Update, chosen: dict[nn.Parameter, str], scale: float = 1.0) -> None:
        update.layers += self._observer.record(self.model, update.step, chosen, scale)
        update.silent |= {each.path: self._observer.silent[each.path] for each in update.layers}
        moved = _moved({name: each.grad for each, name in chosen.items()})
        update.with_gradient |= moved
        update.without_gradient |= {*chosen.values()} - moved
        update.not_finite |= _not_finite(chosen)

    @torch.no_grad()
    def finish(self, num_updates: int) -> None:
        """Take a last look, at the trained weights, and at the gradients of the last update that are still there.

        Zeros in all parameters of an optimizer may be those of ``zero_grad(set_to_none=False)``: they tell nothing.

        Args:
            num_updates: Updates so far, recorded or not.
        """
        self._num_updates, num_records = num_updates, len(self.records)
        with suppress(RuntimeError):  # a device that failed, or a model that was taken apart, tells no more
            if self.num_recorded:
                self._look_back(num_updates)
        del self.records[num_records:]

    def _look_back(self, num_updates: int) -> None:
        named = self._named()
        there: dict[str, Tensor | None] = {
            name: each.grad for name, each in named.items() if each.requires_grad and each.grad is not None
        }
        moved = _moved(there)
        told = {name for group in self._groups if group & moved for name in group & there.keys()}
        update = _Update(step=num_updates + 1)
        self._see(update, {named[name]: name for name in told})
        self._last = update.layers
        update.not_finite = _not_finite({each: name for name, each in named.items() if name in self._trained})
        self._keep(update, num_updates if told else self._latest_gradients)

    def _named(self) -> dict[str, nn.Parameter]:
        return {plain_name(name): each for name, each in self.model.named_parameters()}

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


def _distinct(record: LayerRecord) -> str:
    return f"{record.num_driven_apart} different of {record.num_units}"


def _dead(path: str, units: np.ndarray) -> str:
    return f"`{path}`: {units.sum()} of {len(units)}"


def _quoted(names: Iterable[str]) -> list[str]:
    return [f"`{name}`" for name in names]


def _first(seen: dict[str, int]) -> str:
    return f"update {min(seen.values(), default=0)}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def is_sharded(model: nn.Module) -> str:
    """Return the name of a parameter that lies in pieces on several processes; an empty string if there is none.

    Example:
        >>> is_sharded(nn.Linear(2, 2))
        ''
    """
    for name, each in model.named_parameters():
        kinds = {kind.__name__ for kind in type(each).__mro__} | {type(each.data).__name__}
        if kinds & {"DTensor", "FlatParameter"} or hasattr(each, "ds_id"):
            return name
    return ""


def _moved(gradients: dict[str, Tensor | None]) -> set[str]:
    """Return the names of the gradients that are not zero throughout."""
    return _flags(gradients, lambda most, least: (most != 0) | (least != 0))


def _not_finite(parameters: dict[nn.Parameter, str]) -> set[str]:
    """Return the names of the parameters with an entry that is NaN or infinite."""
    values: dict[str, Tensor | None] = {name: each.detach() for each, name in parameters.items() if each.numel()}
    return {*values} - _flags(values, lambda most, least: torch.isfinite(most) & torch.isfinite(least))


def _flags(tensors: dict[str, Tensor | None], test: Callable[[Tensor, Tensor], Tensor]) -> set[str]:
    """Return the names of the tensors whose largest and least entry pass a test; one wait for each device."""
    by_device: dict[torch.device, dict[str, Tensor]] = {}
    for name, each in tensors.items():
        if each is None:
            continue
        values = each.coalesce().values() if each.layout == torch.sparse_coo else each
        values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
        if values.numel():
            by_device.setdefault(values.device, {})[name] = test(values.amax(), values.amin())
    found: set[str] = set()
    for flags in by_device.values():
        found |= {name for name, flag in zip(flags, torch.stack([*flags.values()]).tolist(), strict=True) if flag}
    return found
