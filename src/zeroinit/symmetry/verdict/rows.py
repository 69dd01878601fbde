"""The rows of a report: one for each parameter, and one for each layer."""

import math
from collections.abc import Iterator

import numpy as np

from zeroinit.symmetry.measures.partition import num_groups, without_singles
from zeroinit.symmetry.units.computed_weights import owner_of
from zeroinit.symmetry.units.tracking import Tracker
from zeroinit.symmetry.units.watching import LayerWatch
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.report.parts import LayerReport, ParameterReport

__all__ = ["MOST_LISTED", "labels_of", "layer_row", "parameter_rows"]

MOST_LISTED = 10


def parameter_rows(evidence: Evidence) -> Iterator[ParameterReport]:
    """Yield one row for each parameter that is inspected."""
    for name, parameter in evidence.model.named_parameters():
        if name in evidence.not_inspected:
            continue
        step, reason = evidence.double.first_step(name), evidence.reasons.get(name)
        rounding = evidence.double.rounding_step(name)
        yield ParameterReport(
            name=name,
            path=owner_of(name),
            shape=tuple(parameter.shape),
            first_gradient_step=step,
            rounding_step=rounding,
            starts_at_zero=bool(parameter.numel()) and not bool(parameter.detach().any()),
            reason=reason.kind if reason is not None else "",
            explanation=reason.text.replace("{it}", f"`{name}`") if reason is not None else "",
            gradients=tuple(of.get(name, math.nan) for of in evidence.double.sizes),
        )


def layer_row(watch: LayerWatch, evidence: Evidence, steps: dict[str, int | None]) -> LayerReport:
    """Return the row of one layer; ``steps`` holds the first step with a gradient, by parameter."""
    tracker, layer = watch.tracker, watch.layer
    labels = labels_of(tracker, steps)
    first, last = evidence.watch.first.outputs.get(layer.path), evidence.watch.last.outputs.get(layer.path)
    return LayerReport(
        path=layer.path,
        weight=layer.weight,
        kind=layer.kind,
        unit=layer.unit,
        num_units=tracker.num_units,
        num_distinct_units=num_groups(labels),
        num_distinct_at_start=tracker.initial,
        num_distinct_up_to_rounding=num_groups(tracker.nearly),
        num_distinct_in_float32=evidence.widths_in_float32.get(layer.weight, tracker.num_units),
        num_distinct_up_to_sign=num_groups(tracker.mirrored),
        identical_units=_largest_group(labels, tracker.moved),
        dead=int(evidence.silent[layer.weight].dead.sum()) if layer.weight in evidence.silent else 0,
        silent=int((~tracker.moved).sum()),
        first_gradient_step=steps.get(layer.weight),
        is_output=layer.weight not in evidence.fed_to_weights,
        is_matrix=evidence.watch.value(layer.weight).dim() > 1,
        distinct_in=watch.distinct_in,
        source=_source(watch, evidence, num_groups(labels)),
        diversity=watch.diversity(evidence.watch.value, first, last),
        diversity_by_step={name: tuple(values) for name, values in watch.series.items()},
    )


def labels_of(tracker: Tracker, steps: dict[str, int | None]) -> np.ndarray:
    """Return the partition, biases left aside where the weights learn and no bias ever has an effect."""
    parts = tracker.layer.parts
    biases = [part.name for part in parts if part.role == "bias"]
    learns = any(steps.get(part.name) for part in parts if part.role != "bias")
    if biases and learns and not any(steps.get(name) for name in biases):
        return tracker.by_weight
    return tracker.labels


def _largest_group(labels: np.ndarray, moved: np.ndarray) -> tuple[int, ...]:
    several = without_singles(labels)
    several = several[moved[several]]
    if not len(several):
        return ()
    values, counts = np.unique(labels[several], return_counts=True)
    return tuple(int(at) for at in several[labels[several] == values[counts.argmax()]][:MOST_LISTED])


def _source(watch: LayerWatch, evidence: Evidence, width: int) -> str:
    """Name the source of the difference between units: fewer units differ without this source."""
    tracker, name = watch.tracker, watch.layer.weight
    if width <= 1:
        if tracker.num_units == 1:
            return "one unit"
        in_float32 = evidence.widths_in_float32.get(name, 1)
        if in_float32 <= 1:
            return ""
        return "kernels" if evidence.widths_deterministic.get(name, in_float32) < in_float32 else "rounding"
    if tracker.initial_by_weight >= width:
        return "weights"
    without = evidence.widths_without
    for cause in ("biases", "dropout"):
        if cause in without and without[cause].get(name, width) < width:
            return cause
    if tracker.initial >= width:
        return "biases"
    if name in evidence.fed_to_weights:
        return "other layers"
    if name not in evidence.without_targets:
        return "targets"
    alone = all(each.layer.weight == name for each in evidence.watch.layers)
    return "loss" if watch.layer.known or alone else "other layers"
