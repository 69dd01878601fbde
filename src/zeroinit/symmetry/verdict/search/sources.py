"""Reads the source of classes: what ``forward`` can reach, and what ``__init__`` computes from a parameter once."""

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Iterator

from torch import Tensor, nn

from zeroinit.symmetry.verdict.passes.calls import tensors_in
from zeroinit.symmetry.verdict.search.conditions import condition_of
from zeroinit.symmetry.verdict.search.search import Search, called

__all__ = ["CONTAINERS", "computed_once", "condition_on", "never_passed", "reached_text", "taken_once"]

CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
"""Modules whose own forward pass tells nothing."""
TEXTS: dict[tuple[type, str], str] = {}
ASSIGNED: dict[type, list[tuple[str, str]]] = {}
"""What was read, by class and method: many parameters of a large model may ask for the same."""


def condition_on(name: str, search: Search) -> tuple[nn.Module | None, str]:
    """Return the module whose forward runs and names an unused parameter, or the part that holds it, and the condition.

    There is neither where no class names it, and no condition where its use stands behind none.

    A part that runs as well speaks for itself: its own source has to name the parameter.
    """
    parts, running, inner_runs = name.split("."), called(search), False
    for at in range(len(parts), 0, -1):
        owner = search.replica.get_submodule(".".join(parts[: at - 1])) if at > 1 else search.replica
        if owner not in running or isinstance(owner, CONTAINERS):
            continue
        between = [search.replica.get_submodule(".".join(parts[:end])) for end in range(at, len(parts))]
        listed = any(isinstance(each, nn.ModuleList | nn.Sequential) for each in between)
        if not listed and not type(owner).__module__.startswith("torch."):
            text = reached_text(type(owner))
            named = ".".join(parts[at - 1 :] if inner_runs or _left_out_by_method(text, between, parts[at - 1 :])
                             else parts[at - 1 : at])  # fmt: skip
            if _is_named(named, text, between, parts[at:]):
                piece = ".".join([named, *parts[at : at + 1]])
                found = re.search(rf"self\.{re.escape(piece)}\b", text)
                return owner, condition_of(text, piece if found else named)
        inner_runs = True
    return None, ""


def never_passed(part: nn.Module, condition: str, model: nn.Module) -> tuple[str, str]:
    """Return the argument that a condition waits for, and the path of a part that is only called without it.

    Both are empty where the source of the model does not show all calls of that part.
    """
    places = [path for path, each in model.named_modules(remove_duplicate=False) if each is part]
    arguments = list(inspect.signature(part.forward).parameters.values())
    waits = [(at, each) for at, each in enumerate(arguments) if condition in (each.name, f"{each.name} is not None")]
    if len(places) != 1 or not places[0] or not waits or waits[0][1].default not in (None, False):
        return "", ""
    (at, argument), (above, _, own) = waits[0], places[0].rpartition(".")
    kind = type(model.get_submodule(above))
    if kind is nn.Sequential:
        return (argument.name, places[0]) if at else ("", "")
    others = {type(each) for each in model.modules()} - {kind}
    if any(re.search(rf"(?<!self)\.{own}\b", reached_text(each)) for each in {kind, *others}):
        return "", ""
    tree = ast.parse(reached_text(kind))
    uses = [each for each in ast.walk(tree) if isinstance(each, ast.Attribute) and ast.unparse(each) == f"self.{own}"]
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and each.func in uses]
    passed = any(_may_pass(each, argument.name, at) for each in calls)
    return (argument.name, places[0]) if calls and len(calls) == len(uses) and not passed else ("", "")


def _may_pass(call: ast.Call, name: str, position: int) -> bool:
    starred = any(isinstance(each, ast.Starred) for each in call.args)
    return starred or len(call.args) > position or any(each.arg in (None, name) for each in call.keywords)


def _is_named(named: str, text: str, between: list[nn.Module], rest: list[str]) -> bool:
    """Tell whether a source uses a part, and not only other pieces of it, as ``self.body.conv`` beside ``body.fc``."""
    uses = re.findall(rf"self\.{re.escape(named)}\b(?:\.(\w+))?", text)
    pieces = {*between[0]._modules, *between[0]._parameters} if between and "." not in named else set()
    return any(use not in pieces or use == rest[0] for use in uses)


def _left_out_by_method(text: str, between: list[nn.Module], path: list[str]) -> bool:
    """Tell whether a part is used by methods other than forward, and these do not name what is looked for."""
    methods = set(re.findall(rf"self\.{path[0]}\.(\w+)\(", text)) if between else set()
    found = [each for each in methods if inspect.isfunction(inspect.getattr_static(type(between[0]), each, None))]
    texts = [reached_text(type(between[0]), each) for each in found]
    return bool(found) and not any(re.search(rf"self\.{path[1]}\b", each) for each in texts)


