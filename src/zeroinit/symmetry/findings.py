"""From what the shadows showed to findings and a report."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from zeroinit.symmetry.codes import CODES
from zeroinit.symmetry.partition import num_groups, without_singles
from zeroinit.symmetry.report import Finding, LayerReport, ParameterReport, SymmetryReport
from zeroinit.symmetry.tracking import Tracker
from zeroinit.symmetry.watching import LayerWatch

if TYPE_CHECKING:
    from zeroinit.symmetry.inspector import Evidence

__all__ = ["judge"]

REASON_CODES = {
    "frozen": "ZI102",
    "unused": "ZI010",
    "idle": "ZI105",
    "detached": "ZI009",
    "zero_pair": "ZI006",
    "zero_above": "ZI007",
    "zero_below": "ZI007",
    "dead": "ZI008",
    "cancelled": "ZI011",
    "no_effect": "ZI012",
    "unknown": "ZI012",
}
PLURALS = {"is": "are", "does": "do", "takes": "take"}
MOST_TWINS = 10
MOST_NEARLY_DISTINCT = 0.95
"""Among hundreds of random units a few pairs are as close as rounding by chance; a warning needs one unit in twenty."""
LEAST_DEAD = 0.6
"""Units with weights that only this size of input cannot wake count as dead if they are so large a share."""


def judge(evidence: "Evidence") -> SymmetryReport:
    """Turn evidence into a report."""
    parameters = tuple(_parameters(evidence))
    steps = {each.name: each.unlock_step for each in parameters}
    layers = tuple(_layer(each, evidence, steps) for each in evidence.watch.layers)
    findings = [*_of_parameters(parameters, evidence), *_of_layers(layers, evidence, steps)]
    findings += _of_copies(evidence, findings)
    findings += _of_numbers(evidence)
    optimizer = evidence.settings.optimizer
    return SymmetryReport(
        model=type(evidence.model).__name__,
        loss=evidence.objective.kind,
        optimizer=optimizer if isinstance(optimizer, str) else getattr(optimizer, "__name__", "own optimizer"),
        num_steps=len(evidence.double.losses),
        losses=tuple(evidence.double.losses),
        parameters=parameters,
        layers=layers,
        findings=tuple(sorted(findings, key=lambda each: each.severity != "warning")),
        not_inspected=evidence.not_inspected,
        notes=tuple(evidence.notes),
    )


def _finding(code: str, path: str, parameters: tuple[str, ...] | list[str], message: str) -> Finding:
    return Finding(code, CODES[code].severity, path, tuple(parameters), message, CODES[code].suggestion)


def _owner(name: str) -> str:
    """Return the module that owns a parameter; the owner of a parametrized weight is the layer itself."""
    return name.split("parametrizations.")[0].rstrip(".") if "parametrizations." in name else name.rpartition(".")[0]


def _parameters(evidence: "Evidence") -> Iterator[ParameterReport]:
    for name, parameter in evidence.model.named_parameters():
        if name in evidence.not_inspected:
            continue
        step, reason = evidence.double.first_step(name), evidence.reasons.get(name)
        rounding = next((at for at, names in enumerate(evidence.double.rounding, 1) if name in names), None)
        if reason is not None and name in evidence.waking:
            kind, text = "asleep", reason.text if reason.culprits else "its first gradient comes with the next step"
        else:
            kind, text = (reason.kind, reason.text) if reason is not None else ("", "")
        yield ParameterReport(
            name=name,
            path=_owner(name),
            shape=tuple(parameter.shape),
            unlock_step=step,
            rounding_step=rounding,
            starts_at_zero=bool(parameter.numel()) and not bool(parameter.detach().any()),
            reason=kind,
            explanation=text,
            gradients=tuple(of.get(name, math.nan) for of in evidence.double.sizes),
        )


def _of_parameters(parameters: tuple[ParameterReport, ...], evidence: "Evidence") -> Iterator[Finding]:
    """One finding for each module and reason; the weights speak for a bias with the same reason."""
    groups: dict[tuple[str, str], list[ParameterReport]] = {}
    for each in parameters:
        code = _code_of(each)
        if code:
            groups.setdefault((each.path, code), []).append(each)
    for (path, code), members in groups.items():
        names = [each.name for each in members]
        speaker = max(members, key=lambda each: len(each.shape))
        locals_ = _joined([name.removeprefix(f"{path}.") for name in names])
        one = len(names) == 1
        if code == "ZI101":
            step = max(each.unlock_step or 0 for each in members)
            if len(speaker.shape) > 1 or not speaker.name.endswith("bias"):
                yield _finding(
                    code,
                    path,
                    names,
                    f"{locals_} {'starts' if one else 'start'} at zero and "
                    f"{'wakes' if one else 'wake'} up at step {step}",
                )
        elif code == "ZI104":
            yield _finding(
                code,
                path,
                names,
                f"{locals_} {'is' if one else 'are'} still asleep after step {len(evidence.double.losses)}: "
                f"{speaker.explanation}",
            )
        elif code == "ZI011" and speaker.rounding_step is not None:
            yield _finding(
                code,
                path,
                names,
                f"{locals_} {'has' if one else 'have'} a gradient through rounding alone: {speaker.explanation}",
            )
        elif code in ("ZI102", "ZI105", "ZI010"):
            yield _finding(code, path, names, f"{locals_} {_for_number(speaker.explanation, one)}")
        elif code == "ZI103":
            yield _finding(code, path, names, f"{locals_} {'has' if one else 'have'} no effect: {speaker.explanation}")
        else:
            yield _finding(
                code, path, names, f"{locals_} never {'has' if one else 'have'} a gradient: {speaker.explanation}"
            )


def _joined(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _for_number(text: str, one: bool) -> str:
    """Put the verb that a reason starts with into the plural where it is about several parameters."""
    verb, _, rest = text.partition(" ")
    return text if one else f"{PLURALS.get(verb, verb)} {rest}"


def _code_of(each: ParameterReport) -> str:
    if each.reason == "asleep":
        return "ZI104"
    if each.reason:
        vector = len(each.shape) < 2
        return "ZI103" if vector and each.reason in ("cancelled", "no_effect") else REASON_CODES[each.reason]
    return "ZI101" if each.starts_at_zero and each.unlock_step is not None else ""


def _labels(tracker: Tracker, steps: dict[str, int | None]) -> np.ndarray:
    """Return the partition, biases left aside where the weights learn and no bias ever has an effect."""
    parts = tracker.layer.parts
    biases = [part.name for part in parts if part.role == "bias"]
    learns = any(steps.get(part.name) for part in parts if part.role != "bias")
    if biases and learns and not any(steps.get(name) for name in biases):
        return tracker.by_weight
    return tracker.labels


def _layer(watch: LayerWatch, evidence: "Evidence", steps: dict[str, int | None]) -> LayerReport:
    tracker, layer = watch.tracker, watch.layer
    labels = _labels(tracker, steps)
    first, last = evidence.watch.first.outputs.get(layer.path), evidence.watch.last.outputs.get(layer.path)
    return LayerReport(
        path=layer.path,
        weight=layer.weight,
        kind=layer.kind,
        unit=layer.unit,
        num_units=tracker.num_units,
        effective_width=num_groups(labels),
        initial_width=tracker.initial,
        width_up_to_rounding=num_groups(tracker.nearly),
        width_in_float32=evidence.widths_in_float32.get(layer.weight, tracker.num_units),
        mirrored_width=num_groups(tracker.mirrored),
        twins=_largest_group(labels, tracker.moved),
        dead=_num_dead(watch, evidence),
        silent=int((~tracker.moved).sum()),
        unlock_step=steps.get(layer.weight),
        is_output=layer.weight not in evidence.fed_to_weights,
        is_matrix=evidence.watch.value(layer.weight).dim() > 1,
        distinct_in=watch.distinct_in,
        source=_source(watch, evidence, num_groups(labels)),
        diversity=watch.diversity(evidence.watch.value, first, last),
        diversity_by_step={name: tuple(values) for name, values in watch.series.items()},
    )


def _largest_group(labels: np.ndarray, moved: np.ndarray) -> tuple[int, ...]:
    several = without_singles(labels)
    several = several[moved[several]]
    if not len(several):
        return ()
    values, counts = np.unique(labels[several], return_counts=True)
    return tuple(int(at) for at in several[labels[several] == values[counts.argmax()]][:MOST_TWINS])


def _num_dead(watch: LayerWatch, evidence: "Evidence") -> int:
    """Count units without a gradient whose bias outweighs what weights and any input of this size can reach."""
    layer, tracker = watch.layer, watch.tracker
    sizes = evidence.watch.first.input_sizes
    biases = [part for part in layer.parts if part.role == "bias"]
    weight = evidence.watch.value(layer.weight)
    silent = ~tracker.moved
    if not layer.known or layer.path not in sizes or weight.dim() < 2 or layer.unit == "features":
        return 0
    if silent.all() or not silent.any():
        return 0
    rows = layer.parts[0].rows(weight).norm(dim=1)
    bias = evidence.watch.value(biases[0].name) if biases else rows.new_zeros(len(rows))
    if len(bias) != len(rows):
        return 0
    for_ever = silent & ((rows == 0) & (bias <= 0)).cpu().numpy()
    for_now = silent & ((bias + _reach(rows, sizes[layer.path]) <= 0) & (bias < 0)).cpu().numpy()
    return int((for_ever | for_now).sum()) if for_now.mean() >= LEAST_DEAD else int(for_ever.sum())


def _reach(rows: Tensor, size: float) -> Tensor:
    return rows * size if math.isfinite(size) else rows.new_full(rows.shape, math.inf).where(rows > 0, 0.0)


def _source(watch: LayerWatch, evidence: "Evidence", width: int) -> str:
    """Name what tells the units apart, by what is left of the width without it."""
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
    return "biases" if tracker.initial >= width else "other layers"


def _of_layers(
    layers: tuple[LayerReport, ...], evidence: "Evidence", steps: dict[str, int | None]
) -> Iterator[Finding]:
    for report, watch in zip(layers, evidence.watch.layers, strict=True):
        if watch.layer.known and len(evidence.watch.value(report.weight).shape) > 1:
            yield from _of_units(report, watch, steps)
        elif not watch.layer.known:
            yield from _of_slices(report, watch, steps)
        for name, count in report.distinct_in.items():
            if count < report.initial_width and watch.layer.known:
                message = f"{count} of {report.initial_width} different {report.unit} stay so in {name}"
                yield _finding("ZI106", report.path, (report.weight,), message)
                break


def _of_units(report: LayerReport, watch: LayerWatch, steps: dict[str, int | None]) -> Iterator[Finding]:
    tracker, names = watch.tracker, tuple(part.name for part in watch.layer.parts)
    labels = _labels(tracker, steps)
    together = _groups_among(labels, tracker.moved)
    awake = report.unlock_step is not None or bool(tracker.moved.any())
    alone = report.is_output and report.effective_width > 1
    if report.dead and awake:
        message = f"{report.dead} of {report.num_units} {report.unit} are dead: no input of this size wakes them"
        yield _finding("ZI005", report.path, names, message)
    elif report.silent and awake and report.silent < report.num_units and not report.is_output:
        yield _finding(
            "ZI107",
            report.path,
            names,
            f"{report.silent} of {report.num_units} {report.unit} have no gradient on this batch",
        )
    if not awake or alone or not tracker.moved.any():
        return
    if together < tracker.moved.sum():
        message = (
            f"{int(tracker.moved.sum())} {report.unit} form {together} group{'' if together == 1 else 's'} that are "
            f"identical and receive identical updates (as {_few(report.twins)})"
        )
        yield _finding("ZI001", report.path, names, message + _heads(watch, labels) + _by_rounding(report))
        return
    near, mirrored = _groups_among(tracker.nearly, tracker.moved), _groups_among(tracker.mirrored, tracker.moved)
    if near < MOST_NEARLY_DISTINCT * tracker.moved.sum():
        yield _finding(
            "ZI002", report.path, names, f"{int(tracker.moved.sum())} {report.unit} form {near} groups up to rounding"
        )
    elif mirrored < tracker.moved.sum() and report.num_units > 2 and not report.is_output:
        message = (
            f"{int(tracker.moved.sum())} {report.unit} form {mirrored} groups of {report.unit} and their negatives"
        )
        yield _finding("ZI003", report.path, names, message)


def _by_rounding(report: LayerReport) -> str:
    parted = report.width_in_float32 > report.effective_width
    cause = "kernels that give other bits each time part" if report.source == "kernels" else "rounding alone parts"
    return f"; in float32 {cause} them into {report.width_in_float32}" if parted else ""


def _few(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:4])) + (", ..." if len(numbers) > 4 else "")


def _groups_among(labels: np.ndarray, chosen: np.ndarray) -> int:
    return num_groups(labels[chosen]) if chosen.any() else 0


def _heads(watch: LayerWatch, labels: np.ndarray) -> str:
    """Say which attention heads are copies of each other, for a packed projection."""
    heads = watch.layer.heads
    if heads < 2 or len(labels) % (3 * heads):
        return ""
    by_head = labels.reshape(3, heads, -1).transpose(1, 0, 2).reshape(heads, -1)
    _, groups = np.unique(by_head, axis=0, return_inverse=True)
    several = without_singles(groups.reshape(-1))
    return f"; heads {', '.join(map(str, several))} are copies" if len(several) else ""


def _of_slices(report: LayerReport, watch: LayerWatch, steps: dict[str, int | None]) -> Iterator[Finding]:
    """Slices of an axis that nobody explained: a warning where all of them are one and the same."""
    tracker = watch.tracker
    moved = int(tracker.moved.sum())
    together = _groups_among(tracker.labels, tracker.moved)
    if moved < 2 or together == moved:
        return
    message = f"{report.weight}: {moved} {report.unit} form {together} groups that receive identical updates"
    whole = together == 1 and moved == report.num_units and not report.is_output
    yield _finding("ZI001" if whole else "ZI108", report.path, (report.weight,), message)


def _of_copies(evidence: "Evidence", found: list[Finding]) -> Iterator[Finding]:
    if evidence.watch.twins is None:
        return
    flagged = {finding.path for finding in found if finding.code == "ZI001"}
    for group in evidence.watch.twins.twins():
        paths = [_owner(name) for name in group]
        if not set(paths) <= flagged:
            message = f"{', '.join(group[:4])} are copies that receive identical updates"
            yield from (_finding("ZI004", path, group, message) for path in dict.fromkeys(paths))


def _of_numbers(evidence: "Evidence") -> Iterator[Finding]:
    for trace, precision in ((evidence.double, "float64"), (evidence.single, "float32")):
        bad = next((step for step, loss in enumerate(trace.losses, 1) if not math.isfinite(loss)), None)
        if bad is not None:
            yield _finding(
                "ZI013", "", (), f"the loss is {trace.losses[bad - 1]} at step {bad} of the shadow in {precision}"
            )
            return
