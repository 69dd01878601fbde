"""Undo the layers and parameters that a forward pass registers or replaces."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["parts_kept"]

REGISTERED = ("_modules", "_parameters", "_buffers")


@contextmanager
def parts_kept(model: nn.Module, made: set[str]) -> Iterator[None]:
    """Restore a model's modules and parameters after a pass; a frozen copy of a part may stay.

    Args:
        model: A copy.
        made: Collects the places to which the pass assigned something new.

    Example:
        >>> model, made = nn.Module(), set()
        >>> with parts_kept(model, made):
        ...     model.out = nn.Linear(2, 1)
        >>> made, hasattr(model, "out")
        ({'out'}, False)
    """
    known = {id(each) for each in model.parameters()}
    before = [(path, each, _parts(each), dict(vars(each))) for path, each in model.named_modules()]
    try:
        yield
    finally:
        for path, module, parts, attributes in before:
            if new := _new(module, parts, known):
                made |= {".".join(filter(None, [path, name])) for name in new}
                _restore(module, parts, attributes)


def _parts(module: nn.Module) -> dict[str, dict[str, Any]]:
    return {kind: dict(getattr(module, kind)) for kind in ("_modules", "_parameters")}


def _new(module: nn.Module, parts: dict[str, dict[str, Any]], known: set[int]) -> list[str]:
    """Return the names of newly registered parts with parameters to train."""
    return [
        name
        for kind, before in parts.items()
        for name, part in getattr(module, kind).items()
        if part is not None and part is not before.get(name) and any(id(each) not in known for each in _trained(part))
    ]


def _trained(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    parameters = [part] if isinstance(part, nn.Parameter) else list(part.parameters())
    return [each for each in parameters if each.requires_grad]


def _restore(module: nn.Module, parts: dict[str, dict[str, Any]], attributes: dict[str, Any]) -> None:
    """Restore registered parts, and plain attributes such as a flag that says that a layer exists."""
    for name in [name for name in vars(module) if name not in attributes]:
        del vars(module)[name]
    vars(module).update({name: value for name, value in attributes.items() if name not in REGISTERED})
    for kind, before in parts.items():
        own = getattr(module, kind)
        own.clear()
        own.update(before)