def reached_text(kind: type[nn.Module], start: str = "forward") -> str:
    """Return the text of a method and of all methods and properties of the class that it reaches.

    The first argument is called ``self`` in it, whatever the source calls it.

    Example:
        >>> "self.weight" in reached_text(nn.Linear), "self.reset_parameters" in reached_text(nn.Linear)
        (True, False)
    """
    if (kind, start) in TEXTS:
        return TEXTS[kind, start]
    texts: list[str] = []
    waiting, seen = [start], {start}
    while waiting:
        for function in _functions(kind, waiting.pop()):
            try:
                text = textwrap.dedent(inspect.getsource(function))
            except (OSError, TypeError):
                continue
            arguments = function.__code__.co_varnames
            text = re.sub(rf"\b{arguments[0]}\.", "self.", text) if arguments else text
            texts.append(text)
            names = set(re.findall(r"self\.(\w+)", text)) - seen
            seen |= names
            waiting += names
    return TEXTS.setdefault((kind, start), "\n".join(texts))


def _functions(kind: type, name: str) -> Iterator:
    """Yield the functions behind a method or property, and those of the classes above that it may call.

    A class of torch above one of the user's is left out: its conditions are not the user's.
    """
    for each in kind.__mro__:
        if each is not kind and each.__module__.startswith("torch."):
            return
        found = vars(each).get(name)
        found = found.fget if isinstance(found, property) else found
        found = found.func if isinstance(found, functools.cached_property) else found
        if inspect.isfunction(found):
            yield found
            if "super" not in found.__code__.co_names:
                return


def taken_once(kind: type) -> str:
    """Return the cause of all parameters of a class whose values ``__init__`` takes once."""
    return f"taken once by {kind.__name__}"


def computed_once(name: str, model: nn.Module) -> tuple[type | None, str, str]:
    """Return the class whose ``__init__`` computes a tensor from a parameter, its name in ``forward``, and how."""
    parts = name.split(".")
    for at in range(len(parts) - 1, -1, -1):
        owner = model.get_submodule(".".join(parts[:at]))
        text = reached_text(type(owner))
        for target, value in _assigned(type(owner)):
            named = any(re.search(rf"\bself\.{re.escape('.'.join(parts[at:end]))}(?!\w)", value)
                        for end in range(at + 1, len(parts) + 1))  # fmt: skip
            if named and re.search(rf"self\.{target}\b", text) and _is_made_of_tensors(getattr(owner, target, None)):
                return type(owner), target, re.sub(r"\.data\b|\.detach\(\)|\.clone\(\)", "", value)
    return None, "", ""


def _is_made_of_tensors(value: object) -> bool:
    of_torch = type(value).__module__.startswith("torch.distributions")
    return isinstance(value, Tensor) or of_torch or (isinstance(value, list | tuple | dict) and bool(tensors_in(value)))


def _assigned(kind: type[nn.Module]) -> list[tuple[str, str]]:
    """Return what ``__init__`` and the methods that it reaches assign to attributes, local names written out."""
    if kind in ASSIGNED:
        return ASSIGNED[kind]
    found = ASSIGNED[kind] = []
    try:
        functions = ast.parse(reached_text(kind, "__init__")).body
    except SyntaxError:
        return found
    for function in functions:
        local: dict[str, ast.expr] = {}
        for each in ast.walk(function):
            for target, value in _pairs(each):
                written = _written_out(value, local)
                if isinstance(target, ast.Name):
                    local[target.id] = written
                elif isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    found.append((target.attr, ast.unparse(written)))
                    if isinstance(value, ast.Name):
                        local[value.id] = target
            if isinstance(each, ast.Call) and ast.unparse(each.func) == "self.register_buffer":
                name, *given = [_written_out(argument, local) for argument in each.args]
                if isinstance(name, ast.Constant) and given:
                    found.append((str(name.value), ast.unparse(given[0])))
    return found


def _pairs(statement: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield each target of an assignment with its value, those of tuples one by one."""
    for target in statement.targets if isinstance(statement, ast.Assign) else []:
        value = statement.value  # type: ignore[attr-defined]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from zip(target.elts, value.elts, strict=False)
        else:
            yield target, value


def _written_out(value: ast.expr, local: dict[str, ast.expr]) -> ast.expr:
    """Put what local names were assigned in their place."""

    class Names(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return local.get(node.id, node)

    return Names().visit(ast.parse(ast.unparse(value), mode="eval").body)
