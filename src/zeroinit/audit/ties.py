"""Ties: which names shared one parameter while a model was built, and do so still."""

import sys
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from zeroinit.audit.rules import calling_rule
from zeroinit.audit.trace import plain

Key = tuple[int, str]
"""A module, by its `id`, and the name of a parameter in it."""
Site = tuple[str, int, int]

__all__ = ["Ties", "memory_groups", "tied_again", "tied_names"]


def tied_names(model: nn.Module) -> list[list[str]]:
    """Return the names of each parameter that has several, in the order of the model.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> model[1].weight = model[0].weight
        >>> tied_names(model)
        [['0.weight', '1.weight']]
    """
    groups: dict[int, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups[id(parameter)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def memory_groups(tensors: dict[str, Tensor]) -> list[list[str]]:
    """Return names of tensors whose places in memory overlap.

    Example:
        >>> a = torch.zeros(4)
        >>> memory_groups({"a": a, "b": a.view(2, 2), "c": torch.zeros(1)})
        [['a', 'b']]
    """
    by_storage: dict[int, list[tuple[str, Tensor]]] = defaultdict(list)
    for name, each in tensors.items():
        tensor = plain(each)
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer) or tensor.layout != torch.strided:
            continue
        if tensor.numel():
            by_storage[tensor.untyped_storage()._cdata].append((name, tensor))
    groups: list[tuple[Tensor, list[str]]] = []
    for members in by_storage.values():
        for name, tensor in members if len(members) > 1 else ():
            places = _places(tensor)
            found = next(
                (group for group in groups if group[1][0] in dict(members) and bool((group[0] & places).any())), None
            )
            if found is None:
                groups.append((places, [name]))
            else:
                found[1].append(name)
    return [names for _, names in groups if len(names) > 1]


def _places(tensor: Tensor) -> Tensor:
    """Return which places of its storage a tensor holds (places,), bool."""
    mask = torch.zeros(tensor.untyped_storage().nbytes() // tensor.element_size(), dtype=torch.bool)
    mask.as_strided(tensor.shape, tensor.stride(), int(tensor.storage_offset())).fill_(True)
    return mask


@contextmanager
def tied_again(model: nn.Module) -> Iterator[None]:
    """Tie parameters on leaving that were tied on entering: ``to_empty`` makes one parameter for each name."""
    places: dict[int, list[tuple[nn.Module, str]]] = defaultdict(list)
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                places[id(parameter)].append((module, name))
    yield
    for (first, name), *others in places.values():
        for module, other in others:
            module._parameters[other] = first._parameters[name]


class Ties:
    """Watches how parameters are registered.

    A parameter that is registered while another module holds it is meant to be tied. The tie is split if both names
    hold different parameters at the end, and the user's code registered neither of them again. Code that gives both
    names of a tie on the meta device their values, by one line or equal ones, is no decision against the tie.

    Args:
        note_loaded: Called with each parameter that ``load_state_dict(assign=True)`` puts into its place.
        note_replaced: Called with a parameter and the tensor that takes its place.
    """

    def __init__(self, note_loaded: Callable[[Tensor], None], note_replaced: Callable[[Tensor, Tensor], None]) -> None:
        self._note_loaded, self._note_replaced = note_loaded, note_replaced
        self._known: list[tuple[Any, str]] = []
        self._meant: dict[Key, tuple[Any, list[tuple[Any, str]], bool]] = {}
        self._filled: dict[Key, Site] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note every registration of a parameter or a module inside."""
        before, own, ties = nn.Module.register_parameter, "data" in vars(nn.Parameter), self
        data: Any = nn.Parameter.data

        def register_parameter(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
            old = vars(self).get("_parameters", {}).get(name)
            before(self, name, param)
            if old is not None and param is not None:
                ties._note_replaced(old, param)
            ties._registered(self, name, param)

        def set_data(self: nn.Parameter, new: Tensor) -> None:
            old = data.__get__(self)
            data.__set__(self, new)
            ties._note_replaced(old, new)

        nn.Module.register_parameter = register_parameter  # type: ignore[method-assign]
        nn.Parameter.data = property(data.__get__, set_data)  # type: ignore[assignment]
        hook = register_module_module_registration_hook(self._replaced)
        try:
            yield
        finally:
            hook.remove()
            nn.Module.register_parameter = before  # type: ignore[method-assign]
            if own:
                nn.Parameter.data = data
            else:
                del nn.Parameter.data

    def _registered(self, module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if _is_loading():
            if parameter is not None:
                self._note_loaded(parameter)
            return
        key = (id(module), name)
        meant = self._meant.pop(key, None)
        was_filled = self._filled.pop(key, None) is not None
        if parameter is None:
            return
        on_meta = any(is_on_meta for *_, is_on_meta in (*self._meant.values(), *filter(None, [meant])))
        replaces = on_meta and any(other() is module and each == name for other, each in self._known)
        if replaces and not parameter.is_meta and not was_filled:
            self._filled[key] = calling_rule().site
            if meant is not None and meant[2]:
                self._meant[key] = meant
        held = [(reference, key) for reference, key in self._known if self._holds(reference(), key, module, parameter)]
        if held:
            self._meant[key] = (weakref.ref(module), held, parameter.is_meta)
        self._known.append((weakref.ref(module), name))

    def _replaced(self, parent: nn.Module, name: str, new: nn.Module | None) -> None:
        """Note that a module takes the place of one that others took a parameter from, as a larger embedding does."""
        old = parent._modules.get(name)
        if old is None or new is None or old is new:
            return
        inside, instead = dict(old.named_modules()), dict(new.named_modules())
        for reference, held, _ in self._meant.values():
            if reference() not in inside.values():
                taken = [(path, key) for path, each in inside.items() for other, key in held if other() is each]
                held += [(weakref.ref(instead[path]), key) for path, key in taken if path in instead]

    @staticmethod
    def _holds(other: nn.Module | None, key: str, module: nn.Module, parameter: nn.Parameter) -> bool:
        return other is not None and other is not module and other._parameters.get(key) is parameter

    def split(self, model: nn.Module) -> list[tuple[str, str]]:
        """Return pairs of names that were tied once, and hold different parameters now."""
        paths = {module: path for path, module in model.named_modules()}
        found = []
        for (_, name), (reference, held, _) in self._meant.items():
            module = reference()
            for other_reference, key in held:
                other = other_reference()
                if module not in paths or other not in paths:
                    continue
                first, second = other._parameters.get(key), module._parameters.get(name)
                if first is None or second is None or first is second:
                    continue
                lines = self._filled.get((id(module), name)), self._filled.get((id(other), key))
                if lines[0] is None or lines[0] == lines[1] or _is_equal(first, second):
                    found.append((f"{paths[other]}.{key}".lstrip("."), f"{paths[module]}.{name}".lstrip(".")))
        return found


def _is_equal(first: Tensor, second: Tensor) -> bool:
    first, second = plain(first.detach()), plain(second.detach())
    return first.shape == second.shape and first.device == second.device and torch.equal(first, second)


def _is_loading() -> bool:
    frame = sys._getframe(2)
    for _ in range(6):
        if frame is None:
            return False
        if frame.f_code.co_name == "_load_from_state_dict":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
