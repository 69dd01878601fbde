"""Faults beside missing gradients: gradients that end, unregistered values, shared memory, an optimizer with gaps."""

import math
from collections.abc import Container, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.symmetry.measures.activated import Activated
from zeroinit.symmetry.measures.compared import OutOfReach
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.trace import Trace
from zeroinit.symmetry.shadow.training import run_shadow
from zeroinit.symmetry.verdict.causes.flat import OFF
from zeroinit.symmetry.verdict.evidence import Evidence, Reason, Symptom
from zeroinit.symmetry.verdict.passes.naming import few, of_model
from zeroinit.symmetry.verdict.symptoms.aliases import how_to_part, repeated_modules, shared_memory
from zeroinit.symmetry.verdict.symptoms.frozen import frozen_in_name
from zeroinit.symmetry.verdict.symptoms.numbers import RATES, find_trouble, grows
from zeroinit.symmetry.verdict.symptoms.penalized import only_penalized
from zeroinit.symmetry.verdict.symptoms.updates.held_back import held_back
from zeroinit.symmetry.verdict.symptoms.updates.low_precision import lost_updates
from zeroinit.symmetry.verdict.symptoms.updates.slow_updates import of_slow
from zeroinit.symmetry.verdict.symptoms.updates.undone import of_resets

__all__ = ["died", "find_symptoms", "items_of", "left_behind", "of_dead", "of_left_behind", "of_optimizer"]

LONGER, MOST_STEPS = 10, 64
"""A smaller rate is tried for up to so many times the steps, and for so many in all."""
FEWEST_STILL = 2
"""A gradient is gone if it is exactly zero for so many last steps."""
MOST_ADDED = 4
LATER = 3
"""A parameter is left behind if it takes no part in the last steps, at least this number of them."""


def find_symptoms(evidence: Evidence) -> Iterator[Symptom]:
    """Yield what the traces show: numbers, lost updates, an optimizer that does not hold everything."""
    trouble = find_trouble(evidence)
    if trouble is not None:
        code = "ZI013" if trouble.kind == "nan" else "ZI015"
        yield Symptom(code, trouble.path, trouble.parameters, trouble.text, trouble.repair, trouble.lines)
    elif (lost := lost_updates(evidence)) is not None:
        names = lost.names
        path = names[0].rpartition(".")[0] if len(names) == 1 else ""
        text = lost.text(evidence.model, evidence.single.held or {})
        code = "ZI020" if lost.everything else "ZI109"
        repair = lost.repair(evidence.model)
        yield Symptom(code, path, names, text if lost.everything else f"{text} {repair}", repair)
    if evidence.single.broadcast is not None:
        yield from _of_shapes(evidence, *map(tuple, evidence.single.broadcast))
    if evidence.single.out_of_reach is not None and evidence.objective.targets is not None:
        yield _of_range(evidence.single.out_of_reach)
    if evidence.single.activated is not None and evidence.objective.kind != "cross entropy, targets drawn":
        yield _of_activation(evidence.single.activated)
    for name, (row, times, number) in evidence.single.padded.items():
        if times and not any(name in of and of[name][row] > 0 for of in evidence.single.rows):
            path = name.rpartition(".")[0]
            text = f"Row {row} of `{name}` never gets a gradient, because {row} is the padding index of `{path}`. "
            text += f"{times} of {number} examples use it. Leave padding_idx out if {row} stands for something."
            yield Symptom("ZI107", path, (name,), text, "Leave padding_idx out.")
    for name, number, count in _unread(evidence):
        text = f"{number} of {count} entries of `{name}` have no gradient on this batch."
        yield Symptom("ZI107", name.rpartition(".")[0], (name,), text, "Try a larger batch.")
    yield from of_resets(evidence)
    yield from held_back(evidence)
    yield from of_slow(evidence)
    yield from of_optimizer(evidence)
    for name, other, is_buffer in shared_memory(evidence.model):
        text = f"`{name}` and the {'buffer' if is_buffer else 'parameter'} `{other}` are the same memory."
        text += " Each update of one changes the other."
        is_whole = is_buffer or evidence.model.get_parameter(name).shape == evidence.model.get_parameter(other).shape
        repair = how_to_part(name, other, is_buffer, is_whole)
        yield Symptom("ZI021", name.rpartition(".")[0], (name,), text, repair)
    for path, names, text, repair in frozen_in_name(evidence.model):
        yield Symptom("ZI024", path, names, text, repair)
    if evidence.single.constant_term:
        text = "The loss holds a derivative that is taken without `create_graph=True`. It is a "
        text += "constant for the backward pass, so this part of the loss trains nothing."
        yield Symptom("ZI025", "", (), text, "Call `torch.autograd.grad(..., create_graph=True)`.")
    for names in only_penalized(evidence):
        text = (
            f"{few(names)} {'has' if len(names) == 1 else 'have'} no effect on the output. The only gradient is that "
        )
        text += "of a penalty on weights, which shrinks them to zero."
        yield Symptom("ZI010", "", names, text, "Use what it computes, or remove it.")
    for path, text in repeated_modules(evidence.model):
        yield Symptom("ZI115", path, (), text, "Build one for each place, unless they are meant to share.")


