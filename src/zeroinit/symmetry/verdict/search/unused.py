"""Parameters that the graph of the loss does not hold: cut off, left out by this loss, not in this batch, or unused."""

import ast
import builtins
import inspect
from dataclasses import replace

import torch
from torch import nn

from zeroinit._findings.lines import readable
from zeroinit._modules.attached import attached
from zeroinit.symmetry.verdict.causes.flat import second_derivative
from zeroinit.symmetry.verdict.causes.views import View
from zeroinit.symmetry.verdict.evidence import THROWN, Reason
from zeroinit.symmetry.verdict.passes.calls import DETACHED, Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.naming import exact, few, joined, sentence, starred, where
from zeroinit.symmetry.verdict.search.adapters import of_adapter
from zeroinit.symmetry.verdict.search.conditions import condition_on_result
from zeroinit.symmetry.verdict.search.cuts import COMPARISONS, cuts
from zeroinit.symmetry.verdict.search.no_effect import comes_later
from zeroinit.symmetry.verdict.search.outputs import depends, given_to, handed_out
from zeroinit.symmetry.verdict.search.search import SAME_LOSS, Search, called
from zeroinit.symmetry.verdict.search.sources import (
    CONTAINERS,
    computed_once,
    condition_on,
    never_passed,
    reached_text,
    taken_once,
)
from zeroinit.symmetry.verdict.search.twins import trained_twin
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["DROPPED", "reason_for_unused"]

MOST_ARGUMENTS = 6
DROPPED = "dropped"
"""How the cause of parameters starts whose result is thrown away."""
OTHER_INPUTS = ("other", "choices", "random")
WRITES = ("data", "copy", "fill", "zero")
SECOND_LOSS = "second loss"
ROUTING = ("nonzero", "argmax", "topk", "multinomial", "where", "argsort", "sort", "bincount", "unique")
"""Calls that choose by data which parts take part."""


def reason_for_unused(name: str, search: Search, view: View | None) -> Reason:
    """Tell why a parameter is not in the graph of the loss."""
    if name in search.evidence.double.used:
        return _cut(name, search)
    return _not_called(name, search)


