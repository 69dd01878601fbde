"""Trainable values that the loss alone has: of a loss module, or of what the closure of ``loss_fn`` holds."""

import math
import types
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._modules.copying import copier_of
from zeroinit._modules.reach import ATOMS, DEEPEST, globals_of, has_attributes, is_full, leads_to
from zeroinit.symmetry.shadow.own_optimizer import OwnOptimizer
from zeroinit.symmetry.verdict.evidence import Evidence, Symptom
from zeroinit.symmetry.verdict.passes.calls import tensors_in
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.symptoms.trained_elsewhere import rates_elsewhere

__all__ = ["note_loss_parameters", "parameters_of_loss"]


def parameters_of_loss(loss_fn: Any, model: nn.Module) -> dict[str, Tensor]:
    """Return the trainable tensors that a loss function holds and the model does not, by name.

    Args:
        loss_fn: A module, a function with a closure, a bound method, a ``partial`` or any object.
        model: Whose parameters are left out.

    Example:
        >>> scale = nn.Parameter(torch.ones(1))
        >>> list(parameters_of_loss(lambda output: (scale * output).mean(), nn.Linear(2, 1)))
        ['scale']
    """
    own = {id(each) for each in model.parameters()} | {id(each) for each in model.modules()}
    found: dict[str, Tensor] = {}
    _collect(loss_fn, "", own, found, DEEPEST)
    return found


def _collect(value: Any, name: str, seen: set[int], found: dict[str, Tensor], depth: int) -> None:
    if isinstance(value, ATOMS) or id(value) in seen or depth < 0:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        if value.requires_grad and value.is_leaf:
            found[name] = value
        return
    if isinstance(value, nn.Module):
        for path, parameter in value.named_parameters():
            _collect(parameter, f"{name}.{path}".lstrip("."), seen, found, depth)
    for word, each in _named_inside(value):
        _collect(each, f"{name}.{word}".strip("."), seen, found, depth - 1)


def _named_inside(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, with a name for it."""
    if isinstance(value, types.FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        yield from ((name, cell.cell_contents) for name, cell in cells if is_full(cell))
        yield from globals_of(value).items()
        yield from ((f"argument {at}", each) for at, each in enumerate(value.__defaults__ or ()))
        yield from (value.__kwdefaults__ or {}).items()
    elif isinstance(value, types.MethodType):
        yield "", value.__self__
    elif isinstance(value, partial):
        yield "", value.func
        yield from ((f"argument {at}", each) for at, each in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, dict):
        yield from ((f"{key}", each) for key, each in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"{at}", each) for at, each in enumerate(value))
    elif has_attributes(value) and not isinstance(value, nn.Module):
        yield from vars(value).items()


def note_loss_parameters(evidence: Evidence, replica: nn.Module, leaves: list[Tensor]) -> None:
    """Note what trains in the loss alone, and whether the user's own optimizer holds it.

    Args:
        evidence: A symptom, or a note where it is not known who trains these parameters, is added to it.
        replica: The copy.
        leaves: What the loss of the copy depends on and the copy does not register.
    """
    copier, objective, optimizer = copier_of(replica), evidence.objective, evidence.settings.optimizer
    if objective.loss_fn is None or copier is None or not leaves:
        return
    given = {id(each) for each in tensors_in([objective.inputs, objective.targets])}
    copies = [each for each in leaves if id(each) in copier.outside]
    same = {id(each) for each in leaves}
    named = parameters_of_loss(objective.loss_fn, evidence.model)
    used = {
        name: each
        for name, each in named.items()
        if id(each) not in given and (id(each) in same or _is_among(each, copies))
    }
    resting = _at_rest(objective.loss_fn, evidence.model)
    used = {name: each for name, each in used.items() if id(each) not in resting}
    if isinstance(optimizer, OwnOptimizer):
        elsewhere = rates_elsewhere(optimizer, used.values())
        rates = {name: optimizer.rates.get(id(each), elsewhere.get(id(each))) for name, each in used.items()}
        missing = [name for name, rate in rates.items() if rate is None and _is_own(objective.loss_fn, name)]
        evidence.of_loss = {
            name: 0.0 if name in missing else optimizer.rates.get(id(each), math.nan) for name, each in used.items()
        }
        evidence.symptoms += _of_missing(missing, objective.loss_fn)
        evidence.symptoms += _of_still([name for name, rate in rates.items() if rate == 0], objective.loss_fn)
        unsure = [name for name, rate in rates.items() if rate is None and name not in missing]
    else:
        evidence.of_loss, unsure = dict.fromkeys(used, math.nan), list(used)
    if unsure:
        verb = "trains only if an optimizer holds it" if len(unsure) == 1 else "train only if an optimizer holds them"
        evidence.notes = [*evidence.notes, f"{few(unsure)} of `loss_fn` {verb}"]


def _of_missing(missing: list[str], loss_fn: Any) -> Iterator[Symptom]:
    if not missing:
        return
    they = "it will" if len(missing) == 1 else "they will"
    name, holder = missing[0], " of `loss_fn`"
    inside = f"{name.rpartition('.')[0]}.parameters()" if "." in name else f"[{name}]"
    inside = "loss_fn.parameters()" if isinstance(loss_fn, nn.Module) else inside
    repair = f"Hand over all of these, too: `optimizer.add_param_group({{'params': {inside}}})`."
    if hasattr(loss_fn, "owns"):
        holder, repair = "", loss_fn.repair(name)
    text = f"The optimizer does not hold {few(missing)}{holder}, so {they} never move."
    yield Symptom("ZI018", "", tuple(missing), text, repair)


def _of_still(still: list[str], loss_fn: Any) -> Iterator[Symptom]:
    if still:
        they = "it will" if len(still) == 1 else "they will"
        holder = "" if hasattr(loss_fn, "owns") else " of `loss_fn`"
        text = f"The learning rate of {few(still)}{holder} is 0, so {they} never move."
        repair = "Give that group of parameters a learning rate above 0."
        yield Symptom("ZI018", "", tuple(still), text, repair)


def _is_own(loss_fn: Any, name: str) -> bool:
    """Tell whether a parameter is the loss's own: of a loss module, or bare; not of a network that it calls.

    The loss of a Trainer knows by itself: it has a method ``owns``.
    """
    if hasattr(loss_fn, "owns"):
        return bool(loss_fn.owns(name))
    owner = getattr(loss_fn, "__self__", loss_fn)
    return isinstance(owner, nn.Module) or "." not in name


def _at_rest(loss_fn: Any, model: nn.Module) -> set[int]:
    """Return the identities of parameters in modules that are in eval mode, as a fixed network for a loss is."""
    found: set[int] = set()

    def look(value: Any) -> bool:
        if isinstance(value, nn.Module) and value is not model:
            found.update(id(each) for part in value.modules() if not part.training for each in part.parameters())
        return False

    leads_to(loss_fn, look)
    return found


def _is_among(value: Tensor, copies: list[Tensor]) -> bool:
    """Tell whether one of the copies has the shape and the values of a tensor."""
    plain = value.detach()
    return any(each.shape == plain.shape and torch.equal(each.detach(), plain.to(each.dtype)) for each in copies)
