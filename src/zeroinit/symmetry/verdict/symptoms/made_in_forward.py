"""Layers and parameters that a forward pass makes: anew at each pass, or once in the first one."""

import re

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit._findings.lines import Line, readable
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import running
from zeroinit.symmetry.shadow.undisturbed import reseed
from zeroinit.symmetry.verdict.evidence import Evidence, Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Calls
from zeroinit.symmetry.verdict.passes.naming import where
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.search.sources import reached_text
from zeroinit.symmetry.verdict.symptoms.loss_parameters import parameters_of_loss
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["made_in_forward", "replaced_in_forward"]

MOST = 3
LAYER = re.compile(r"\bnn\.(?!Parameter\b|functional\b|init\b|utils\b)[A-Z]\w*\(")
"""How a layer is made."""
ANEW = "It starts at random every time, and no optimizer moves it."
IN_INIT = "Make the layer once, in `__init__`, and only call it in `{}`."


def made_in_forward(search: Search) -> list[tuple[str, str, str, tuple[Line, ...]]]:
    """Return what a forward pass makes: the module, what happens, what to type, and the line that uses it."""
    calls = Calls(search.replica)
    search.trials.loss(Change(), search.step, calls)
    if calls.wrapped:
        return []  # a computed tensor that was made a parameter; the reason of what it was computed from says so
    assigned = sorted(search.evidence.single.made)
    if assigned:
        held = {name for name, _ in search.evidence.model.named_parameters()}
        new = [each for each in assigned if not any(_is_inside(name, each) for name in held)]
        return [(*_of_place(each, search.evidence), ()) for each in new[:MOST]]
    known = {id(each) for each in [*search.replica.parameters(), *search.evidence.model.parameters()]}
    bound = search.evidence.objective.bound_to(search.replica)
    known |= {id(each) for each in parameters_of_loss(bound, search.replica).values()} if bound is not None else set()
    paths: dict[str, tuple[Line | None, str]] = {}
    known |= set(calls.copied.sources())
    for call in calls.calls:
        anew = any(isinstance(each, nn.Parameter) and id(each) not in known for each in call.given)
        if anew and any(node is not None for node in call.nodes):
            paths.setdefault(call.path, (call.line, call.method))
    return [(*_of_path(path, method, search), readable([line])) for path, (line, method) in list(paths.items())[:MOST]]


def _of_path(path: str, method: str, search: Search) -> tuple[str, str, str]:
    if path == LOSS:
        text = f"A parameter is made anew inside `loss_fn` at each pass. {ANEW}"
        return "", text, "Make it once, outside of the function, and hand it to the optimizer."
    owner = where(path, search.replica, method)
    source = reached_text(type(search.replica.get_submodule(path)))
    if "nn.Parameter(" in source and not LAYER.search(source):
        repair = "Make it once, in `__init__`: `self.name = nn.Parameter(...)`."
        return path, f"A parameter is made anew inside {owner} at each pass. {ANEW}", repair
    return (
        path,
        f"A layer is made anew inside {owner} at each pass. {ANEW}",
        IN_INIT.format(method.rpartition(".")[2] or "forward"),
    )


def replaced_in_forward(evidence: Evidence, names: set[str]) -> dict[str, Reason]:
    """Return the reasons of parameters that a forward pass puts new ones in the place of."""
    found: dict[str, Reason] = {}
    for place in sorted(evidence.single.made):
        _, text, repair = _of_place(place, evidence)
        inside = [name for name in names if _is_inside(name, place)]
        found |= dict.fromkeys(inside, Reason("replaced", text, (), repair, f"made in forward {place}"))
    return found


def _is_inside(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def _of_place(place: str, evidence: Evidence) -> tuple[str, str, str]:
    path, _, name = place.rpartition(".")
    owner = where(path, evidence.model)
    what = f"`self.{name}` is assigned inside {owner}"
    if _is_made_once(place, evidence):
        text = f"{what} in the first pass, so an optimizer made before that pass does not hold it."
        return (
            path,
            text,
            "Make it in `__init__`, or call `model(inputs)` once before you make the optimizer and inspect the model.",
        )
    repair = f"Assign `self.{name}` once, in `__init__`, and only use it in `forward`."
    return path, f"{what} at each pass. {ANEW}", repair


def _is_made_once(place: str, evidence: Evidence) -> bool:
    """Tell whether a second pass leaves alone what the first one made."""
    made = []
    try:
        replica, mode = copy_of(evidence.model, torch.float32), ShadowMode(torch.float32)
        for step in (1, 2):
            reseed(evidence.settings.seed, step)
            with running(replica, torch.float32, mode), mode:
                evidence.objective.output(replica, torch.float32)
            made.append(_part(replica, place))
    except (InputError, AttributeError, RuntimeError, TypeError, ValueError):
        return False
    return made[0] is made[1]


def _part(model: nn.Module, place: str) -> object:
    path, _, name = place.rpartition(".")
    return getattr(model.get_submodule(path), name)
