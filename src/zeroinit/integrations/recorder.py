"""The cheap diagnostics of each update, as numbers by name."""

from collections.abc import Callable, Container
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zeroinit._common import InputError
from zeroinit.integrations.arguments import true_or_false
from zeroinit.symmetry.observer import LayerRecord, SymmetryObserver
from zeroinit.symmetry.shadow.checks import unwrapped

__all__ = ["Recorder", "is_sharded", "metrics_of"]

RANKS = ("effective_rank_weights", "effective_rank_updates", "effective_rank_gradients")


@dataclass
class _Update:
    """The observations of the running update."""

    step: int = 0
    layers: list[LayerRecord] = field(default_factory=list)
    with_gradient: set[str] = field(default_factory=set)
    without_gradient: set[str] = field(default_factory=set)
    not_finite: set[str] = field(default_factory=set)


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
        self._update = _Update()
        self._seen: set[str] = set()
        self._missed: dict[str, None] = {}
        self._not_finite: dict[str, None] = {}
        self._latest = 0
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
        """Names of the parameters that had no gradient at any recorded update."""
        return tuple(name for name in self._missed if name not in self._seen)

    @property
    def not_held(self) -> tuple[str, ...]:
        """Names of the trainable parameters that no optimizer held at any recorded update."""
        return tuple(name for name in self._trained if name not in self._seen and name not in self._missed)

    @property
    def not_finite(self) -> tuple[str, ...]:
        """Names of the parameters that were NaN or infinite before a recorded update."""
        return tuple(self._not_finite)

    def findings(self, num_updates: int) -> str:
        """Say what is wrong after the last record, or that nothing is.

        Args:
            num_updates: Updates so far, recorded or not.
        """
        latest = {each.path: each for each in self.records}
        identical = [each for each in latest.values() if each.num_driven_apart < each.num_units]
        merged = [each for each in latest.values() if each.num_merged]
        layers, parameters = f"of {len(latest)} layers", f"of {len(self._trained)} parameters"
        when = "" if num_updates <= self.num_recorded else " at the recorded updates"
        rows = (
            ("", parameters, [f"`{name}`" for name in self.not_finite], "became NaN or infinite"),
            ("units are identical in", layers, [f"`{each.path}`: {_distinct(each)}" for each in identical], ""),
            ("units merged again in", layers, [f"`{each.path}`" for each in merged], ""),
            ("", parameters, [f"`{name}`" for name in self.without_gradient], f"had no gradient{when}"),
            ("", parameters, [f"`{name}`" for name in self.not_held], "are held by no optimizer"),
        )
        texts = [f"{start} {len(names)} {of} ({_few(names)}) {end}".strip() for start, of, names, end in rows if names]
        return ", ".join(texts) or f"no units are identical, and each {parameters} had a gradient"

    def is_due(self, step: int) -> bool:
        """Whether an update, from 1, is recorded."""
        return self._observer.is_due(step)

    def start(self) -> None:
        """Measure updates from the present weights."""
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
        self._names = {each: name for name, each in self.model.named_parameters() if each.requires_grad}
        self._trained |= dict.fromkeys(self._names.values())
        known = self._update.with_gradient | self._update.without_gradient
        chosen = {each: name for each, name in self._names.items() if name not in known and each in parameters}
        self._update.layers += self._observer.record(self.model, step, chosen, scale)
        moved = _flags(
            {name: each.grad for each, name in chosen.items()}, lambda most, least: (most != 0) | (least != 0)
        )
        finite = _flags(
            {name: each.detach() for each, name in chosen.items()},
            lambda most, least: torch.isfinite(most) & torch.isfinite(least),
        )
        self._update.with_gradient |= moved
        self._update.without_gradient |= {*chosen.values()} - moved
        self._update.not_finite |= {name for each, name in chosen.items() if each.numel()} - finite

    def drop(self) -> None:
        """Forget an update that changed nothing, such as one that a ``GradScaler`` skipped."""
        del self._observer.records[len(self._observer.records) - len(self._update.layers) :]
        self._update = _Update()

    def take(self) -> dict[str, float]:
        """Keep the observed update; return its numbers by name, or none if it was not recorded."""
        update, self._update = self._update, _Update()
        if not update.step:
            return {}
        self.num_recorded += update.step != self._latest  # one that is late was counted
        self._latest = update.step
        self._not_finite |= dict.fromkeys(sorted(update.not_finite))
        self._seen |= update.with_gradient
        self._missed |= dict.fromkeys(sorted(update.without_gradient))
        return metrics_of(update.layers, len(update.without_gradient), len(update.not_finite), self._by_layer)


@dataclass(frozen=True)
class _State:
    """What ``SymmetryObserver`` reads of a ``TrainState``."""

    model: nn.Module


def metrics_of(
    records: list[LayerRecord], num_without_gradient: int, num_not_finite: int, by_layer: bool = False
) -> dict[str, float]:
    """Sum up the records of one update.

    Args:
        records: One for each layer.
        num_without_gradient: Parameters without a gradient.
        num_not_finite: Parameters that are NaN or infinite.
        by_layer: Give numbers for each layer, too.

    Returns:
        ``zeroinit/identical_units`` counts units that are identical to an earlier one and get identical updates.
        ``zeroinit/merged_units`` counts those among them that differed before. ``zeroinit/units_without_gradient`` and
        ``zeroinit/parameters_without_gradient`` count what gets no gradient, and ``zeroinit/parameters_not_finite``
        what is NaN or infinite. ``zeroinit/effective_rank_weights``, ``_updates`` and ``_gradients`` are means over
        layers, on at most 32 units and inputs.
    """
    found: dict[str, float] = {
        "identical_units": sum(each.num_units - each.num_driven_apart for each in records),
        "merged_units": sum(each.num_merged for each in records),
        "units_without_gradient": sum(each.num_silent for each in records),
        "parameters_without_gradient": num_without_gradient,
        "parameters_not_finite": num_not_finite,
    }
    for name in RANKS if records else ():
        found[name] = sum(each.diversity[name] for each in records) / len(records)
    for each in records if by_layer else ():
        found[f"{each.path or 'model'}/distinct_units"] = each.num_distinct
        found[f"{each.path or 'model'}/units_without_gradient"] = each.num_silent
        found |= {f"{each.path or 'model'}/{name}": each.diversity[name] for name in RANKS}
    return {f"zeroinit/{name}": float(value) for name, value in found.items()}


def _distinct(record: LayerRecord) -> str:
    return f"{record.num_driven_apart} different of {record.num_units}"


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
