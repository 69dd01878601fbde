"""Parameters that an optimizer leaves to others: no gradient reaches them, or another optimizer holds them."""

import gc
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer
from zeroinit.symmetry.verdict.evidence import Evidence, Symptom
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.search.unused import DROPPED
from zeroinit.symmetry.verdict.symptoms.symptoms import items_of, of_optimizer

__all__ = ["leave_to_others", "networks_left_out", "rates_elsewhere"]

ON_PURPOSE = ("detached", "unused", "idle")
"""Reasons of parameters that a step leaves out."""


def rates_elsewhere(optimizer: OwnOptimizer, tensors: Iterable[Tensor]) -> dict[int, float]:
    """Return the rates of what any other optimizer of this process holds, by identity, as that of a discriminator.

    Args:
        optimizer: The one that was handed over.
        tensors: What is looked for.
    """
    wanted = {id(each) for each in tensors} - set(optimizer.rates)
    if not wanted:
        return {}
    kinds = _kinds(torch.optim.Optimizer)  # an object refers to its class: looked for in C, in a third of the time
    others: list[Any] = [each for each in gc.get_referrers(*kinds) if type(each) in kinds]
    groups = [group for each in others for group in each.param_groups]
    return {id(each): float(group.get("lr", 1.0)) for group in groups for each in group["params"] if id(each) in wanted}


def _kinds(kind: type) -> list[type]:
    below: list[type] = kind.__subclasses__()
    return [kind, *(each for one in below for each in _kinds(one))]


def networks_left_out(model: nn.Module, missing: set[str]) -> list[str]:
    """Return the parts of a model that are made of all missing parameters, if each of them is a network of its own.

    A network has two layers or more. It is no link of a chain or a list: a block of those is likely forgotten. A
    single number beside it, as a temperature, may be left out as well.

    Args:
        model: As it was handed over.
        missing: Names of trained parameters that the optimizer does not hold.

    Example:
        >>> model = nn.ModuleDict({"actor": nn.Linear(2, 2), "target": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))})
        >>> networks_left_out(model, {name for name, _ in model.named_parameters() if name.startswith("target.")})
        ['target']
    """
    found: list[str] = []
    chains = [part for part in model.modules() if type(part) in (nn.ModuleList, nn.Sequential)]
    links = {id(each) for part in chains for each in part.children()}
    for path, part in model.named_modules():
        names = {f"{path}.{name}" for name, each in part.named_parameters() if each.requires_grad}
        if path and names and names <= missing and not any(path.startswith(f"{above}.") for above in found):
            layers = {name.rpartition(".")[0] for name in names}
            if len(layers) < 2 or id(part) in links:
                return []
            found.append(path)
    loose = [each for each in missing if not any(each.startswith(f"{path}.") for path in found)]
    return found if all(model.get_parameter(each).numel() == 1 for each in loose) else []


def leave_to_others(evidence: Evidence) -> None:
    """Take back warnings about parameters outside the user's own optimizer, where that is no fault.

    This step does not train a parameter that the optimizer does not hold and that no gradient reaches: a critic's step
    does not train the generator. Another optimizer of this process may hold a parameter that gets a gradient.
    """
    held, optimizer = evidence.single.held, evidence.settings.optimizer
    if not held:
        return
    causes = [evidence.reasons[name].cause if name in evidence.reasons else "" for name in held]
    dropped = all(each.startswith(DROPPED) for each in causes)
    trained = _trained_in_their_place(evidence, held)
    if trained and not dropped and _tell_of(trained, evidence, held):
        return
    left = {name for name, reason in evidence.reasons.items() if name not in held and reason.kind in ON_PURPOSE}
    text = "The optimizer does not hold {it} either."
    for name in left:
        evidence.reasons[name] = replace(evidence.reasons[name], kind="idle", text=text, cause="left to others")
    if isinstance(optimizer, OwnOptimizer):
        missing = _missing(evidence.model, held)
        elsewhere = rates_elsewhere(optimizer, missing.values())
        left |= {name for name, each in missing.items() if id(each) in elsewhere}
    outside = {name for name in _missing(evidence.model, held) if name not in left}
    slip = getattr(optimizer, "slip", "")
    own = [] if slip else networks_left_out(evidence.model, outside)
    if dropped:  # to train others in their place is no repair
        own = own or sorted({name.partition(".")[0] for name in outside})
    left |= outside if own else set()
    evidence.left_to_others = left
    names = {name for name, _ in evidence.model.named_parameters()}
    others = [each for each in evidence.symptoms if each.code != "ZI018" or not set(each.parameters) <= names]
    evidence.symptoms = [*others, *of_optimizer(evidence, left)]
    if own:
        listed = tuple(name for name, _ in evidence.model.named_parameters() if name in outside)
        text = f"The optimizer holds no parameter of {few(own)}. "
        text += f"{'Its' if len(own) == 1 else 'Their'} {len(listed)} parameters stay as they are."
        add = f"`optimizer.add_param_group({{'params': {items_of(listed, evidence.model)}}})`"
        repair = f"Nothing to do if that is meant, as for a target network; else {add}."
        text += f" If they are to learn: {add}."
        evidence.symptoms.append(Symptom("ZI113", own[0], listed, text, repair))


def _trained_in_their_place(evidence: Evidence, held: dict[str, float]) -> tuple[str, ...]:
    """Return the parameters that get a gradient, where the optimizer holds none of them and no other that gets one."""
    get = tuple(name for name in _missing(evidence.model, held) if evidence.double.first_step(name) is not None)
    if any(evidence.double.first_step(name) is not None for name in held) or evidence.single.written:
        return ()
    kinds = {evidence.reasons[name].kind for name in held if name in evidence.reasons}
    return get if kinds <= set(ON_PURPOSE) else ()


def _tell_of(others: tuple[str, ...], evidence: Evidence, held: dict[str, float]) -> bool:
    """Say that the optimizer holds other parameters than those that the loss trains; tell whether no cut says so."""
    roots = [sorted({name.partition(".")[0] for name in names}) for names in (held, others)]
    ours, theirs = map(few, roots if not set(roots[0]) & set(roots[1]) else (list(held), others))
    line = f"`Optimizer({items_of(others, evidence.model)}, ...)`"
    cut = [name for name in held if name in evidence.reasons and evidence.reasons[name].kind == "detached"]
    for name in cut:
        reason = evidence.reasons[name]
        text = f"{reason.text.rstrip('.')}; the gradients go to {theirs}, which the optimizer does not hold."
        evidence.reasons[name] = replace(reason, text=text, repair=f"{reason.repair} Or train {theirs}: {line}.")
    if cut:
        return False
    for name in held:
        other = evidence.reasons.get(name)
        if other is not None and other.kind == "unused":
            text = "This loss does not use {it}."
            evidence.reasons[name] = replace(other, kind="idle", text=text, repair="", cause="of another loss")
    text = f"The optimizer holds {ours}, and the gradients of this loss go to {theirs}."
    repair = f"Make the optimizer of what is to learn: {line}."
    kept = [each for each in evidence.symptoms if each.code != "ZI018"]
    evidence.symptoms = [*kept, Symptom("ZI018", "", (*held, *others), text, repair)]
    return True


def _missing(model: nn.Module, held: dict[str, float]) -> dict[str, nn.Parameter]:
    return {name: each for name, each in model.named_parameters() if name not in held and each.requires_grad}
