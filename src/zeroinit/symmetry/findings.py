"""From what the shadows showed to findings and a report."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from zeroinit.symmetry.checklist import checks
from zeroinit.symmetry.codes import CODES
from zeroinit.symmetry.frozen import frozen_adapters, frozen_apart
from zeroinit.symmetry.naming import draw_line, few, starred
from zeroinit.symmetry.no_effect import equal_cause
from zeroinit.symmetry.partition import num_groups, without_singles
from zeroinit.symmetry.report import Finding, LayerReport, ParameterReport, SymmetryReport
from zeroinit.symmetry.silent import Silent
from zeroinit.symmetry.symptoms import Symptom
from zeroinit.symmetry.tracking import Tracker
from zeroinit.symmetry.watching import LayerWatch

if TYPE_CHECKING:
    from zeroinit.symmetry.inspector import Evidence

__all__ = ["judge"]

REASON_CODES = {
    "frozen": "ZI102",
    "asleep": "ZI104",
    "unused": "ZI010",
    "idle": "ZI105",
    "detached": "ZI009",
    "checkpoint": "ZI009",
    "zero_pair": "ZI006",
    "zero_above": "ZI007",
    "zero_input": "ZI007",
    "constant": "ZI007",
    "batch": "ZI007",
    "dead": "ZI008",
    "one_key": "ZI008",
    "cancelled": "ZI011",
    "no_effect": "ZI012",
    "copies": "ZI012",
    "equal": "ZI001",
    "unknown": "ZI012",
    "hook": "ZI019",
    "replaced": "ZI016",
}
MOST_TWINS = 10
MOST_NEARLY_DISTINCT = 0.95
"""Among hundreds of random units a few pairs are as close as rounding by chance; a warning needs one unit in twenty."""


def judge(evidence: "Evidence") -> SymmetryReport:
    """Turn evidence into a report."""
    parameters = tuple(_parameters(evidence))
    steps = {each.name: each.unlock_step for each in parameters}
    layers = tuple(_layer(each, evidence, steps) for each in evidence.watch.layers)
    findings = [*_of_parameters(parameters, evidence), *_of_layers(layers, evidence, steps)]
    findings += _of_copies(evidence, findings)
    findings += [_of_symptom(each) for each in evidence.symptoms]
    if (idle := frozen_adapters(evidence)) is not None:
        names, text, repair = idle
        findings = [each for each in findings if each.code != "ZI102" or not set(each.parameters) & set(names)]
        findings.append(_finding("ZI012", _owner(names[0]), names, text, repair, "frozen adapters"))
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
        checks=checks(evidence, parameters, layers, findings),
        not_inspected=evidence.not_inspected,
        notes=tuple(evidence.notes),
    )


def _finding(
    code: str, path: str, parameters: tuple[str, ...] | list[str], message: str, repair: str = "", cause: str = ""
) -> Finding:
    entry = CODES[code]
    return Finding(code, entry.severity, path, tuple(parameters), message, repair or entry.suggestion, cause)


def _of_symptom(each: Symptom) -> Finding:
    return _finding(each.code, each.path, each.parameters, each.text, each.repair, each.text)


def _owner(name: str) -> str:
    """Return the module that owns a parameter; the owner of a parametrized weight is the layer itself."""
    return name.split("parametrizations.")[0].rstrip(".") if "parametrizations." in name else name.rpartition(".")[0]


def _parameters(evidence: "Evidence") -> Iterator[ParameterReport]:
    for name, parameter in evidence.model.named_parameters():
        if name in evidence.not_inspected:
            continue
        step, reason = evidence.double.first_step(name), evidence.reasons.get(name)
        rounding = evidence.double.rounding_step(name)
        yield ParameterReport(
            name=name,
            path=_owner(name),
            shape=tuple(parameter.shape),
            unlock_step=step,
            rounding_step=rounding,
            starts_at_zero=bool(parameter.numel()) and not bool(parameter.detach().any()),
            reason=reason.kind if reason is not None else "",
            explanation=reason.text.replace("{it}", f"`{name}`") if reason is not None else "",
            gradients=tuple(of.get(name, math.nan) for of in evidence.double.sizes),
        )


def _of_parameters(parameters: tuple[ParameterReport, ...], evidence: "Evidence") -> Iterator[Finding]:
    """One finding for each module and cause; the weights speak for a bias with the same one."""
    groups: dict[tuple[str, str, str], list[ParameterReport]] = {}
    for each in parameters:
        code = _code_of(each, evidence)
        if code:
            reason = evidence.reasons.get(each.name)
            apart = frozen_apart(each.name, evidence)[0] if code == "ZI102" else ""
            cause = (reason.cause or reason.text) if reason is not None and code != "ZI102" else apart
            groups.setdefault((each.path, code, cause), []).append(each)
    for (path, code, cause), members in groups.items():
        names = [each.name for each in members]
        reason = evidence.reasons.get(max(members, key=lambda each: len(each.shape)).name)
        if code == "ZI101":
            step = max(each.unlock_step or 0 for each in members)
            if any(len(each.shape) > 1 or not each.name.endswith("bias") for each in members):
                verbs = ("starts", "gets") if len(names) == 1 else ("start", "get")
                message = f"{few(names)} {verbs[0]} at zero and {verbs[1]} the first gradient at step {step}."
                yield _finding(code, path, names, message)
            continue
        assert reason is not None
        text = frozen_apart(names[0], evidence)[1] if code == "ZI102" else reason.text.replace("{it}", few(names))
        repair = "" if CODES[code].severity == "info" else reason.repair
        yield _finding(code, path, names, f"{_begin(code, names, evidence)} {text}".strip(), repair, cause)


def _begin(code: str, names: list[str], evidence: "Evidence") -> str:
    """Say what happens, before the reason."""
    one, listed = len(names) == 1, few(names)
    if code == "ZI102":
        return f"{listed} {'is' if one else 'are'} frozen: requires_grad is False."
    if code == "ZI103":
        return f"{listed} {'has' if one else 'have'} no effect."
    if code == "ZI104":
        return f"{listed} {'has' if one else 'have'} no gradient yet after step {len(evidence.double.losses)}."
    if code == "ZI105":
        return f"{listed} {'gets' if one else 'get'} no gradient from this batch and loss."
    if code == "ZI011" and any(evidence.double.rounding_step(name) for name in names):
        return f"{listed} {'gets' if one else 'get'} a gradient through rounding alone."
    return f"{listed} never {'gets' if one else 'get'} a gradient."


def _code_of(each: ParameterReport, evidence: "Evidence") -> str:
    if each.reason:
        vector = len(each.shape) < 2 or _is_bias_table(each, evidence)
        return "ZI103" if vector and each.reason in ("cancelled", "no_effect") else REASON_CODES[each.reason]
    return "ZI101" if each.starts_at_zero and each.unlock_step is not None else ""


def _is_bias_table(each: ParameterReport, evidence: "Evidence") -> bool:
    """Tell whether a parameter is a bias for each entry of a table, as that of a user."""
    owner = evidence.model.get_submodule(each.path)
    return isinstance(owner, nn.Embedding) and len(each.shape) == 2 and each.shape[1] == 1


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
        dead=int(evidence.silent[layer.weight].dead.sum()) if layer.weight in evidence.silent else 0,
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
            yield from _of_units(report, watch, steps, evidence.silent.get(report.weight))
        elif not watch.layer.known:
            yield from _of_slices(report, watch, evidence)
        for name, count in report.distinct_in.items():
            if count < report.initial_width and watch.layer.known:
                message = f"{count} of {report.initial_width} different {report.unit} stay so in {name}"
                yield _finding("ZI106", report.path, (report.weight,), message)
                break


def _of_silent(report: LayerReport, silent: Silent | None, names: tuple[str, ...]) -> Iterator[Finding]:
    """Tell which units of a layer that learns do not."""
    dead, zero = (int(silent.dead.sum()), int(silent.zero.sum())) if silent is not None else (0, 0)
    of = f"of {report.num_units} {report.unit}"
    if silent is not None and dead:
        message = f"{dead} {of} in `{report.path or report.weight}` are dead. {silent.text}"
        yield _finding("ZI005", report.path, names, message, silent.repair, f"{starred(report.weight)} units")
    elif silent is not None and zero:
        message = f"{zero} {of} in `{report.path or report.weight}` never get a gradient. {silent.text}"
        yield _finding("ZI006", report.path, names, message, silent.repair, f"{starred(report.weight)} units")
    rest = report.silent - dead - zero
    if 0 < rest < report.num_units and not report.is_output:
        yield _finding("ZI107", report.path, names, f"{rest} {of} have no gradient on this batch.")


def _of_units(
    report: LayerReport, watch: LayerWatch, steps: dict[str, int | None], silent: Silent | None
) -> Iterator[Finding]:
    tracker, names = watch.tracker, tuple(part.name for part in watch.layer.parts)
    labels = _labels(tracker, steps)
    together = _groups_among(labels, tracker.moved)
    awake = report.unlock_step is not None or bool(tracker.moved.any())
    alone = report.is_output and report.effective_width > 1
    if awake:
        yield from _of_silent(report, silent, names)
    if not awake or alone or not tracker.moved.any():
        return
    moved, place = int(tracker.moved.sum()), f"`{report.path or report.weight}`"
    repair = f"Start the layer at random: {draw_line([report.weight], 3)}. Random biases do, too."
    if together < moved:
        message = f"{moved} {report.unit} of {place} are only {together} different: {_identical(report, together)}."
        message += _heads(watch, labels) + _by_rounding(report)
        yield _finding("ZI001", report.path, names, message, repair, equal_cause(report.weight))
        return
    near, mirrored = _groups_among(tracker.nearly, tracker.moved), _groups_among(tracker.mirrored, tracker.moved)
    if near < MOST_NEARLY_DISTINCT * moved:
        message = f"{moved} {report.unit} of {place} are only {near} different, but for rounding."
        yield _finding("ZI002", report.path, names, message, repair)
    elif mirrored < moved and report.num_units > 2 and not report.is_output:
        message = f"{moved} {report.unit} of {place} are {mirrored} and the negatives of others, and stay so."
        yield _finding("ZI003", report.path, names, message, repair)


def _identical(report: LayerReport, together: int) -> str:
    """Say which units are identical."""
    which = "they" if together == 1 else f"{_few(report.twins)}"
    return f"{which} are identical and get identical updates"


def _by_rounding(report: LayerReport) -> str:
    parted = report.width_in_float32 > report.effective_width
    cause = "kernels that give other bits each time part" if report.source == "kernels" else "rounding alone parts"
    return f" In float32, {cause} them into {report.width_in_float32}." if parted else ""


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
    return f" Heads {', '.join(map(str, several))} are copies." if len(several) else ""


def _of_slices(report: LayerReport, watch: LayerWatch, evidence: "Evidence") -> Iterator[Finding]:
    """Slices of an axis that nobody explained: a warning where all are one and the same, or were copied."""
    tracker = watch.tracker
    moved = int(tracker.moved.sum())
    together = _groups_among(tracker.labels, tracker.moved)
    if moved < 2 or together == moved:
        return
    groups = f"{together} group{'' if together == 1 else 's'}"
    message = f"{moved} {report.unit} of `{report.weight}` form {groups} that get identical updates"
    whole = together == 1 and moved == report.num_units and (report.weight, report.unit) in evidence.competing
    if together == 1:
        message = f"{moved} {report.unit} of `{report.weight}` are identical and get identical updates"
    if not whole and _are_copies(watch, evidence):
        named = _few(report.twins)
        repair = f"Draw the copies anew: {draw_line([report.weight], 1)}, or each copy by itself."
        cause = f"copied slices of {report.path} {watch.tracker.labels.tolist()[:64]}"
        yield _finding(
            "ZI004", report.path, (report.weight,), f"{message}, as {named}. They are copies.", repair, cause
        )
    else:
        repair = f"Start it at random: {draw_line([report.weight], 1)}." if whole else ""
        cause = equal_cause(report.weight) if whole else ""
        yield _finding("ZI001" if whole else "ZI108", report.path, (report.weight,), f"{message}.", repair, cause)


def _are_copies(watch: LayerWatch, evidence: "Evidence") -> bool:
    """Tell whether equal slices hold different values, as copies do and fillings with one value do not."""
    part = watch.layer.parts[0]
    value = evidence.model.get_parameter(part.name).detach()
    rows = part.rows(value)
    several = without_singles(watch.tracker.labels)
    several = several[watch.tracker.moved[several]]
    return rows.shape[1] > 1 and any(bool((rows[at] != rows[at][0]).any()) for at in several[:MOST_TWINS])


def _of_copies(evidence: "Evidence", found: list[Finding]) -> Iterator[Finding]:
    if evidence.watch.twins is None:
        return
    flagged = {finding.path for finding in found if finding.code == "ZI001"}
    groups = [group for group in evidence.watch.twins.twins() if not {_owner(name) for name in group} <= flagged]
    others = [name for group in groups for name in group[1:]]
    for group in groups:
        message = f"{few(group)} are copies of each other and get identical updates."
        repair = f"Start every copy but one at random: {draw_line(others, max(3, len(others)))}."
        yield from (
            _finding("ZI004", path, group, message, repair, "copies") for path in dict.fromkeys(map(_owner, group))
        )