def _cut(name: str, search: Search) -> Reason:
    """It takes part in the forward pass: what loses its gradient?"""
    trials, step, model = search.trials, search.step, search.replica
    calls = Calls(model)
    trials.loss(Change(), step, calls)
    if any(call.quiet for call in calls.calls) and (twin := trained_twin(name, search)):
        part = name.split(".")[0] if "." in name else name
        text = f"`{part}` is a copy of `{twin}` that runs without gradients, as a target network or a teacher does."
        return Reason("idle", text, (), "Nothing to do if that is meant.", f"copy of {twin}")
    outputs = Change(outputs=True)
    if handed_out(name, search)[1] and search.moving():  # a detached use beside it is right, as of an advantage
        return _not_in_loss(name, search)
    for each in second_derivative(calls, model):
        if name in trials.frees(each.change, step):
            return replace(each.reason, repair=each.repairs[0][1])
    beside = {each.text for other, each in search.found.items() if other.rpartition(".")[0] == name.rpartition(".")[0]}
    for change, text, repair, lines, second, several in cuts(calls, model):
        if second and model.get_parameter(name).dim() < 2 and text not in beside:
            continue  # a shift may have no effect behind it, and any tie gives it a gradient
        if several and search.moving() and handed_out(name, search)[0] is not None:
            return _not_in_loss(name, search)  # a loss of its own is left out
        if name in trials.frees(change, step):
            search.changes[text] = change
            hides = " `requires_grad = True` on the loss only hides this; remove it." if calls.new_loss else ""
            return Reason("detached", text, (), repair + hides, text, lines)
        if calls.leaves and name in trials.frees(replace(change, unwrap=True), step):
            also = f" In {where(calls.leaves[-1][0], model, calls.leaves[-1][1])} it is then made a new tensor with "
            also += "`requires_grad=True`, which leads nowhere."
            more = " Use it there as it is, without `Variable(..., requires_grad=True)`."
            return Reason("detached", text + also, (), repair + more, text, lines)
    if calls.leaves and name in trials.frees(Change(unwrap=True), step):
        place = where(calls.leaves[-1][0], model, calls.leaves[-1][1])
        text = f"What is computed from {{it}} is made a new tensor with `requires_grad=True` in {place}."
        text += " No gradient leads back from that."
        repair = f"Use it in {place} as it is, without `Variable(..., requires_grad=True)`."
        return Reason("detached", text, (), repair, text)
    changes = trials.loss_changes(Change(draw=(name,)), step)
    parameter = model.get_parameter(name)
    taken = [each for each in calls.escapes if any(depends(source, parameter) for source in each[3])] or calls.escapes
    taken = sorted(taken, key=lambda each: any(name in COMPARISONS for name in each[2]))  # those give truth values
    if changes and taken:
        (path, method), escape, lost, _, line = taken[0]
        words = [*(f"`.{DETACHED[each]}`" for each in lost[:1] if each in DETACHED), escape]
        takes = "takes" if len(words) == 1 else "take"
        place = where(path, model, method)
        text = f"{joined(words)} in {place} {takes} values out of torch, and the gradient of {{it}} is lost."
        repair = f"Compute with tensors in {place}."
        repair += " `torch.stack([...])` makes one tensor of a list." if "Tensor([" in escape else ""
        return Reason("detached", text, (), repair, text, readable([line]))
    if changes and (within := _within_function(parameter, calls)) is not None:
        text = f"`{within.name}` in {where(within.path, model, within.method)} uses {{it}} inside, and no "
        text += "argument depends on that. So its backward pass returns no gradient for it."
        repair = f"Hand it to `{within.name}.apply(...)` as an argument, and return its gradient in `backward`."
        return Reason("detached", text, (), repair, text, readable([within.line]))
    if not changes and name in trials.frees(outputs, step):
        return _not_in_loss(name, search)
    if changes:
        text = "The loss changes with {it}, but no gradient leads back. Where it is lost could not be seen."
        look = "Look for detach(), no_grad(), .data, .numpy(), torch.Tensor([...]), or a derivative without "
        return Reason("detached", text, (), f"{look}create_graph=True on its way.")
    if model.get_parameter(name).dim() < 2:
        none = Reason("no_effect", SAME_LOSS)
        uses = [each for each in calls.calls if any(given is parameter for given in each.given)]
        written = bool(uses) and all(each.name in WRITES for each in uses)
        unread = _of_condition(name, search) if written else None
        return comes_later(name, search, step) or unread or none
    if (user := _of_condition(name, search)) is not None:
        return user
    text = "The loss is the same whatever the value of {it}."
    return Reason("unused", text, (), "Use what it computes, or remove it.")


def _within_function(parameter: nn.Parameter, calls: Calls) -> Call | None:
    """Return an autograd function that uses what depends on a parameter inside, and has no argument that does."""
    for call in calls.calls:
        if call.function is not None and any(depends(each, parameter) for each in call.held):
            return None if any(depends(each, parameter) for each in call.given) else call
    return None


def _not_in_loss(name: str, search: Search) -> Reason:
    """What it computes does not reach the loss: handed out for others to use, or dropped."""
    path = name.rpartition(".")[0]
    others = {each for each, reason in search.found.items() if reason.kind not in ("unused", "idle")}
    siblings = {each for each in search.moving() | others if each.rpartition(".")[0] == path}
    if siblings and search.replica.get_parameter(name).dim() < 2:
        return Reason("no_effect", SAME_LOSS)
    by, is_loss = handed_out(name, search)
    if by is not None:
        place = where(by, search.replica)
        if is_loss:
            text = f"{place} returns a second loss that depends on {{it}}, and this loss leaves it out."
            return Reason("idle", sentence(text), (), "Add the second loss to the first one.", SECOND_LOSS)
        if user := _throws_away(by, name, search):
            text = f"The output of {{it}} is handed out by {place} and {THROWN} in `{user}.forward`."
            return Reason("idle", text, (), "Nothing to do if that is meant.", f"{THROWN} {starred(by)}")
        text = f"The output of {{it}} is handed out by {place}, and this loss does not use it for this batch."
        return Reason("idle", text, (), "Nothing to do if another loss or batch uses it.", "left out by the loss")
    text, own = reached_text(type(search.replica.get_submodule(path))), name[len(path) :].strip(".")
    if condition := condition_on_result(text, own):
        text = f"What is made of {{it}} is used only if `{condition}`, which is not so here."
        return Reason("idle", text, (), "Nothing to do if that is meant.", text)
    given = given_to(name, search)
    if given is not None:
        text = f"What {{it}} makes is handed to `{given}`, which does not use it."
        return Reason("unused", text, (), f"Use it in the forward pass of `{given}`.", f"given to {starred(given)}")
    parts = path.split(".")
    around = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    path = next((search.dropped[each] for each in around if each in search.dropped), path)
    what = _of_dropped(path, search) if path else "What is made of {it}"
    text = f"{what} is thrown away. Nothing in the loss depends on it."
    return Reason("unused", text, (), "Use its result, or remove it.", f"{DROPPED} {starred(path)}")


