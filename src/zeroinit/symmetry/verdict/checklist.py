"""What was looked at, with its numbers, also where nothing is wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zeroinit._common import counted
from zeroinit._modules.batch import tensors_in as tensors_of_batch
from zeroinit.symmetry.verdict.causes.flat import OFF
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.passes.calls import is_constant, tensors_in
from zeroinit.symmetry.verdict.report.parts import Check, Finding, LayerReport, ParameterReport
from zeroinit.symmetry.verdict.report.sentence import first_sentence, learns_on

__all__ = ["checks"]

BAD_LOSS = {"ZI013", "ZI014", "ZI015", "ZI017", "ZI020"}
IDENTICAL = {"ZI001", "ZI002", "ZI003"}
LOST = {"ZI109", "ZI020"}
NEVER = {"ZI006", "ZI007", "ZI008", "ZI009", "ZI011", "ZI012", "ZI019"}
FINE = ("idle", "later")
"""Reasons of parameters that nothing is wrong with."""


def checks(
    evidence: Evidence,
    parameters: tuple[ParameterReport, ...],
    layers: tuple[LayerReport, ...],
    findings: Sequence[Finding],
) -> tuple[Check, ...]:
    """List the checks of an inspection; none is passed that a finding contradicts."""
    codes = {each.code for each in findings if each.severity == "warning"} | {
        each.code for each in findings if each.code == "ZI109"
    }
    losses = evidence.double.losses
    finite = [each for each in losses if math.isfinite(each)]
    copied = len(evidence.watch.copied.groups()) if evidence.watch.copied is not None else 0
    copied = copied or sum(each.code == "ZI004" for each in findings)
    return (
        _of_gradients(evidence, parameters, findings),
        _of_units(layers, codes, {name for each in findings if each.code in NEVER for name in each.parameters}),
        _of_dead(layers, evidence, findings),
        Check("copied layers", f"{copied} groups of parameters", not copied),
        Check("numbers", _finite(evidence) + (_of_a_copy(evidence, codes) if "ZI013" in codes else ""),
              "ZI013" not in codes),
        _of_loss(evidence, finite, codes),
        Check("registered", _registered(evidence, codes), "ZI016" not in codes),
        _of_precision(evidence, codes, findings),
        *_of_optimizer(evidence, parameters, findings, codes),
        _of_batch(evidence, findings),
    )  # fmt: skip


def _of_gradients(evidence: Evidence, parameters: tuple[ParameterReport, ...], findings: Sequence[Finding]) -> Check:
    trained = [each for each in parameters if each.reason != "frozen"]
    steps = [each.first_gradient_step for each in trained if each.first_gradient_step is not None]
    told = {name for each in findings if each.code == "ZI103" for name in each.parameters}
    quiet = [each for each in trained if each.reason in FINE or each.name in told]
    when = f"by step {max(steps)}" if steps else f"in {counted(len(evidence.double.losses), 'step')}"
    result = f"{len(steps)} of {len(trained)} parameters get one {when}"
    passed = len(steps) + len(quiet) >= len(trained) and bool(steps or not trained)
    never = [each for each in findings if each.severity == "warning" and each.code in NEVER]
    if passed and never:
        units = any(set(each.parameters) & {row.name for row in trained} for each in never)
        return Check("gradients", f"{result}, but not all of their units do" if units else result, not units)
    if any(each.code == "ZI013" and not learns_on(each) for each in findings):
        return Check("gradients", f"{result}; numbers are not finite", False)
    faint = [name for each in findings if each.code == "ZI020" for name in each.parameters]
    if faint:
        verb = "is" if len(faint) == 1 else "are"
        return Check("gradients", f"{result}, but {len(faint)} {verb} too small to move a value", False)
    if lost := {name for each in findings if each.code == "ZI014" for name in each.parameters}:
        return Check("gradients", f"{result}, and {len(lost)} get none later on", False)
    return Check("gradients", result, passed)


def _of_units(layers: tuple[LayerReport, ...], codes: set[str], stuck: set[str]) -> Check:
    units = [each for each in layers if each.is_matrix and not each.unit.startswith("slices")]
    same = [each for each in units if each.num_distinct_units < each.num_units and each.identical_units]
    result = f"in {len(same)} of {counted(len(units), 'layer')}"
    if codes & IDENTICAL and not same:
        result = "slices of a parameter are identical"
    still = [each for each in units if each.num_distinct_units < each.num_units and not each.identical_units]
    still = [each for each in still if each.weight in stuck]
    if still:
        result += f"; without a gradient in {len(still)} more"
    return Check("identical units", result, not codes & IDENTICAL and not still and not any(map(_counts, same)))


def _of_dead(layers: tuple[LayerReport, ...], evidence: Evidence, findings: Sequence[Finding]) -> Check:
    """Count dead units, those of layers among them that are in front of a rectifier that is off as a whole."""
    units = [each for each in layers if each.is_matrix and not each.unit.startswith("slices")]
    off = {
        name for each in evidence.reasons.values() if each.kind == "dead" and OFF in each.text for name in each.culprits
    }
    off |= {name for each in findings if each.code == "ZI014" and OFF in each.message for name in each.parameters}
    dead = sum(each.num_units if each.weight in off else each.dead for each in units)
    return Check("dead units", f"{dead} of {sum(each.num_units for each in units)}", not dead)


def _finite(evidence: Evidence) -> str:
    finite = sum(map(math.isfinite, evidence.double.losses))
    broken = [each.broken for each in (evidence.double, evidence.single) if each.broken is not None]
    steps = min([finite, *(each - 1 for each in broken)])
    return f"loss and gradients finite in {steps} of {counted(len(evidence.double.losses), 'step')}"


def _of_loss(evidence: Evidence, finite: list[float], codes: set[str]) -> Check:
    """Tell whether a loss is finite and changes by what is learned, in the digits that are shown."""
    losses = evidence.double.losses
    result, stands = _course(losses, finite) + _of_a_copy(evidence, codes), _stands(finite)
    drawn = not stands and len(finite) > 1 and not _is_updated(evidence)
    result += ", by what is drawn in each pass alone" if drawn else ""
    return Check("loss", result, len(finite) == len(losses) and not codes & BAD_LOSS and not stands and not drawn)


def _is_updated(evidence: Evidence) -> bool:
    """Tell whether any parameter with a gradient is moved by the optimizer, of the model or of the loss."""
    held = evidence.single.held
    moved = {name for of in evidence.double.sizes for name, size in of.items() if size > 0}
    return bool(evidence.of_loss) or any(held is None or held.get(name, 0) != 0 for name in moved)


def _course(losses: list[float], finite: list[float]) -> str:
    steps = counted(len(losses), "step")
    if not finite:
        return f"never finite in {steps}"
    later = ", then not finite" if len(finite) < len(losses) else ""
    later += ", equal in all digits shown" if _stands(finite) else ""
    verb = "rises " if finite[-1] > finite[0] and not _stands(finite) else ""
    return f"{verb}from {finite[0]:.4g} to {finite[-1]:.4g} in {steps}{later}"


def _of_a_copy(evidence: "Evidence", codes: set[str]) -> str:
    """Say that a loss is that of a copy in more digits, where the model's own updates are lost."""
    return ", in a float32 copy" if codes & {*LOST, "ZI013"} and _dtypes(evidence) not in ("float32", "float64") else ""