def _of_shapes(evidence: Evidence, output: tuple[int, ...], targets: tuple[int, ...]) -> Iterator[Symptom]:
    """Tell of outputs that are compared with every target or with several, or several with one that was handed over."""
    compared = torch.broadcast_shapes(output, targets).numel()
    sizes = ", ".join(map(str, (-1, *output[1:])))  # a last batch may be smaller
    what, repair = "each output with every target", f"Give both one shape: `targets.reshape({sizes})`."
    given = evidence.objective.targets
    if compared == math.prod(output):
        if not isinstance(given, torch.Tensor) or tuple(given.shape) != targets:
            return
        number = compared // math.prod(targets)
        what = "all outputs with one target" if number == compared else f"{number} outputs with each target"
        repair = "Hand over a target for each output."
    elif compared == math.prod(targets):
        what = f"each output with {compared // math.prod(output)} targets"
        repair = "Hand over one target for each output, or let the model make as many outputs."
    text = f"The loss compares {what}: their shapes are {output} and {targets}."
    yield Symptom("ZI017", "", (), text, repair)


def _unread(evidence: Evidence) -> Iterator[tuple[str, int, int]]:
    """Yield vectors of the user's own modules of which entries have had no gradient while others have."""
    for name, parameter in evidence.model.named_parameters():
        owner = evidence.model.get_submodule(name.rpartition(".")[0])
        if parameter.dim() != 1 or type(owner).__module__.startswith("torch.nn."):
            continue
        moved = sum(of[name] > 0 for of in evidence.single.rows if name in of)
        if isinstance(moved, np.ndarray) and 0 < (number := int((moved == 0).sum())) < len(moved):
            yield name, number, len(moved)


def _of_range(reach: OutOfReach) -> Symptom:
    first, last = reach.targets
    limits = "below" if reach.low == -math.inf else "above" if reach.high == math.inf else "between"
    ends = " and ".join(f"{each:g}" for each in (reach.low, reach.high) if math.isfinite(each))
    text = f"{reach.share:.0%} of the targets are out of reach. They lie from {first:.4g} to {last:.4g}. "
    text += f"The model ends in a {reach.operation}, so its output lies {limits} {ends}."
    repair = f"Take the {reach.operation} out, or scale the targets."
    return Symptom("ZI110", "", (), f"{text} {repair}", repair)


def _of_activation(found: Activated) -> Symptom:
    if not found.applies:
        text = f"{found.loss} takes logarithms of probabilities, and the output ends in a {found.operation}."
        to_type = "torch.log_softmax(scores, dim)" if found.operation == "softmax" else "F.logsigmoid(scores)"
        return Symptom("ZI023", "", (), text, f"Use `{to_type}` in place of the {found.operation}.")
    if found.off[0]:
        text = (
            f"The output ends in a ReLU, which holds {found.off[0]} of {found.off[1]} scores at 0 for every example: "
        )
        text += f"they get no gradient. {found.loss} takes scores below 0 as well."
        return Symptom("ZI023", "", (), text, "Take the ReLU at the end out.")
    text = f"The output ends in a {found.operation}, and {found.loss} applies "
    text += "one itself" if found.operation == found.applies else f"a {found.applies} to it"
    if math.isfinite(found.floor):
        which = f"Between {found.low:g} and {found.high:g} scores" if math.isfinite(found.high) else "Scores above 0"
        text += f". {which} leave the loss above {found.floor:.3g}; without the {found.operation} it can fall to "
        text += f"{found.free:.3g}"
    return Symptom("ZI023", "", (), f"{text}.", f"Take the {found.operation} out of what goes into the loss.")


