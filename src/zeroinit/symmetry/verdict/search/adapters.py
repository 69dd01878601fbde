"""Adapters that take no part: switched off, not the active one, or gone around.

Source: the layers of peft say by ``disable_adapters``, ``merged`` and ``active_adapters`` what they do.
"""

from typing import Any

from torch import nn

from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.naming import of_model
from zeroinit.symmetry.verdict.search.search import Search, called

__all__ = ["of_adapter"]


def of_adapter(name: str, search: Search) -> Reason | None:
    """Return why an adapter takes no part in the forward pass; ``None`` for a parameter of none."""
    path, owner = _adapted(name, search.replica)
    if owner is None:
        return None
    chosen = next((each for each in name.removeprefix(f"{path}.").split(".") if each in _names_of(owner)), "")
    kind = "idle" if search.moving() else "unused"
    if getattr(owner, "disable_adapters", False):
        text = "The adapters of this model are switched off."
        return Reason(kind, text, (), "Switch them on: `model.enable_adapter_layers()`.", "adapters off")
    if getattr(owner, "merged", False):
        text = "The adapters are merged into the weights that they adapt."
        return Reason(kind, text, (), "Take them out again: `model.unmerge_adapter()`.", "adapters merged")
    if chosen and chosen not in owner.active_adapters:
        text = f"The adapter `{chosen}` is not the active one."
        repair = f'Make it active: `model.set_adapter("{chosen}")`.'
        return Reason(kind, text, (), repair, f"not active {chosen}")
    adapted = {f"{path}.{each}" for each, _ in owner.get_base_layer().named_parameters("base_layer")}
    if owner not in called(search) and adapted & search.evidence.double.used:
        text = f"`{path}` is never called, so its adapter takes no part. What reads its weight goes around the adapter."
        return Reason("unused", text, (), f"Call it: `{of_model(path)}(x)`.", "adapter gone around")
    return None


def _adapted(name: str, model: nn.Module) -> tuple[str, Any]:
    """Return the layer with adapters around a parameter."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        path = ".".join(parts[:end])
        owner = model.get_submodule(path)
        if isinstance(getattr(owner, "active_adapters", None), list | tuple) and hasattr(owner, "get_base_layer"):
            return path, owner
    return "", None


def _names_of(owner: Any) -> set[str]:
    held = (getattr(owner, each, {}) for each in getattr(owner, "adapter_layer_names", ()))
    return {key for each in held if hasattr(each, "keys") for key in each.keys()}  # noqa: SIM118, a ModuleDict
