"""What was looked at, with its numbers, also where nothing is wrong."""

import math
from typing import TYPE_CHECKING

from zeroinit.symmetry.calls import is_constant, tensors_in

if TYPE_CHECKING:
    from zeroinit.symmetry.inspector import Evidence
    from zeroinit.symmetry.report import Check, LayerReport, ParameterReport

__all__ = ["checks"]


def checks(
    evidence: "Evidence", parameters: "tuple[ParameterReport, ...]", layers: "tuple[LayerReport, ...]"
) -> "tuple[Check, ...]":
    """List the checks of an inspection."""
    from zeroinit.symmetry.report import Check

    codes = {each.code for each in evidence.symptoms}
    trained = [each for each in parameters if each.reason != "frozen"]
    steps = [each.unlock_step for each in trained if each.unlock_step is not None]
    fine = ("idle", "asleep")
    quiet = [each for each in trained if each.reason in fine or (len(each.shape) < 2 and _harmless(each))]
    units = [each for each in layers if each.is_matrix and not each.unit.startswith("slices")]
    same = [each for each in units if each.effective_width < each.num_units and each.twins]
    dead, counted = sum(each.dead for each in units), sum(each.num_units for each in units)
    losses = evidence.double.losses
    finite = [each for each in losses if math.isfinite(each)]
    course = f"{finite[0]:.4g} to {finite[-1]:.4g}" if finite else "never finite"
    groups = len(evidence.watch.twins.twins()) if evidence.watch.twins is not None else 0
    steps_text = f"by step {max(steps)}" if steps else f"in {len(losses)} steps"
    return (
        Check("gradients", f"{len(steps)} of {len(trained)} parameters get one {steps_text}",
              len(steps) + len(quiet) >= len(trained)),
        Check("identical units", f"in {len(same)} of {len(units)} layers", not any(map(_counts, same))),
        Check("dead units", f"{dead} of {counted}", not dead),
        Check("copied layers", f"{groups} groups of parameters", not groups),
        Check("numbers", f"loss and gradients finite in {len(finite)} of {len(losses)} steps", "ZI013" not in codes),
        Check("loss", f"from {course} in {len(losses)} steps", not codes & {"ZI014", "ZI015", "ZI017"}),
        Check("registered", "every value that is trained through is a parameter of the model"
              if "ZI016" not in codes else "something that is trained through is no parameter", "ZI016" not in codes),
        Check("precision", f"updates survive in {_dtypes(evidence)}" if "ZI109" not in codes
              else f"some updates are lost in {_dtypes(evidence)}", "ZI109" not in codes),
        *_of_optimizer(evidence, codes),
        _of_batch(evidence),
    )  # fmt: skip


def _harmless(each: "ParameterReport") -> bool:
    return each.reason in ("cancelled", "no_effect")


def _counts(layer: "LayerReport") -> bool:
    return not (layer.is_output and layer.effective_width > 1)


def _dtypes(evidence: "Evidence") -> str:
    names = {str(each.dtype).removeprefix("torch.") for each in evidence.model.parameters() if each.requires_grad}
    return " and ".join(sorted(names))


def _of_optimizer(evidence: "Evidence", codes: set[str]) -> "list[Check]":
    from zeroinit.symmetry.report import Check

    held = evidence.single.held
    if held is None:
        return []
    trained = [name for name, each in evidence.model.named_parameters() if each.requires_grad]
    moved = sum(held.get(name, 0) != 0 for name in trained)
    return [Check("optimizer", f"moves {moved} of {len(trained)} parameters", "ZI018" not in codes)]


def _of_batch(evidence: "Evidence") -> "Check":
    """Tell whether the batch varies at all: values, and classes."""
    from zeroinit.symmetry.report import Check

    floats = [each for each in tensors_in(evidence.objective.inputs) if each.is_floating_point() and each.numel() > 1]
    flat = [each for each in floats if is_constant(each)]
    labels = [each for each in tensors_in(evidence.objective.targets) if not each.is_floating_point()]
    if flat:
        return Check("batch", "all values are zero" if not flat[0].any() else "all values are the same", False)
    if labels and labels[0].numel() > 1 and is_constant(labels[0]):
        return Check("batch", f"all {labels[0].numel()} labels are {int(labels[0].flatten()[0])}", False)
    return Check("batch", f"{len(tensors_in(evidence.objective.inputs))} input tensors, not constant", True)
