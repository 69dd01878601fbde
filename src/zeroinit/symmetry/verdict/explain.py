"""Which search explains what: parameters and units that never got a gradient, and those that lost it."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.verdict.causes.flat import SECOND
from zeroinit.symmetry.verdict.evidence import Evidence, Reason
from zeroinit.symmetry.verdict.passes.naming import starred
from zeroinit.symmetry.verdict.search.cuts import NO_GRAPH
from zeroinit.symmetry.verdict.search.derivatives import flat_derivatives
from zeroinit.symmetry.verdict.search.explainer import Explainer
from zeroinit.symmetry.verdict.search.no_effect import hidden_effects
from zeroinit.symmetry.verdict.search.search import SAME_LOSS, Search
from zeroinit.symmetry.verdict.search.silent import find_silent, may_be_stuck
from zeroinit.symmetry.verdict.search.slices import blocks_without_gradient, find_cut_blocks
from zeroinit.symmetry.verdict.symptoms.made_in_forward import replaced_in_forward
from zeroinit.symmetry.verdict.symptoms.symptoms import died, left_behind, of_dead, of_left_behind
from zeroinit.symmetry.verdict.symptoms.unregistered import strangers
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["LastPass", "explain", "of_frozen"]

LEFT_BEHIND = ("unused", "no_effect", "detached")
"""Reasons of parameters that took part before; those that are left out at random or by the batch have others."""


@dataclass
class LastPass:
    """The results of the pass after the last update.

    Attributes:
        loss: Its loss.
        strangers: What the loss depends on and the model does not register.
        norms: Which norm follows a parameter, in words.
    """

    loss: float
    strangers: list[Any] = field(default_factory=list)
    norms: dict[str, str] = field(default_factory=dict)


def of_frozen(model: nn.Module) -> dict[str, Reason]:
    """Return the reason of each parameter that is frozen."""
    frozen = Reason("frozen", "is frozen (requires_grad=False)")
    return {name: frozen for name, each in model.named_parameters() if not each.requires_grad}


def explain(evidence: Evidence, replica: nn.Module, dtype: torch.dtype, last: LastPass) -> None:
    """Find out why parameters and units never got a gradient, why others lost it, and what is not registered.

    Args:
        evidence: What the shadows showed; reasons and symptoms are added to it.
        replica: The trained copy.
        dtype: Of the copy.
        last: The pass after its last update.
    """
    trained = [name for name, parameter in evidence.model.named_parameters() if parameter.requires_grad]
    evidence.reasons = of_frozen(evidence.model)
    trace, looked_at = evidence.double, [name for name in trained if name not in evidence.not_inspected]
    without_gradient = {name for name in looked_at if trace.first_step(name) is None}
    evidence.reasons |= replaced_in_forward(evidence, without_gradient)
    without_gradient -= set(evidence.reasons)
    evidence.reasons |= _of_removed(evidence, replica, dtype, without_gradient, last)
    without_gradient -= set(evidence.reasons)
    if without_gradient:
        reasons = _reasons(evidence, replica, dtype, without_gradient)
        evidence.reasons |= _of_nothing(reasons) if without_gradient == set(looked_at) else reasons
    evidence.reasons |= _as_in_similar_places(evidence)
    if any(NO_GRAPH in each.text for each in evidence.reasons.values()):
        evidence.symptoms = [each for each in evidence.symptoms if each.code != "ZI025"]
    elif evidence.single.keeps_derivative and not any(each.cause == SECOND for each in evidence.reasons.values()):
        evidence.symptoms += flat_derivatives(Search(evidence, replica, dtype, set()))
    lost = {name: step for name, step in died(trace).items() if name in looked_at}
    if lost:
        explainer = Explainer(evidence, replica, dtype, set(lost))
        found = {name: reason for name, reason in explainer.reasons().items() if reason.kind == "dead"}
        dead = list(of_dead(evidence, lost, found))
        if dead:  # one fault: where the loss grew, that is part of it
            evidence.symptoms = [each for each in evidence.symptoms if each.code != "ZI015"] + dead
    behind = {name: step for name, step in left_behind(trace).items() if name in looked_at}
    if behind:
        explainer = Explainer(evidence, replica, dtype, set(behind))
        random = explainer.other_views(list(behind))  # what is left out at random comes again
        found = {name: reason for name, reason in explainer.reasons().items() if reason.kind in LEFT_BEHIND}
        found = {name: reason for name, reason in found.items() if name not in random}
        evidence.symptoms += of_left_behind(behind, found)
    masks = {each.layer.weight: may_be_stuck(each, evidence) for each in evidence.watch.layers}
    stuck = {name: mask for name, mask in masks.items() if mask.any() and name not in lost}
    if stuck:
        parts = {each.layer.weight: each.layer.parts[0] for each in evidence.watch.layers}
        evidence.silent = find_silent(Explainer(evidence, replica, dtype, set(looked_at), parts), stuck)
    blocks = {each.layer.weight: blocks_without_gradient(each) for each in evidence.watch.layers}
    blocks = {name: mask for name, mask in blocks.items() if mask.any() and name not in {*evidence.silent, *lost}}
    if blocks:
        parts = {each.layer.weight: each.layer.parts[0] for each in evidence.watch.layers}
        evidence.cut_blocks = find_cut_blocks(Explainer(evidence, replica, dtype, set(looked_at), parts), blocks)
    if last.strangers:
        evidence.symptoms += strangers(last.strangers, Explainer(evidence, replica, dtype, set()))


def _reasons(evidence: Evidence, replica: nn.Module, dtype: torch.dtype, names: set[str]) -> dict[str, Reason]:
    """Explain stuck parameters; in float32 where a backward pass of the user's own takes no float64."""
    try:
        return Explainer(evidence, replica, dtype, names).reasons()
    except RuntimeError:
        if dtype == torch.float32:
            raise
        return Explainer(evidence, copy_of(evidence.model, torch.float32), torch.float32, names).reasons()