def _throws_away(by: str, name: str, search: Search) -> str:
    """Return the class whose ``forward`` drops what a module hands out, where nothing keeps it and no batch uses it."""
    parts = by.split(".") if by in search.unkept else []
    paths = [".".join(parts[:end]) for end in range(len(parts))]
    users = [search.replica.get_submodule(path) for path in paths]
    user = next((each for each in reversed(users) if not isinstance(each, nn.ModuleList | nn.ModuleDict)), None)
    if user is None or isinstance(user, nn.Sequential):
        return ""
    used = any(name in search.trials.frees(Change(inputs=kind), search.step) for kind in OTHER_INPUTS)
    return "" if used else type(user).__name__


def _of_dropped(path: str, search: Search) -> str:
    """Say what is thrown away: the results of a module, and of those whose paths differ from its by numbers alone."""
    alike = {each for each in search.dropped.values() if starred(each) == starred(path)}
    if len(alike) < 2:
        return f"What {where(path, search.replica)} computes"
    return f"What `{exact(sorted(alike), (at for at, _ in search.replica.named_modules()))}` compute"


def _not_called(name: str, search: Search) -> Reason:
    """It takes no part in the forward pass: not with this batch, or never."""
    by, _ = handed_out(name, search)
    if by is not None:
        text = f"{{it}} is handed out by {where(by, search.replica)} as it is, and this loss does not use it."
        return Reason("idle", text, (), "Nothing to do if another loss uses it.", "left out by the loss")
    if (adapter := of_adapter(name, search)) is not None:
        return adapter
    if name in search.used_with_other_inputs():
        return Reason("idle", "Other inputs use this part of the model.", (), "", "other inputs")
    sibling, by_name = _sibling(name, search)
    if sibling and (by_name or _selects(name, search)):
        text = f"This batch uses its sibling `{sibling}`."
        return Reason("idle", text, (), "Nothing to do if another batch, task or domain uses it.", "sibling")
    if name in search.trials.frees(Change(uncopied=True), search.step):
        return _cut(name, search)
    if (user := _of_condition(name, search)) is not None:
        return user
    if substitute := _substitute(name, search):
        text = f"The forward pass does not use {{it}}, but `{substitute}`, a plain tensor with the same values."
        return Reason("unused", text, (), f"Use `{name}` itself in place of `{substitute}`.", text)
    if (kind := computed_once(name, search.evidence.model)[0]) is not None:
        return _taken_once(kind, search)
    path = name.rpartition(".")[0]
    if (part := _uncalled(name, search)) not in ("", path):
        return Reason("unused", f"The forward pass does not call `{part}`.", (), "", f"not called {part}")
    return Reason("unused", "The forward pass does not use {it}.", (), "", f"unused {starred(path)}")


def _uncalled(name: str, search: Search) -> str:
    """Return the outermost module around a parameter of which the forward pass calls nothing."""
    parts, running = name.split("."), called(search)
    paths = (".".join(parts[:end]) for end in range(1, len(parts)))
    modules = ((path, search.replica.get_submodule(path)) for path in paths)
    quiet = (path for path, each in modules if not running & {*each.modules()} and not isinstance(each, CONTAINERS))
    return next(quiet, "")


