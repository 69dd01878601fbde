"""Tensors, parameters and layers that a model holds and does not register: no optimizer will hold them."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from zeroinit._modules.copying import ATTRIBUTE

__all__ = ["Attached", "attached", "leaves_of", "nodes_behind", "unregistered"]

INSIDE = {
    "_parameters",
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "training",
    "_is_full_backward_hook",
    ATTRIBUTE,
}
DEPTH = 4
MOST = 10_000

Attached = tuple[str, Tensor]
"""The place of a tensor, as in ``"encoder.convs[0].weight"``, and the tensor."""


def attached(model: nn.Module) -> Iterator[Attached]:
    """Yield each tensor in the model's attributes that is neither a parameter nor a buffer of the model.

    Example:
        >>> model = nn.Module()
        >>> model.layers = [nn.Linear(2, 1, bias=False)]
        >>> [place for place, _ in attached(model)]
        ['layers[0].weight']
    """
    known = {id(each) for each in [*model.parameters(), *nn.Module.buffers(model), *model.modules()]}
    seen: set[int] = set()
    for path, module in list(model.named_modules()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if name not in INSIDE and "_hooks" not in name:
                place = ".".join(filter(None, [path, name]))
                yield from _inside(place, value, known, seen, DEPTH)


def _inside(place: str, value: Any, known: set[int], seen: set[int], depth: int) -> Iterator[Attached]:
    if id(value) in known or id(value) in seen or depth < 0 or len(seen) > MOST:
        return
    if isinstance(value, str | bytes | int | float | bool | type(None) | type) or (inspect.isroutine(value)):
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, nn.Module):
        for name, tensor in [*value.named_parameters(), *value.named_buffers()]:
            if id(tensor) not in known and id(tensor) not in seen:
                seen.add(id(tensor))
                yield f"{place}.{name}", tensor
    elif isinstance(value, dict):
        for key, each in list(value.items()):
            yield from _inside(f"{place}[{key!r}]", each, known, seen, depth - 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for at, each in enumerate(value):
            yield from _inside(f"{place}[{at}]", each, known, seen, depth - 1)
    elif hasattr(value, "__dict__") and not type(value).__module__.startswith(("torch", "transformers", "builtins")):
        for name, each in list(vars(value).items()):
            yield from _inside(f"{place}.{name}", each, known, seen, depth - 1)


def unregistered(model: nn.Module, leaves: set[int]) -> list[str]:
    """Name the attached tensors that are leaves of a loss, or were computed from leaves, and are not registered."""
    own = {id(each) for each in model.parameters()}
    found = []
    for place, tensor in attached(model):
        below = leaves_of(tensor) - own
        if tensor.requires_grad and below & leaves:
            found.append(place)
    return found


def leaves_of(tensor: Tensor) -> set[int]:
    """Return the identities of the leaves that a tensor was computed from, or its own."""
    if tensor.grad_fn is None:
        return {id(tensor)}
    variables = (getattr(node, "variable", None) for node in nodes_behind([tensor.grad_fn]))
    return {id(each) for each in variables if each is not None}


def nodes_behind(starts: Iterable[Any]) -> set[Any]:
    """Return nodes of autograd and all behind them; ``None`` stands for a value without one.

    Example:
        >>> import torch
        >>> doubled = torch.ones(1, requires_grad=True) * 2
        >>> sorted(node.name().rpartition("::")[2] for node in nodes_behind([doubled.grad_fn, None]))
        ['AccumulateGrad', 'MulBackward0']
    """
    seen: set[Any] = set()
    waiting = [*starts]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [each for each, _ in node.next_functions]
    return seen