def _of_nothing(found: dict[str, Reason]) -> dict[str, Reason]:
    """Where nothing at all learns, a batch that leaves everything out is what is wrong."""
    if {each.kind for each in found.values()} - {"idle", "no_effect"}:
        return found
    told = "Hand over a batch and a loss from which something can be learned."
    return {
        name: replace(each, kind="batch", repair=each.repair if "Nothing to do" not in each.repair else told)
        for name, each in found.items()
        if each.kind == "idle"
    } | {name: each for name, each in found.items() if each.kind != "idle"}


def _of_removed(evidence, replica, dtype, without_gradient: set[str], last: LastPass) -> dict[str, Reason]:
    """Return the reasons of vectors whose gradient is rounding, if the loss is the same with all of them changed."""
    names = [name for name in sorted(without_gradient) if replica.get_parameter(name).dim() < 2]
    names = [name for name in names if evidence.double.rounding_step(name) is not None]
    if not names:
        return {}
    hidden = {name for name in names if name not in last.norms}
    effects = hidden_effects(Explainer(evidence, replica, dtype, hidden)) if hidden else set()
    if effects is None or len(hidden) < len(names):
        trials, step = Explainer(evidence, replica, dtype, set()).trials, len(evidence.double.losses) + 1
        if trials.loss_changes(Change(draw=tuple(names)), step, last.loss):
            return {}
    names = [name for name in names if name not in (effects or ())]
    other = Reason("no_effect", SAME_LOSS)
    norms = {name: last.norms[name] for name in names if name in last.norms}
    removed = {
        name: Reason("cancelled", f"{norm} removes whatever {{it}} adds.", cause=f"norm {starred(norm)}")
        for name, norm in norms.items()
    }
    return dict.fromkeys(names, other) | removed


def _as_in_similar_places(evidence: Evidence) -> dict[str, Reason]:
    """Return the reasons of parameters without effect in layers like one whose norm removes it, as of a skipped block.

    The last pass may not have seen their own norm.
    """
    removed = {starred(name): name for name, each in evidence.reasons.items() if " removes whatever " in each.text}
    found = {}
    for name, reason in evidence.reasons.items():
        if reason.text != SAME_LOSS or starred(name) not in removed:
            continue
        other = removed[starred(name)]
        pairs = zip(name.split("."), other.split("."), strict=True)
        at = next(place for place, (own, its) in enumerate(pairs) if own != its) + 1
        own, its = (".".join(each.split(".")[:at]) for each in (name, other))
        found[name] = replace(
            evidence.reasons[other], text=evidence.reasons[other].text.replace(f"`{its}.", f"`{own}.")
        )
    return found
