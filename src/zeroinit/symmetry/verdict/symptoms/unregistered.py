"""What the loss is trained through and the model does not register: in plain objects, containers, or computed once."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from zeroinit._modules.attached import attached, leaves_of, unregistered
from zeroinit._modules.copying import copier_of
from zeroinit.symmetry.verdict.evidence import Symptom
from zeroinit.symmetry.verdict.passes.calls import Calls, tensors_in
from zeroinit.symmetry.verdict.passes.naming import few
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.symptoms.made_in_forward import made_in_forward
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["how_to_register", "of_containers", "strangers"]


def strangers(leaves: list[Any], search: Search) -> Iterator[Symptom]:
    """Yield what the loss is trained through although the model does not register it."""
    replica, evidence = search.replica, search.evidence
    original = {id(each) for each in evidence.model.parameters()}
    given = {id(each) for each in tensors_in([evidence.objective.inputs, evidence.objective.targets])}
    copier = copier_of(replica)
    known = original | given | (copier.outside if copier is not None else set())
    leaves = [each for each in leaves if id(each) not in known]
    if not leaves:
        return
    places = unregistered(replica, {id(each) for each in leaves})
    rates = getattr(evidence.settings.optimizer, "rates", {})
    held = {place for place, each in attached(evidence.model) if id(each) in rates}
    if held and set(places) <= held:
        return
    if places:
        points = _points_of_derivatives(search)
        places = [each for each in places if each not in points]
    computed = _computed_from_parameters(evidence.model)
    groups: dict[_Root, list[str]] = {}
    for place in places:
        if place in computed:
            if any(not search.evidence.reasons.get(each) for each in computed[place]):
                yield _computed(place, computed[place])
        elif place not in held:
            groups.setdefault(_root(place, evidence.model), []).append(place)
    parameters = {place for place, each in attached(replica) if isinstance(each, nn.Parameter)}
    for root, members in groups.items():
        yield _unregistered(root, members, [each for each in members if each not in parameters])
    if not places and any(isinstance(each, nn.Parameter) for each in leaves):
        for path, text, repair, lines in made_in_forward(search):
            yield Symptom("ZI016", path, (), text, repair, lines)


def _points_of_derivatives(search: Search) -> set[str]:
    """Return the attributes that a pass computes from what it takes a derivative by, as inputs."""
    calls = Calls(search.replica)
    search.trials.loss(Change(), search.step, calls)
    points = [each.args[1] if len(each.args) > 1 else each.kwargs.get("inputs") for each in calls.calls
              if each.name == "grad"]  # fmt: skip
    leaves = {leaf for each in tensors_in(points) for leaf in leaves_of(each)}
    leaves -= {id(each) for each in search.replica.parameters()}
    return set(unregistered(search.replica, leaves)) if leaves else set()


def of_containers(model: nn.Module) -> str:
    """Say what a model without a trained parameter holds in plain containers, and what to type; nothing if it does not.

    Example:
        >>> model = nn.Module()
        >>> model.layers = [nn.Linear(2, 1)]
        >>> print(of_containers(model))
        `layers` is not registered. Register it: `self.layers = nn.ModuleList(...)` in place of the plain container.
    """
    held = [place for place, each in attached(model) if each.requires_grad]
    if not held:
        return ""
    root = _root(held[0], model)
    local = root.path.rpartition(".")[2]
    alike = [place for place in held if _root(place, model) == root]
    if root.kind == "container":
        return f"`{root.path}` is not registered. {how_to_register(local, alike)}"
    symptom = _unregistered(root, alike, [])
    return f"{symptom.text} {symptom.repair}"


def _computed_from_parameters(model: nn.Module) -> dict[str, list[str]]:
    """Return the attached tensors that were computed from parameters of the model alone, and these, by place."""
    names = {id(each): name for name, each in model.named_parameters()}
    found = {place: leaves_of(each) for place, each in attached(model) if each.grad_fn is not None}
    return {place: sorted(names[each] for each in ids) for place, ids in found.items() if ids and ids <= set(names)}


def _computed(place: str, names: list[str]) -> Symptom:
    text = f"`{place}` was computed from {few(names)} before the forward pass, so no update of {few(names)} changes it."
    return Symptom("ZI016", place.rpartition(".")[0], (place,), text, f"Compute `{place}` in `forward`.")


@dataclass(frozen=True)
class _Root:
    """What keeps a tensor from being registered: a plain object or container on the way to it, or nothing at all."""

    kind: str
    path: str


def _root(place: str, model: nn.Module) -> _Root:
    registered, container = {id(each) for each in model.modules()}, ""
    value: Any = model
    for part in re.finditer(r"(\w+)|\[([^\]]*)\]", place):
        try:
            value = getattr(value, part[1]) if part[1] else value[ast.literal_eval(part[2])]
        except (AttributeError, LookupError, TypeError, ValueError, SyntaxError):
            break
        path = place[: part.end()]
        if isinstance(value, Tensor) or id(value) in registered:
            continue
        if isinstance(value, list | tuple | dict | set):
            container = container or path
        elif not isinstance(value, nn.Module):
            return _Root(type(value).__name__, container)
        elif not container:
            return _Root("layer", path)
    return _Root("container", container) if container else _Root("", place)


def _unregistered(root: _Root, members: list[str], plain: list[str]) -> Symptom:
    path, local = members[0].rpartition(".")[0], root.path.rpartition(".")[2]
    one = len(members) == 1
    text = (
        f"{few(members)} {'is' if one else 'are'} not registered, {{why}}. {'It takes' if one else 'They take'} part "
    )
    text += f"in the loss, and no optimizer moves {'it' if one else 'them'}."
    if root.kind == "container":
        path = root.path.rpartition(".")[0]
        text = f"What is in `{root.path}` takes part in the loss, but is not registered, so no optimizer moves it."
        repair = how_to_register(local, members)
    elif root.kind == "layer":
        text = text.format(why=f"because the layer `{root.path}` is not")
        repair = f"Assign the layer in `__init__`: `self.{local} = ...`."
    elif root.kind:
        text = text.format(why=f"because `{root.kind}` is no `nn.Module`")
        repair = f"Let `{root.kind}` inherit from `nn.Module` and call `super().__init__()` first."
        if plain:
            repair += f" Make {few(dict.fromkeys(each.rpartition('.')[2] for each in plain))} an `nn.Parameter`."
        if root.path:
            repair += f" {how_to_register(local, members)}"
    else:
        text = f"`{root.path}` takes part in the loss, but it is no registered parameter, so no optimizer moves it."
        repair = f"Register it: `self.{local} = nn.Parameter(...)`, with any arithmetic inside the brackets. "
        repair += "Nothing to do if an optimizer of its own moves it."
    return Symptom("ZI016", path, tuple(members), text, repair)


def how_to_register(name: str, places: list[str]) -> str:
    """Write the line that puts a registered container in the place of a plain one.

    Args:
        name: The attribute.
        places: Where its tensors are, as ``"hids[0][1].weight"``.

    Example:
        >>> how_to_register("hids", ["hids[0][0].weight", "hids[1][0].weight"])
        'Register it: `self.hids = nn.ModuleList(nn.ModuleList(each) for each in self.hids)`.'
    """
    kind = "Module" if any(re.search(r"\]\.", each) for each in places) else "Parameter"
    levels = re.match(r"[^\[]*((?:\[[^\]]*\])*)", places[0])
    indices = re.findall(r"\[([^\]]*)\]", levels[1] if levels is not None else "")
    outer, *inner = [f"nn.{kind}List" if each.isdigit() else f"nn.{kind}Dict" for each in indices]
    if not inner:
        return f"Register it: `self.{name} = {outer}(...)` in place of the plain container."
    if outer.endswith("Dict"):
        line = f"{outer}({{name: {inner[0]}(each) for name, each in self.{name}.items()}})"
    else:
        line = f"{outer}({inner[0]}(each) for each in self.{name})"
    return f"Register it: `self.{name} = {line}`."
