"""What modules hand out and are given: who computes what the loss leaves out."""

import gc
from collections.abc import Mapping
from typing import Any
from weakref import ref

from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.hooks import RemovableHandle

from zeroinit._modules.attached import nodes_behind
from zeroinit.symmetry.verdict.passes.calls import Calls, tensors_in
from zeroinit.symmetry.verdict.search.search import Search
from zeroinit.symmetry.verdict.trials.trials import Change

__all__ = ["depends", "given_to", "handed_out"]


MOST_DROPPED = 64


def handed_out(name: str, search: Search) -> tuple[str | None, bool]:
    """Return the outermost module that returns several tensors, one of which depends on the parameter.

    The second value tells whether a loss is among them. One pass answers this for all parameters of a search.
    """
    if search.handed_out is None:
        search.handed_out = _look_at_outputs(search)
    parameter, found = id(search.replica.get_parameter(name)), None
    for path, tensors in search.handed_out:
        depending = [is_loss for below, is_loss in tensors if parameter in below]
        if depending:
            found = path, any(depending)
    return found or (None, False)


def _look_at_outputs(search: Search) -> list[tuple[str, list[tuple[set[int], bool]]]]:
    """Go forward once; return for each module that hands tensors out what each depends on, and whether it is a loss."""
    found: list[tuple[str, list[tuple[set[int], bool]]]] = []
    nodes: list[set[Any]] = []
    results: dict[str, set[Any]] = {}
    handed: list[tuple[str, Any, ref]] = []

    def look(path: str) -> Any:
        def note(module: nn.Module, arguments: tuple, output: Any) -> None:
            given = list(output.values()) if isinstance(output, Mapping) else output
            tensors = [each for each in tensors_in([given]) if each.requires_grad]
            results.setdefault(path, set()).update(map(_node_of, tensors))
            several = isinstance(given, list | tuple) and len(tensors) > 1
            several = several and not (path and type(module).__module__.startswith("torch.nn."))  # each recurrent layer
            if several or not path:
                below = [_leaves_below(each) for each in tensors]
                pairs = zip(tensors, below, strict=True)
                losses = [several and _is_loss(each, leaves, output) for each, leaves in pairs]
                found.append((path, list(zip([set(map(id, each)) for each in below], losses, strict=True))))
                nodes.append(set(map(_node_of, tensors)))
                handed.extend((path, _node_of(each), ref(each)) for each in tensors)

        return note

    modules = search.replica.named_modules()
    calls = Calls(search.replica)
    loss = _go_forward(search, [module.register_forward_hook(look(path)) for path, module in modules], calls)
    reached = nodes_behind([_node_of(loss)])  # a part none of whose outputs gets there is dropped as a whole
    left = [(path, each) for path, node, each in handed if path and node not in reached]
    given = {id(each) for call in calls.calls for each in call.given}
    used = {path for path, each in left if id(each()) in given}
    del calls
    if left:
        gc.collect()  # calls refer to each other
    search.unkept = {path for path, _ in left} - used - {path for path, each in left if each() is not None}
    search.dropped = _ends({path: own for path, own in results.items() if path and own and not own & reached})
    kept = zip(found, nodes, strict=True)
    return [each for each, own in kept if not each[0] or own & reached]


def _ends(dropped: dict[str, set[Any]]) -> dict[str, str]:
    """Return, for each module whose results are dropped, the one at the end of the chain that uses them.

    Args:
        dropped: Autograd's nodes of what each gave back, in the order of their calls.
    """
    if len(dropped) > MOST_DROPPED:
        return {path: path for path in dropped}
    below = {path: nodes_behind(own) for path, own in dropped.items()}
    return {path: [end for end in dropped if own & below[end]][-1] for path, own in dropped.items()}


def given_to(name: str, search: Search) -> str | None:
    """Return the last module that is handed what depends on the parameter, and gives back nothing that does."""
    found: list[str] = []
    parameter = search.replica.get_parameter(name)

    def look(path: str) -> Any:
        def note(module: nn.Module, arguments: tuple, named: dict, output: Any) -> None:
            given = any(each.requires_grad and depends(each, parameter) for each in tensors_in([arguments, named]))
            if given and not any(each.requires_grad and depends(each, parameter) for each in tensors_in([output])):
                found.append(path)

        return note

    modules = search.replica.named_modules()
    _go_forward(search, [each.register_forward_hook(look(path), with_kwargs=True) for path, each in modules if path])
    return found[-1] if found else None


def _go_forward(search: Search, handles: list[RemovableHandle], calls: Calls | None = None) -> Tensor:
    """Go forward once, and take the hooks off."""
    try:
        return search.trials.loss(Change(), search.step, calls)
    finally:
        for handle in handles:
            handle.remove()


def _is_loss(value: Tensor, below: list[Tensor], output: Any) -> bool:
    """Tell whether a value that is handed out is a loss: a number that depends on weights, not a parameter's own."""
    if value.numel() != 1 or isinstance(value, nn.Parameter):
        return False
    if isinstance(output, Mapping):
        return any("loss" in str(key) for key, each in output.items() if each is value)
    return any(each.dim() > 1 for each in below)


def _leaves_below(value: Tensor) -> list[Tensor]:
    """Return the leaves that a value was computed from; the value itself if it is one."""
    return [node.variable for node in nodes_behind([_node_of(value)]) if hasattr(node, "variable")]


def _node_of(tensor: Tensor) -> Any:
    """Return autograd's node of a tensor, if it has a gradient; for a parameter the one that collects it."""
    return get_gradient_edge(tensor).node if tensor.requires_grad else None


def depends(tensor: Tensor, parameter: nn.Parameter) -> bool:
    """Tell whether a tensor was computed from a parameter."""
    return any(each is parameter for each in _leaves_below(tensor))
