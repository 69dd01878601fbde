"""Parameters that the graph of the loss does not hold: cut off, left out by this loss, not in this batch, or unused."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from zeroinit._modules.attached import attached
from zeroinit.symmetry.verdict.causes.flat import second_derivative
from zeroinit.symmetry.verdict.causes.functions import of_function_never_asked
from zeroinit.symmetry.verdict.causes.views import View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import Call, Calls, tensors_in
from zeroinit.symmetry.verdict.passes.naming import operation, sentence, starred, where
from zeroinit.symmetry.verdict.search.called import called
from zeroinit.symmetry.verdict.search.no_effect import comes_later
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["reason_for_unused"]

MOST_CUTS = 12
MOST_ARGUMENTS = 6
ROUTING = ("nonzero", "argmax", "topk", "multinomial", "where", "argsort", "sort", "bincount", "unique")
"""Calls that choose by data which parts take part."""
DRAWS = ("normal", "bernoulli", "multinomial", "poisson", "binomial", "_standard_gamma", "_sample_dirichlet")
COMPARISONS = ("gt", "lt", "ge", "le", "eq", "ne", "greater", "less", "heaviside")
SURROGATE = "Give it a surrogate gradient: `soft + (hard - soft).detach()`, with a sigmoid as the soft form."
DETACHED = ("detach", "data", "detach_copy")


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
    outputs = Change(outputs=True)
    for each in second_derivative(calls, model):
        if name in trials.frees(each.change, step):
            return replace(each.reason, repair=each.repairs[0][1], tried=True)
    for change, kind, text, repair in _cuts(calls, model):
        if name in trials.frees(change, step):
            return Reason(kind, text, (), repair, True, text)
    depends = trials.loss_changes(Change(draw=(name,)), step)
    if depends and calls.escapes:
        path, escape = calls.escapes[0]
        text = f"`.{escape}()` in {where(path, model)} takes values out of torch, and the gradient of {{it}} is lost."
        return Reason("detached", text, (), f"Compute with tensors in {where(path, model)}.", True, text)
    if not depends and name in trials.frees(outputs, step):
        return _not_in_loss(name, search)
    if depends:
        text = "The loss changes with {it}, but no gradient leads back. Where it is lost could not be seen."
        return Reason("detached", text, (), "Look for detach(), no_grad(), .data or .numpy() on its way to the loss.")
    if model.get_parameter(name).dim() < 2:
        none = Reason("no_effect", "The loss is the same whatever its value.", tried=True)
        return comes_later(name, search, step) or none
    text = "The loss is the same whatever the value of {it}."
    return Reason("unused", text, (), "Use what it computes, or remove it.", True)


def _cuts(calls: Calls, model: nn.Module) -> Iterator[tuple[Change, str, str, str]]:
    """Yield what may lose a gradient: each kind of call once, with what undoes it."""
    if calls.wrapped:
        place = where(calls.wrapped[0], model)
        text = f"A computed tensor is made a new `nn.Parameter` in {place}, which cuts off what it was computed from."
        yield Change(unwrap=True), "detached", text, f"Use the tensor as it is in {place}, with torch.nn.functional."
    if calls.copied:
        place = where(calls.copied[0], model)
        text = f"`copy.deepcopy` in {place} makes copies, from which no gradient leads back to {{it}}."
        repair = "Compute with the parameters themselves: `torch.func.functional_call(part, {name: p - rate * g}, x)`."
        yield Change(uncopied=True), "detached", text, repair
    if calls.writes.calls:
        place = where(calls.writes.calls[0].path, model)
        text = f"Values are written through `.data` in {place}, outside of the graph, which cuts {{it}} off."
        repair = f"Write into a copy in {place}, without `.data`: `h = h.clone(); h[...] = values`."
        yield Change(attach=tuple(each.key for each in calls.writes.calls)), "detached", text, repair
    groups: dict[tuple, list[Call]] = {}
    for call in calls.calls:
        if call.cuts or call.chooses:
            groups.setdefault((starred(call.path), call.key[1]), []).append(call)
    for members in list(groups.values())[:MOST_CUTS]:
        call, keys = members[0], tuple(each.key for each in members)
        place = where(call.path, model)
        if call.function is not None:
            yield from _of_function(members, model)
        elif call.chooses:
            text = f"{sentence(operation(call, model))} hands on its indices, which carry no gradient."
            repair = "Multiply what is chosen by its score: `chosen * torch.sigmoid(score.gather(dim, index))`."
            yield Change(attach=keys), "detached", text, repair
        elif call.name in DETACHED:
            word = ".data" if call.name == "data" else "detach()"
            change = Change(calls=tuple((key, "take out") for key in keys))
            text = f"`{word}` in {place} cuts {{it}} off from the loss."
            yield change, "detached", text, f"Remove `{word}` in {place}."
        elif any(map(_can_have_gradient, call.out)) and not call.quiet:
            text = f"`{call.name}` in {place} copies {{it}} without a gradient."
            yield Change(attach=keys), "detached", text, f"Use the tensor itself in place of `{call.name}` in {place}."
        elif any(map(_can_have_gradient, call.out)):
            if any(each.name in DRAWS and each.quiet and each.path == call.path for each in calls.calls):
                text = f"`sample()` in {place} draws values under no_grad, which carry no gradient to {{it}}."
                repair = f"Use `rsample()` in {place}: a mean plus a spread times noise."
                yield Change(attach=keys), "detached", text, repair
            text = f"{sentence(operation(call, model))} runs under no_grad, which cuts {{it}} off from the loss."
            place = where(call.quiet_in, model)
            yield Change(gradients=True), "detached", text, f"Remove `torch.no_grad()` in {place}."
        else:
            text = f"{sentence(operation(call, model))} returns whole numbers or truth values, which carry no gradient."
            repair = (
                SURROGATE
                if call.name in COMPARISONS
                else f"Use a soft form of {operation(call, model)}, as softmax or sigmoid, or let the gradient pass: "
                "`soft + (hard - soft).detach()`."
            )
            yield Change(attach=keys), "detached", text, repair
    if len(groups) > 1:
        changes = [(each.key, "take out") for group in groups.values() for each in group if each.name in DETACHED]
        text = f"{len(groups)} operations cut it off from the loss, in {where(next(iter(groups))[0], model)} first."
        everything = tuple(each.key for group in groups.values() for each in group if each.name not in DETACHED)
        yield Change(calls=tuple(changes), attach=everything, gradients=True), "detached", text, "Remove all of them."


def _can_have_gradient(value: Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def _of_function(members: list[Call], model: nn.Module) -> Iterator[tuple[Change, str, str, str]]:
    """An autograd function whose backward pass never runs, or whose result is marked as without a gradient."""
    text, repair = of_function_never_asked(members[0])
    yield Change(calls=tuple((each.key, "with gradient") for each in members)), "detached", text, repair
    call, place = members[0], where(members[0].path, model)
    if call.quiet:
        text = f"`{call.name}` in {place} runs under no_grad, which cuts {{it}} off from the loss."
        repair = f"Remove `torch.no_grad()` in {where(call.quiet_in, model)}."
        yield Change(gradients=True), "detached", text, repair
    text = f"The result of `{call.name}` in {place} carries no gradient: its type has none, or it is marked so."
    repair = f"Let `{call.name}.forward` return floats, and do not call `ctx.mark_non_differentiable` on them."
    yield Change(attach=tuple(each.key for each in members)), "detached", text, repair


def _not_in_loss(name: str, search: Search) -> Reason:
    """What it computes does not reach the loss: handed out for others to use, or dropped."""
    path = name.rpartition(".")[0]
    others = {each for each, reason in search.found.items() if reason.kind not in ("unused", "idle")}
    siblings = {each for each in search.moving() | others if each.rpartition(".")[0] == path}
    if siblings and search.replica.get_parameter(name).dim() < 2:
        return Reason("no_effect", "The loss is the same whatever its value.", tried=True)
    handed_out = _handed_out(name, search)
    if handed_out is not None:
        place = where(handed_out, search.replica)
        text = f"The output of {{it}} is handed out by {place}, and this loss does not use it."
        return Reason("idle", text, (), "Nothing to do if another loss uses it.", True, "left out by the loss")
    given = _given_to(name, search)
    if given is not None:
        text = f"What {{it}} makes is handed to `{given}`, which does not use it."
        return Reason(
            "unused", text, (), f"Use it in the forward pass of `{given}`.", True, f"given to {starred(given)}"
        )
    what = f"What {where(path, search.replica)} computes" if path else "What is made of {it}"
    text = f"{what} is thrown away. Nothing in the loss depends on it."
    return Reason("unused", text, (), "Use its result, or remove it.", True, f"dropped {starred(path)}")


def _handed_out(name: str, search: Search) -> str | None:
    """Return the outermost module that returns several tensors, one of which depends on the parameter."""
    found: list[str] = []
    parameter = search.replica.get_parameter(name)

    def look(path: str) -> Any:
        def note(module: nn.Module, arguments: tuple, output: Any) -> None:
            given = list(output.values()) if isinstance(output, Mapping) else output
            tensors = [each for each in tensors_in([given]) if each.requires_grad]
            several = isinstance(given, list | tuple) and len(tensors) > 1
            if (several or not path) and any(_depends(each, parameter) for each in tensors):
                found.append(path)

        return note

    modules = search.replica.named_modules()
    _go_forward(search, [module.register_forward_hook(look(path)) for path, module in modules])
    return found[-1] if found else None


def _given_to(name: str, search: Search) -> str | None:
    """Return the last module that is handed what depends on the parameter, and gives back nothing that does."""
    found: list[str] = []
    parameter = search.replica.get_parameter(name)

    def look(path: str) -> Any:
        def note(module: nn.Module, arguments: tuple, named: dict, output: Any) -> None:
            given = any(each.requires_grad and _depends(each, parameter) for each in tensors_in([arguments, named]))
            if given and not any(each.requires_grad and _depends(each, parameter) for each in tensors_in([output])):
                found.append(path)

        return note

    modules = search.replica.named_modules()
    _go_forward(search, [each.register_forward_hook(look(path), with_kwargs=True) for path, each in modules if path])
    return found[-1] if found else None


def _go_forward(search: Search, handles: list[RemovableHandle]) -> None:
    """Go forward once, and take the hooks off."""
    try:
        search.trials.loss(Change(), search.step)
    finally:
        for handle in handles:
            handle.remove()


def _depends(tensor: Tensor, parameter: nn.Parameter) -> bool:
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", None) is parameter:
            return True
        waiting += [each for each, _ in node.next_functions]
    return False


def _not_called(name: str, search: Search) -> Reason:
    """It takes no part in the forward pass: not with this batch, or never."""
    if name in search.used_with_other_inputs():
        return Reason("idle", "Other inputs use this part of the model.", (), "", True, "other inputs")
    sibling = _sibling(name, search)
    if sibling and _selects(name, search):
        text = f"This batch uses its sibling `{sibling}`."
        return Reason("idle", text, (), "Nothing to do if another batch, task or domain uses it.", False, "sibling")
    condition = _conditional(name, search)
    if condition:
        text = f"`{condition}` uses {{it}} under a condition that is not met here."
        return Reason("idle", text, (), "Nothing to do if that is meant.", False, text)
    substitute = _substitute(name, search)
    if substitute:
        text = f"The forward pass does not use {{it}}, but `{substitute}`, a plain tensor with the same values."
        return Reason("unused", text, (), f"Use `{name}` itself in place of `{substitute}`.", False, text)
    return Reason(
        "unused", "The forward pass does not use {it}.", (), "", True, f"unused {starred(name.rpartition('.')[0])}"
    )


def _substitute(name: str, search: Search) -> str:
    """Return a plain tensor on the model with the values that a parameter had, as they are or transposed."""
    own = search.evidence.model.get_parameter(name).detach()
    for place, other in attached(search.evidence.model):
        plain = other.detach()
        for each in (plain, plain.mT if plain.dim() > 1 else plain):
            if own.numel() > 1 and each.shape == own.shape and each.dtype == own.dtype and torch.equal(each, own):
                return place
    return ""


def _conditional(name: str, search: Search) -> str:
    """Return the class whose forward runs and names the parameter, or the part that holds it, if one does."""
    parts, running = name.split("."), called(search)
    for at in range(len(parts), 0, -1):
        owner = search.replica.get_submodule(".".join(parts[: at - 1])) if at > 1 else search.replica
        outside = type(owner).__module__.startswith("torch.")
        if outside or owner not in running or isinstance(owner, nn.ModuleList | nn.ModuleDict | nn.Sequential):
            continue
        if any(isinstance(each, nn.ModuleList | nn.Sequential) for each in _between(search.replica, parts, at)):
            continue
        if re.search(rf"self\.{parts[at - 1]}\b", _forward_source(owner)):
            return type(owner).__name__
    return ""


def _between(model: nn.Module, parts: list[str], at: int) -> list[nn.Module]:
    return [model.get_submodule(".".join(parts[:end])) for end in range(at, len(parts))]


def _forward_source(module: nn.Module) -> str:
    """Return the text of a forward, and of the methods of the same class that it calls."""
    try:
        text = inspect.getsource(type(module).forward)
        called = [getattr(type(module), each, None) for each in set(re.findall(r"self\.(\w+)\(", text))]
        return text + "".join(inspect.getsource(each) for each in called if inspect.isfunction(each))
    except (OSError, TypeError):
        return ""


def _selects(name: str, search: Search) -> bool:
    """Tell whether something in the call can choose among parts: an argument that is no tensor, or routing by data."""
    given = search.evidence.objective.inputs
    listed = (
        list(given.values()) if isinstance(given, dict) else list(given) if isinstance(given, tuple | list) else [given]
    )
    if any(isinstance(each, str | int | bool) for each in listed):
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


def _sibling(name: str, search: Search) -> str:
    """Return a part with the same parameters elsewhere in the same list or dictionary that takes part, if any."""
    model, used = search.replica, search.evidence.double.used | set(search.moving())
    parts = name.split(".")
    for at in range(len(parts) - 1, 0, -1):
        parent = model.get_submodule(".".join(parts[: at - 1])) if at > 1 else model
        if not isinstance(parent, nn.ModuleList | nn.ModuleDict):
            continue
        prefix, rest = ".".join(parts[: at - 1]), ".".join(parts[at:])
        for key in parent._modules:
            other = ".".join(filter(None, [prefix, key, rest]))
            if key != parts[at - 1] and other in used:
                return ".".join(filter(None, [prefix, key]))
    return ""