def of_optimizer(evidence: Evidence, left_out: Container[str] = ()) -> Iterator[Symptom]:
    """Yield what the user's own optimizer does not move.

    Args:
        evidence: Whose float32 run knows what the optimizer holds.
        left_out: Names of parameters that it need not hold.
    """
    held = evidence.single.held
    if held is None:
        return
    trained = {name: each for name, each in evidence.model.named_parameters() if each.requires_grad}
    written = evidence.single.written  # what a pass writes to moves by itself
    missing = tuple(name for name in trained if name not in held and name not in left_out and name not in written)
    still = tuple(name for name in trained if held.get(name) == 0)
    repair = "Make the optimizer after the model is complete: `optimizer = Optimizer(model.parameters(), ...)`."
    rates = getattr(evidence.settings.optimizer, "rates", {})
    if missing and len(missing) == len(trained):
        text = "The optimizer holds no parameter of this model: it was made for another one, or for a copy."
        if any(id(each) in rates for each in evidence.model.parameters()):
            text = f"The optimizer holds frozen parameters of this model alone, not {few(missing)}."
        yield Symptom("ZI018", "", missing, text, repair)
    elif missing:
        text = f"The optimizer does not hold {few(missing)}, so {_they(missing)} never move."
        text += f" {slip}" if (slip := getattr(evidence.settings.optimizer, "slip", "")) else ""
        them = "it" if len(missing) == 1 else "them"
        add = f"`optimizer.add_param_group({{'params': {items_of(missing, evidence.model)}}})`"
        known = {id(each) for each in evidence.model.parameters()}
        repair = f"{repair} Or add {them}: {add}." if set(rates) - known else f"Add {them}: {add}."
        repair += f" Nothing to do if another optimizer trains {them}."
        yield Symptom("ZI018", "", missing, text, repair)
    if still:
        text = f"The learning rate of {few(still)} is 0, so {_they(still)} never move."
        repair = "Give that group of parameters a learning rate above 0. Nothing to do if they are meant to stay, or a "
        repair += "schedule raises it."
        yield Symptom("ZI018", "", still, text, repair)


def items_of(names: tuple[str, ...], model: nn.Module) -> str:
    """Write parameters as Python, modules all of whose parameters are among them as a whole.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> items_of(("0.weight", "0.bias"), model), items_of(("0.weight", "1.weight", "1.bias"), model)
        ('model[0].parameters()', '[model[0].weight, *model[1].parameters()]')
    """
    items: dict[str, None] = {}
    for name in names:
        owner, whole = name.rpartition(".")[0], ""
        while owner and all(f"{owner}.{each}" in names for each, _ in model.get_submodule(owner).named_parameters()):
            owner, whole = owner.rpartition(".")[0], owner
        items[f"*{of_model(whole)}.parameters()" if whole else of_model(name)] = None
    if len(items) == 1 and "*" in (only := next(iter(items))):
        return only[1:]
    return f"[{', '.join([*list(items)[:MOST_ADDED], *(['...'] if len(items) > MOST_ADDED else [])])}]"


def _they(names: tuple[str, ...]) -> str:
    return "it will" if len(names) == 1 else "they will"


def died(trace: Trace) -> dict[str, int]:
    """Return parameters whose gradient ended: from a step on it is exactly zero. The step is given by name."""
    found: dict[str, int] = {}
    if len(trace.sizes) <= FEWEST_STILL or not trace.losses[-1]:
        return found
    for name in trace.sizes[-1]:
        sizes = [of.get(name, 0.0) for of in trace.sizes]
        last = max((step for step, size in enumerate(sizes, 1) if size > 0), default=None)
        if last is not None and len(sizes) - last >= FEWEST_STILL and all(size == 0 for size in sizes[last:]):
            found[name] = last + 1
    return found


