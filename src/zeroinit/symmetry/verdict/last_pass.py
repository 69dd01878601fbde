"""The pass after the last update: it tells faint gradients from rounding, and finds the reasons of the others."""

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.memory.frugal import release
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import backward, forward_loss
from zeroinit.symmetry.shadow.undisturbed import reseed
from zeroinit.symmetry.units.doubts import Doubts, all_signal, is_signal_at_first, kinds_of, told_by_steps
from zeroinit.symmetry.verdict.evidence import Evidence
from zeroinit.symmetry.verdict.explain import LastPass, explain
from zeroinit.symmetry.verdict.passes.graph import Graph
from zeroinit.symmetry.verdict.search.explainer import Explainer
from zeroinit.symmetry.verdict.search.no_effect import apart_from_targets, slices_that_compete
from zeroinit.symmetry.verdict.symptoms.loss_parameters import note_loss_parameters
from zeroinit.symmetry.verdict.symptoms.trained_elsewhere import leave_to_others

__all__ = ["look_at_the_end", "settle_faint"]


def settle_faint(evidence: Evidence, replica: nn.Module, doubts: Doubts) -> bool:
    """Go forward once more, in float64 and backward where gradients are faint; tell whether that settles them.

    Args:
        evidence: After the float32 run; what is rounding is taken out of it, and what the pass showed is added to it.
        replica: The copy that was trained in float32.
        doubts: Which gradients are faint.
    """
    told = told_by_steps(evidence.single, doubts.faint)
    if all(told.values()) and not evidence.single.drops:
        _take_out(evidence, {name for name, kind in told.items() if kind == "rounding"})
        return look_at_the_end(evidence, replica, torch.float32)
    for parameter in replica.parameters():
        parameter.grad = None
    try:
        if doubts.matrices and not is_signal_at_first(evidence.subject, evidence.single, doubts.faint):
            return False
        exact = copy_of(replica, torch.float64)
        enough = look_at_the_end(evidence, exact, torch.float64, doubts.faint)
    except InputError:  # no float64 for this model; the long way says so
        return False
    release(exact)
    return enough


def look_at_the_end(
    evidence: Evidence, replica: nn.Module, dtype: torch.dtype, faint: set[str] | frozenset[str] = frozenset()
) -> bool:
    """Go forward once more: which parameters are cut off and by what, and what comes after each layer.

    Args:
        evidence: What the pass shows is added to it.
        replica: The trained copy.
        dtype: Of the copy.
        faint: Names of parameters whose gradients are told from rounding by this pass.

    Returns:
        Whether this pass tells all faint gradients from rounding.
    """
    settings = evidence.settings
    features = evidence.watch.look_again(replica)
    reseed(settings.seed, len(evidence.double.losses) + 1)
    for parameter in replica.parameters():
        parameter.grad = None
    mode = ShadowMode(dtype, settings.dropout)
    loss = forward_loss(replica, evidence.objective, dtype, mode)
    features.stop()
    last = LastPass(float(loss.detach()))
    if loss.requires_grad:
        if faint:
            backward(loss, replica, dtype, mode, keep=True)
            if not _settle(evidence, replica, set(faint)):
                return False
        dims = {name: each.dim() for name, each in replica.named_parameters()}
        graph = Graph(loss, {id(parameter): name for name, parameter in replica.named_parameters()})
        evidence.fed_to_weights = graph.fed_to_weights(dims)
        removed = set().union(*evidence.double.rounding)
        last.strangers, last.norms = graph.strangers, graph.norms_behind(removed)
        del graph
    del loss
    explain(evidence, replica, dtype, last)
    leave_to_others(evidence)
    note_loss_parameters(evidence, replica, last.strangers)
    evidence.competing = slices_that_compete(evidence, partial(Explainer, evidence, replica, dtype))
    evidence.without_targets = apart_from_targets(evidence, partial(Explainer, evidence, replica, dtype))
    return True


def _settle(evidence: Evidence, exact: nn.Module, faint: set[str]) -> bool:
    """Take gradients that are rounding alone out of the float32 run; tell whether the others are signal throughout."""
    kinds = kinds_of(exact, faint, evidence.single.rows[-1])
    _take_out(evidence, {name for name, kind in kinds.items() if kind == "rounding"})
    return all_signal(exact, kinds)


def _take_out(evidence: Evidence, false: set[str]) -> None:
    """Set gradients that are rounding alone to zero, in all steps."""
    single = evidence.single
    sizes = [{**each, **dict.fromkeys(false & set(each), 0.0)} for each in single.sizes]
    evidence.double = replace(single, sizes=sizes, rounding=[set(false) for _ in single.sizes])
