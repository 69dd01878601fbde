"""Findings about layers: units that are identical, dead or copied, and slices that nobody explained."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from zeroinit.symmetry.measures.partition import num_groups, without_singles
from zeroinit.symmetry.units.computed_weights import owner_of
from zeroinit.symmetry.units.watching import LayerWatch
from zeroinit.symmetry.verdict.evidence import Evidence, Reason, Silent
from zeroinit.symmetry.verdict.passes.naming import draw_line, few, starred
from zeroinit.symmetry.verdict.report.parts import Finding, LayerReport, finding
from zeroinit.symmetry.verdict.rows import MOST_LISTED, labels_of
from zeroinit.symmetry.verdict.search.no_effect import equal_cause

__all__ = ["of_copies", "of_layers"]

MOST_NEARLY_DISTINCT = 0.95
"""Among hundreds of random units a few pairs are as close as rounding by chance; a warning needs one unit in twenty."""


def of_layers(layers: tuple[LayerReport, ...], evidence: Evidence, steps: dict[str, int | None]) -> Iterator[Finding]:
    """Yield what is wrong with the units of each layer."""
    finite = evidence.single.broken is None and all(map(math.isfinite, evidence.double.losses))
    for report, watch in zip(layers, evidence.watch.layers, strict=True):
        if watch.layer.known and len(evidence.watch.value(report.weight).shape) > 1:
            found = _of_units(report, watch, steps, evidence.silent.get(report.weight))
            if (reason := evidence.cut_blocks.get(report.weight)) is not None:
                yield _of_block(report, watch, reason)
                found = (each for each in found if each.code != "ZI107")
            yield from (each for each in found if each.code != "ZI107" or finite or not report.is_output)
        elif not watch.layer.known:
            yield from _of_slices(report, watch, evidence)
        for name, count in report.distinct_in.items():
            frozen = report.weight in evidence.reasons and evidence.reasons[report.weight].kind == "frozen"
            if count < report.num_distinct_at_start and watch.layer.known and not frozen:
                message = f"{count} of {report.num_distinct_at_start} different {report.unit} stay so in {name}"
                yield finding("ZI106", report.path, (report.weight,), message)
                break


def _of_block(report: LayerReport, watch: LayerWatch, reason: Reason) -> Finding:
    names = tuple(part.name for part in watch.layer.parts)
    place = f"`{report.path or report.weight}`"
    text = reason.text.replace("{it}", "them")
    if reason.kind == "unread":
        which = _spans(np.flatnonzero(~watch.tracker.moved))
        message = f"{report.silent} of {report.num_units} {report.unit} have no gradient, with any batch: {which}. "
        return finding("ZI107", report.path, names, message + text, "Nothing to do if that part is spare.")
    message = f"{report.silent} of {report.num_units} {report.unit} of {place} never get a gradient. {text}"
    code = "ZI009" if reason.kind == "detached" else "ZI008"
    return finding(code, report.path, names, message, reason.repair, f"{starred(report.weight)} units", reason.lines)


def _spans(numbers: np.ndarray) -> str:
    """Write numbers as spans.

    Example:
        >>> _spans(np.array([4, 5, 6, 9]))
        '4 to 6, 9'
    """
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{each[0]} to {each[-1]}" if len(each) > 1 else f"{each[0]}" for each in parts)


def _of_silent(report: LayerReport, silent: Silent | None, names: tuple[str, ...]) -> Iterator[Finding]:
    """Tell which units of a layer that learns do not."""
    dead, zero = (int(silent.dead.sum()), int(silent.zero.sum())) if silent is not None else (0, 0)
    of = f"of {report.num_units} {report.unit}"
    if silent is not None and dead:
        message = f"{dead} {of} in `{report.path or report.weight}` are dead. {silent.text}"
        yield finding("ZI005", report.path, names, message, silent.repair, f"{starred(report.weight)} units")
    elif silent is not None and zero:
        message = f"{zero} {of} in `{report.path or report.weight}` never get a gradient. {silent.text}"
        yield finding("ZI006", report.path, names, message, silent.repair, f"{starred(report.weight)} units")
    rest = report.silent - dead - zero
    if 0 < rest < report.num_units:
        yield finding("ZI107", report.path, names, f"{rest} {of} have no gradient on this batch.")


def _of_units(
    report: LayerReport, watch: LayerWatch, steps: dict[str, int | None], silent: Silent | None
) -> Iterator[Finding]:
    tracker, names = watch.tracker, tuple(part.name for part in watch.layer.parts)
    labels = labels_of(tracker, steps)
    together = _groups_among(labels, tracker.moved)
    learning = report.first_gradient_step is not None or bool(tracker.moved.any())
    alone = report.is_output and report.num_distinct_units > 1
    if learning:
        yield from _of_silent(report, silent, names)
    if not learning or alone or not tracker.moved.any():
        return
    moved, place = int(tracker.moved.sum()), f"`{report.path or report.weight}`"
    repair = f"Start the layer at random: {draw_line([report.weight], 3)}."
    repair += " Random biases do, too." if any(part.role == "bias" for part in watch.layer.parts) else ""
    if together < moved:
        message = f"Only {together} of {moved} {report.unit} of {place} are different: "
        message += f"{_numbers(report.identical_units)} are identical and get identical updates."
        if together == 1:
            message = f"{_all(moved, report)} {report.unit} of {place} are identical and get identical updates."
        message += _heads(watch, labels) + _by_rounding(report)
        yield finding("ZI001", report.path, names, message, repair, equal_cause(report.weight))
        return
    near, mirrored = _groups_among(tracker.near(), tracker.moved), _groups_among(tracker.mirrored, tracker.moved)
    if near < MOST_NEARLY_DISTINCT * moved:
        message = f"Only {near} of {moved} {report.unit} of {place} are different, but for rounding."
        if near == 1:
            message = f"{_all(moved, report)} {report.unit} of {place} are identical, but for rounding."
        yield finding("ZI002", report.path, names, message, repair)
    elif mirrored < moved and report.num_units > 2 and not report.is_output:
        message = f"{moved} {report.unit} of {place} are {mirrored} and the negatives of others, and stay so."
        yield finding("ZI003", report.path, names, message, repair)


def _all(moved: int, report: LayerReport) -> str:
    return f"All {moved}" if moved == report.num_units else f"{moved}"


def _by_rounding(report: LayerReport) -> str:
    parted = report.num_distinct_in_float32 > report.num_distinct_units
    cause = "kernels that give other bits each time part" if report.source == "kernels" else "rounding alone parts"
    return f" In float32, {cause} them into {report.num_distinct_in_float32}." if parted else ""


def _numbers(numbers: tuple[int, ...]) -> str:
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


def _of_slices(report: LayerReport, watch: LayerWatch, evidence: Evidence) -> Iterator[Finding]:
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
        named = _numbers(report.identical_units)
        repair = f"Draw the copies anew: {draw_line([report.weight], 1)}, or each copy by itself."
        cause = f"copied slices of {report.path} {watch.tracker.labels.tolist()[:64]}"
        yield finding("ZI004", report.path, (report.weight,), f"{message}, as {named}. They are copies.", repair, cause)
    else:
        repair = f"Start it at random: {draw_line([report.weight], 1)}." if whole else ""
        cause = equal_cause(report.weight) if whole else ""
        yield finding("ZI001" if whole else "ZI108", report.path, (report.weight,), f"{message}.", repair, cause)


def _are_copies(watch: LayerWatch, evidence: Evidence) -> bool:
    """Tell whether equal slices hold different values, as copies do and fillings with one value do not."""
    part = watch.layer.parts[0]
    value = evidence.model.get_parameter(part.name).detach()
    rows = part.rows(value)
    several = without_singles(watch.tracker.labels)
    several = several[watch.tracker.moved[several]]
    return rows.shape[1] > 1 and any(bool((rows[at] != rows[at][0]).any()) for at in several[:MOST_LISTED])


def of_copies(evidence: Evidence, found: list[Finding]) -> Iterator[Finding]:
    """Yield one finding for each module whose parameters are copies of another's."""
    if evidence.watch.copied is None:
        return
    flagged = {finding.path for finding in found if finding.code == "ZI001"}
    groups = [group for group in evidence.watch.copied.groups() if not {owner_of(name) for name in group} <= flagged]
    others = [name for group in groups for name in group[1:]]
    for group in groups:
        vectors = list(_copied_vectors(group, evidence))
        also = f", and so are {few(vectors)}" if vectors else ""
        message = f"{few(group)} are copies of each other and get identical updates{also}."
        repair = f"Start every copy but one at random: {draw_line(others, max(3, len(others)))}."
        yield from (
            finding("ZI004", path, [*group, *vectors], message, repair, "copies")
            for path in dict.fromkeys(map(owner_of, group))
        )


def _copied_vectors(group: list[str], evidence: Evidence) -> Iterator[str]:
    """Yield the vectors beside copied weights that are copies as well, and have had gradients of the same size."""
    owners, known = [name.rpartition(".")[0] for name in group], dict(evidence.model.named_parameters())
    for leaf in dict.fromkeys(name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == owners[0]):
        names = [".".join(filter(None, [owner, leaf])) for owner in owners]
        vectors = [known[each] for each in names if each in known and known[each].dim() == 1]
        if len(vectors) < len(set(names)) or len(set(names)) < 2:
            continue
        same = all(torch.equal(each, vectors[0]) for each in vectors)
        courses = [[of.get(each, 0.0) for of in evidence.double.sizes] for each in names]
        if same and np.allclose(courses, courses[0], rtol=1e-4) and any(courses[0]):
            yield from names