def left_behind(trace: Trace) -> dict[str, int]:
    """Return parameters that took part in the first steps and in none of at least three later ones, with the step."""
    found: dict[str, int] = {}
    for name in trace.sizes[-1] if trace.sizes else ():
        there = [not math.isnan(of.get(name, math.nan)) for of in trace.sizes]
        last = max((step for step, taken in enumerate(there, 1) if taken), default=0)
        if last and all(there[:last]) and len(there) - last >= LATER:
            found[name] = last + 1
    return found


def of_left_behind(steps: dict[str, int], reasons: dict[str, Reason]) -> Iterator[Symptom]:
    """Tell of parameters that later passes do not use, as where the first result is kept."""
    names = tuple(name for name in steps if name in reasons)
    if names:
        text = f"{few(names)} took part until step {min(steps[name] for name in names) - 1} and in no later pass. "
        text += (
            "What is computed from them seems to be kept." if len(names) > 1 else "Its first result seems to be kept."
        )
        repair = "Compute it anew in each pass, or keep it only while gradients are off."
        yield Symptom("ZI014", names[0].rpartition(".")[0], names, text, repair)


def of_dead(evidence: Evidence, steps: dict[str, int], reasons: dict[str, Reason]) -> Iterator[Symptom]:
    """Turn parameters that died behind a rectifier into one symptom, with a learning rate at which they do not.

    A smaller rate is told if the loss gets lower with it than it did here. It is also told if others never got a
    gradient because these had died first, and now get one: the rate becomes their reason.
    """
    if not reasons:
        return
    names = tuple(name for name in steps if name in reasons)
    first = min(steps[name] for name in names)
    losses, reason = evidence.double.losses, reasons[names[0]]
    text = f"{few(names)} got a gradient until step {first - 1} and never again. {reason.text}"
    if grows(losses):
        text += f" The loss had grown from {losses[0]:.3g} to {max(losses):.3g}."
    what = f"the{cut[3:]}" if OFF in reason.text and (cut := reason.text.partition(f" {OFF}")[0]) else "it"
    repair = f"Use an activation with a slope below zero in place of {what}."
    repair = repair if OFF in reason.text else reason.repair
    share, freed = _rate_that_keeps(evidence, set(names))
    if share is None:
        repair += " No smaller learning rate that was tried kept the gradient and lowered the loss as far."
    else:
        repair = f"Divide the learning rate by {round(1 / share)}."
    if freed and share is not None:
        text += f" {few(freed)} never {'gets' if len(freed) == 1 else 'get'} one for that reason."
        later = f"The learning rate is too large: a rate divided by {round(1 / share)} brings {{it}} a gradient."
        evidence.reasons |= {name: Reason("later", later, cause="learning rate") for name in freed}
    yield Symptom("ZI014", names[0].rpartition(".")[0], names, text, repair)


def _rate_that_keeps(evidence: Evidence, names: set[str]) -> tuple[float | None, tuple[str, ...]]:
    """Return the share of the learning rate that keeps gradients, and what it frees of what never got one here."""
    here, found = evidence.double.losses, None
    without = [name for name in evidence.reasons if evidence.double.first_step(name) is None]
    starved = {name for name in without if evidence.reasons[name].kind == "dead" and OFF in evidence.reasons[name].text}
    for share in RATES:
        longer = min(round(1 / share), LONGER) * len(here)
        settings = replace(evidence.settings, steps=min(longer, max(MOST_STEPS, len(here))), rate_factor=share)
        try:
            trace = run_shadow(copy_of(evidence.model, torch.float32), evidence.objective, torch.float32, settings)
        except InputError:
            break
        ended = set(died(trace))
        if ended & names or grows(trace.losses) or trace.broken is not None:
            continue
        freed = tuple(name for name in without if trace.first_step(name) is not None and name not in ended)
        if starved and starved <= set(freed) and trace.losses[-1] < trace.losses[0]:
            return share, freed
        found = share if found is None and trace.losses[-1] < here[-1] else found
        if found is not None and not starved:
            break
    return found, ()