def _of_condition(name: str, search: Search) -> Reason | None:
    """Return the reason of a parameter that a class uses under a condition, if its source says so."""
    part, condition = condition_on(name, search)
    if part is None:
        return None
    user = type(part).__name__
    argument, path = never_passed(part, condition, search.replica)
    own = name.removeprefix(f"{path}.")
    likes = [at for at, each in search.replica.named_modules() if type(each) is type(part) and at != path]
    if argument and all(f"{at}.{own}" in search.without_gradient for at in likes):  # no other one gets it
        place = where(path.rpartition(".")[0], search.replica)
        text = f"`{user}` uses {{it}} only if `{condition}`, and {place} calls `{path}` without `{argument}`."
        return Reason("unused", text, (), f"Hand `{argument}` to `{path}`, or remove what needs it.", text)
    text = f"`{user}` uses {{it}} under a condition that is not met here."
    if condition:
        text = f"`{user}` uses {{it}} only if `{condition}`, which is not so here."
    return Reason("idle", text, (), "Nothing to do if that is meant.", text)


def _taken_once(kind: type, search: Search) -> Reason:
    """Tell of all parameters of a class from which ``__init__`` computes what ``forward`` reads in their place."""
    told = next((each for each in search.found.values() if each.cause == taken_once(kind)), None)
    if told is not None:
        return told
    found = [
        computed_once(each, search.evidence.model)
        for each, _ in search.replica.named_parameters()
        if each in search.without_gradient
    ]
    lines = {target: value for other, target, value in found if other is kind}
    text = f"The forward pass does not use {{it}}, but {few(lines)}, which `{kind.__name__}.__init__` computed once."
    listed = "; ".join(f"`{target} = {value}`" for target, value in lines.items())
    if not all(_is_known_in_forward(value) for value in lines.values()):
        listed = f"what `{kind.__name__}.__init__` needs for it has to be kept in attributes"
    return Reason("unused", text, (), f"Compute {few(lines)} in `forward`: {listed}.", taken_once(kind))


def _is_known_in_forward(value: str) -> bool:
    """Tell whether an expression of ``__init__`` uses no local name of it."""
    used = {each.id for each in ast.walk(ast.parse(value, mode="eval")) if isinstance(each, ast.Name)}
    return used <= {"self", "torch", "nn", "F", "math", "np", *vars(builtins)}


def _substitute(name: str, search: Search) -> str:
    """Return a plain tensor on the model with the values that a parameter had, as they are or transposed."""
    own = search.evidence.model.get_parameter(name).detach()
    for place, other in attached(search.evidence.model):
        plain = other.detach()
        for each in (plain, plain.mT if plain.dim() > 1 else plain):
            if own.numel() > 1 and each.shape == own.shape and each.dtype == own.dtype and torch.equal(each, own):
                return place
    return ""


def _selects(name: str, search: Search) -> bool:
    """Tell whether something in the call can choose among parts: an argument that is no tensor, or routing by data."""
    given = search.evidence.objective.inputs
    listed = (
        list(given.values()) if isinstance(given, dict) else list(given) if isinstance(given, tuple | list) else [given]
    )
    masks = [each for each in tensors_in(search.evidence.objective.targets) if each.dtype == torch.bool]
    if masks or any(isinstance(each, str | int | bool) for each in listed):
        return True
    parameters = inspect.signature(search.replica.forward).parameters.values()
    plain = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    chosen = [each for each in plain if isinstance(each.default, str | int) and not isinstance(each.default, bool)]
    if chosen and len(plain) < MOST_ARGUMENTS:
        return True
    calls = Calls(search.replica)
    search.trials.loss(Change(), search.step, calls)
    owner = name.split(".")[0] if "." in name else ""
    return any(call.name in ROUTING and (not call.path or call.path.split(".")[0] == owner  )
               for call in calls.calls)  # fmt: skip


def _sibling(name: str, search: Search) -> tuple[str, bool]:
    """Return a part with the same parameters elsewhere in the same list or dictionary that takes part, if any.

    Parameters in a dictionary of parameters are chosen by name, which the second value tells.
    """
    model, used = search.replica, search.evidence.double.used | set(search.moving())
    parts = name.split(".")
    for at in range(len(parts), 0, -1):
        parent = model.get_submodule(".".join(parts[: at - 1])) if at > 1 else model
        if not isinstance(parent, nn.ModuleList | nn.ModuleDict | nn.ParameterDict):
            continue
        prefix, rest = ".".join(parts[: at - 1]), ".".join(parts[at:])
        for key in (*parent._modules, *parent._parameters):
            other = ".".join(filter(None, [prefix, key, rest]))
            if key != parts[at - 1] and other in used:
                return ".".join(filter(None, [prefix, key])), isinstance(parent, nn.ParameterDict)
    return "", False