def _stands(finite: list[float]) -> bool:
    return len(finite) > 1 and len({f"{each:.4g}" for each in finite}) == 1


def _registered(evidence: Evidence, codes: set[str]) -> str:
    if "ZI016" in codes:
        return "something that is trained through is no parameter"
    place = "of the model or of loss_fn" if evidence.of_loss else "of the model"
    return f"every value that is trained through is a parameter {place}"


def _of_precision(evidence: Evidence, codes: set[str], findings: Sequence[Finding]) -> Check:
    lost = [name for each in findings if each.code in LOST for name in each.parameters]
    if lost:
        kind = "16 bits" if evidence.single.coarse else _dtypes(evidence, lost)
        result = f"updates of {counted(len(lost), 'parameter')} are lost in {kind}"
        return Check("precision", result, False)
    if not evidence.double.sizes or "ZI013" in codes or not _is_updated(evidence):
        return Check("precision", "no update to look at", False)
    return Check("precision", f"updates survive in {_dtypes(evidence)}", True)


def _counts(layer: LayerReport) -> bool:
    return not (layer.is_output and layer.num_distinct_units > 1)


def _dtypes(evidence: Evidence, among: Sequence[str] = ()) -> str:
    trained = {name: each for name, each in evidence.model.named_parameters() if each.requires_grad}
    names = {str(trained[each].dtype).removeprefix("torch.") for each in (among or trained)}
    return " and ".join(sorted(names))


def _of_optimizer(
    evidence: Evidence, parameters: tuple[ParameterReport, ...], findings: Sequence[Finding], codes: set[str]
) -> list[Check]:
    """Count what the user's own optimizer moves: it holds that, with a rate, and no gradient or update is lost."""
    held = evidence.single.held
    if held is None:
        return []
    trained = [each for each in parameters if each.reason != "frozen" and each.name not in evidence.left_to_others]
    others = [rate for rate in evidence.of_loss.values() if rate == rate]
    lost = {name for each in findings if each.code in LOST for name in each.parameters}
    moved = sum(
        held.get(each.name, 0) != 0 and each.first_gradient_step is not None and each.name not in lost
        for each in trained
    )
    moved += sum(rate != 0 for rate in others)
    result = f"moves {moved} of {len(trained) + len(others)} parameters"
    return [Check("optimizer", result, bool(moved) and not codes & {"ZI018", *LOST})]


def _of_batch(evidence: Evidence, findings: Sequence[Finding]) -> Check:
    """Tell whether the batch varies at all: values, and classes."""
    inputs = evidence.objective.inputs
    given = tensors_of_batch(inputs)
    flat = [each for each in given if each.is_floating_point() and each.numel() > 1 and is_constant(each)]
    blamed = next(
        (each.text.replace("{it}", f"`{name}`") for name, each in evidence.reasons.items() if each.kind == "batch"), ""
    )
    targets = tensors_in(evidence.objective.targets)
    labels = [each for each in targets if not each.is_floating_point() and each.dtype != torch.bool]
    if flat and len(given) == 1:
        return Check("batch", "all values are zero" if not flat[0].any() else "all values are the same", False)
    if blamed:
        return Check("batch", first_sentence(blamed.removeprefix("The batch is the reason: ")), False)
    if any(each.code == "ZI013" and " values that are not finite" in each.message for each in findings):
        return Check("batch", "values that are not finite", False)
    if labels and labels[0].numel() > 1 and is_constant(labels[0]):
        return Check("batch", f"all {labels[0].numel()} labels are {int(labels[0].flatten()[0])}", False)
    if flat:  # one of several, as a first state of zeros
        value = "zero" if not flat[0].any() else "the same"
        result = f"{len(given)} input tensors; all values of {_named(flat[0], inputs)} are {value}"
        return Check("batch", result, not any(each.severity == "warning" for each in findings))
    return Check("batch", f"{counted(len(given), 'input tensor')}, not constant", True)


def _named(tensor: Tensor, inputs: Any) -> str:
    named = inputs.items() if isinstance(inputs, Mapping) else ()
    return next((f"`{name}`" for name, each in named if each is tensor), "one of them")
