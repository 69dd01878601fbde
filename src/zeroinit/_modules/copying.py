"""Copy any model, with everything that points into it.

``copy.deepcopy`` refuses tensors with a history (kept activations, old ``weight_norm``, pruning), locks and generators.
Closures and weak references of its copies still point at the original. The copier here handles all of these.
"""

import copy
import threading
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit._modules.casting import cast, cast_other_kind
from zeroinit._modules.reach import ATOMS, DEEPEST, cells_of, globals_of, has_attributes, is_full, leads_to

__all__ = ["ATTRIBUTE", "Copier", "copier_of"]

LOCKS: dict[type, Callable] = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}
ATTRIBUTE = "_zeroinit_copier"
TRANSFORMS = "torch.distributions.transforms"
"""Modules with objects that lose their inverse if torch copies them."""


def copier_of(replica: nn.Module) -> "Copier | None":
    """Return the copier of a copied model; ``None`` for a model that is no copy."""
    return replica.__dict__.get(ATTRIBUTE)


class Copier:
    """Copies objects one after the other. Copies share what their originals share.

    Args:
        dtype: Of all floats in the copy; ``None`` keeps each type.
        shared: Frozen parameters that the copy may read in place, without a copy of its own.

    Attributes:
        memo: Copies by the identity of what they are copies of.
        by_reference: Objects that could not be copied and are used themselves: their types by place.
        parameters: Names of the original's parameters by identity.
        shared: Names of the parameters that are read in place, by the address of their memory.
        outside: Identities of the copies of the objects that ``loss_fn`` holds beside the model.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> model.kept = model(torch.ones(1, 2))
        >>> Copier(torch.float64).model(model).kept.dtype
        torch.float64
    """

    def __init__(self, dtype: torch.dtype | None, shared: Callable[[nn.Parameter], bool] = lambda _: False):
        self.dtype, self._shares = dtype, shared
        self.memo: dict[int, Any] = {}
        self.by_reference: dict[str, str] = {}
        self.parameters: dict[int, str] = {}
        self.shared: dict[int, str] = {}
        self.outside: set[int] = set()
        self._kept: list[Any] = []
        self._modules: set[int] = set()

    def model(self, model: nn.Module) -> nn.Module:
        """Copy a model. A copy of a copy also knows the first original."""
        self.parameters = {id(each): name for name, each in model.named_parameters()}
        self._modules = {id(each) for each in model.modules()}
        for name, each in model.named_parameters():  # first, so nothing else decides how parameters are copied
            self.copy(each, name)
        replica = self.copy(model)
        before = copier_of(model)
        if before is not None:
            for key, value in before.memo.items():
                self.memo.setdefault(key, self.memo.get(id(value), value))
            self._kept.append(before._kept)
            self.by_reference |= before.by_reference
            self.parameters |= before.parameters
            self.outside |= before.outside
        replica.__dict__[ATTRIBUTE] = self
        return replica

    def copy(self, value: Any, place: str = "") -> Any:
        """Copy a value with all that it holds."""
        if isinstance(value, ATOMS):
            return value
        if id(value) in self.memo:
            return self.memo[id(value)]
        if isinstance(value, Tensor):
            return self._remember(value, self._tensor(value))
        if isinstance(value, nn.Module):
            return self._module(value, place)
        if type(value) in CONTAINERS:
            return CONTAINERS[type(value)](self, value, place)
        for kinds, rule in RULES:
            if isinstance(value, kinds):
                return rule(self, value, place)
        return self._object(value, place)

    def bound(self, function: Any, others: dict[int, Any]) -> Any:
        """Return a callable that works on the copy.

        Args:
            function: The callable that belongs to the original.
            others: Further copies by the identity of their originals, such as those of the inputs.
        """
        if not others and id(function) in self.memo:
            return self.memo[id(function)]
        within = copy.copy(self) if others else self
        within.memo = self.memo | others if others else self.memo
        known = set(within.memo)
        simple = isinstance(function, nn.Module | types.FunctionType | types.MethodType | partial)
        result = within.copy(function, "loss_fn") if simple else within._owner(function, "loss_fn")
        self.outside |= {id(within.memo[each]) for each in set(within.memo) - known}
        return result

    def _remember(self, value: Any, result: Any) -> Any:
        self.memo[id(value)] = result
        self._kept.append(value)  # otherwise another object might get its identity
        return result

    def _tensor(self, value: Tensor) -> Tensor:
        if isinstance(value, nn.Parameter):
            return self._parameter(value)
        if type(value) is not Tensor and not isinstance(value, nn.Buffer):
            return cast_other_kind(value, self.dtype)
        result = cast(value, self.dtype)
        # also what arithmetic made of a parameter
        return result.requires_grad_(value.requires_grad and (result.is_floating_point() or result.is_complex()))

    def _parameter(self, value: nn.Parameter) -> Tensor:
        """Copy a parameter with its gradient hooks, or have the copy read it in place."""
        if type(value) is not nn.Parameter:
            result = cast_other_kind(value, self.dtype)
        elif self._shares(value):
            result = nn.Parameter(value.detach(), False)
            self.shared[value.untyped_storage().data_ptr()] = self.parameters.get(id(value), "")
        else:
            result = nn.Parameter(cast(value, self.dtype), value.requires_grad)
        self._remember(value, result)
        result.__dict__.update({name: self.copy(each) for name, each in value.__dict__.items() if name != "grad"})
        if result.requires_grad:
            for hook in (value._backward_hooks or {}).values():
                result.register_hook(self.copy(hook))
        return result

    def _module(self, value: nn.Module, place: str) -> nn.Module:
        """Copy a module attribute by attribute; its class is the same."""
        result = self._remember(value, object.__new__(type(value)))
        for name, entry in value.__dict__.items():
            if name != ATTRIBUTE:
                within = place if name in ("_modules", "_parameters", "_buffers") else f"{place}.{name}".lstrip(".")
                result.__dict__[name] = self.copy(entry, within)
        if "_orig_mod" in result._modules and "dynamo_ctx" in value.__dict__:
            result.__dict__["forward"] = result._modules["_orig_mod"]
        result.__dict__.pop("_compiled_call_impl", None)
        return result

    def _list(self, value: list, place: str) -> list:
        result = self._remember(value, type(value)())
        result.extend(self.copy(each, f"{place}[{at}]") for at, each in enumerate(value))
        return result

    def _tuple(self, value: tuple, place: str) -> tuple:
        return self._remember(value, tuple(self.copy(each, f"{place}[{at}]") for at, each in enumerate(value)))

    def _set(self, value: Any, place: str) -> Any:
        return self._remember(value, type(value)(self.copy(each, place) for each in value))

    def _dict(self, value: Any, place: str) -> Any:
        factory = (value.default_factory,) if isinstance(value, defaultdict) else ()
        result = self._remember(value, type(value)(*factory))
        for key, entry in value.items():
            result[self.copy(key)] = self.copy(entry, f"{place}.{key}".lstrip("."))
        return result

    def _function(self, value: types.FunctionType, place: str) -> Any:
        """Copy a function if its closure, defaults or globals lead into the model."""
        named = globals_of(value)
        ours = [name for name, each in named.items() if isinstance(each, nn.Module) or self._is_ours(each, DEEPEST)]
        anew = {name: self.copy(named[name], name) for name in ours}
        inside = [*cells_of(value), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        if not anew and not any(self._is_ours(each, DEEPEST, True) for each in inside):
            return value
        cells = tuple(types.CellType() for _ in value.__closure__ or ())
        result = types.FunctionType(value.__code__, value.__globals__ | anew, value.__name__, None, cells or None)
        self._remember(value, result)
        result.__dict__.update(value.__dict__)
        result.__qualname__, result.__doc__, result.__module__ = value.__qualname__, value.__doc__, value.__module__
        result.__defaults__, result.__kwdefaults__ = self.copy(value.__defaults__), self.copy(value.__kwdefaults__)
        for old, new in zip(value.__closure__ or (), cells, strict=True):
            if is_full(old):
                new.cell_contents = self._held(old.cell_contents, place)
        return result

    def _held(self, value: Any, place: str) -> Any:
        """Copy what a function holds if it belongs to the model. Other objects are not copied."""
        return self.copy(value, place) if self._is_ours(value, DEEPEST, True) else value

    def _method(self, value: types.MethodType, place: str) -> Any:
        owner = self._owner(value.__self__, place)
        return value if owner is value.__self__ else types.MethodType(value.__func__, owner)

    def _builtin(self, value: types.BuiltinMethodType, place: str) -> Any:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType | type) or not self._is_ours(owner, DEEPEST, True):
            return value
        return getattr(self.copy(owner, place), value.__name__)

    def _owner(self, owner: Any, place: str) -> Any:
        """Copy the object of a bound method; if it is no part of the model, copy only what leads into the model."""
        if isinstance(owner, nn.Module | Tensor) or id(owner) in self.memo or not has_attributes(owner):
            return self.copy(owner, place)
        if not self._is_ours(owner, DEEPEST):
            return owner
        result = self._remember(owner, object.__new__(type(owner)))
        result.__dict__.update(vars(owner))
        for name, entry in vars(owner).items():
            if self._is_ours(entry, DEEPEST, True):
                result.__dict__[name] = self._owner(entry, f"{place}.{name}")
        return result

    def _partial(self, value: partial, place: str) -> partial:
        keywords = {name: self._held(each, place) for name, each in value.keywords.items()}
        arguments = [self._held(each, place) for each in value.args]
        return self._remember(value, type(value)(self.copy(value.func, place), *arguments, **keywords))

    def _weak(self, value: weakref.ref, place: str) -> Any:
        target = value()
        return weakref.ref(self.copy(target)) if target is not None and self._is_ours(target, 1) else value

    def _lock(self, value: Any, place: str) -> Any:
        return self._remember(value, LOCKS[type(value)]())

    def _object(self, value: Any, place: str) -> Any:
        """Copy an object as ``copy.deepcopy`` does, or by its attributes; if both fail, use it and note its place."""
        ways: tuple[Callable, ...] = (self._by_itself, self._by_parts, self._by_attributes)
        for way in ways[2:] if type(value).__module__ == TRANSFORMS else ways:
            known = set(self.memo)
            try:
                return self._remember(value, way(value, place))
            except Exception:
                for each in set(self.memo) - known:
                    del self.memo[each]
        self.by_reference[place] = type(value).__name__
        return self._remember(value, value)

    def _by_itself(self, value: Any, place: str) -> Any:
        if not hasattr(type(value), "__deepcopy__"):
            raise TypeError("no __deepcopy__")
        return value.__deepcopy__(self.memo)

    def _by_parts(self, value: Any, place: str) -> Any:
        """Take an object apart and put it together again, as pickling does."""
        parts = value.__reduce_ex__(4)
        if isinstance(parts, str):
            return value
        make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        result = self._remember(value, make(*(self.copy(each, place) for each in arguments)))
        if state is not None:
            self._set_state(result, state, place)
        for each in items or ():
            result.append(self.copy(each, place))
        for key, entry in pairs or ():
            result[self.copy(key)] = self.copy(entry, f"{place}[{key!r}]")
        return result

    def _set_state(self, result: Any, state: Any, place: str) -> None:
        if hasattr(result, "__setstate__"):
            result.__setstate__(self.copy(state, place))
            return
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        for name, entry in (attributes or {}).items():
            result.__dict__[name] = self.copy(entry, f"{place}.{name}")
        for name, entry in (slots or {}).items():
            object.__setattr__(result, name, self.copy(entry, f"{place}.{name}"))

    def _by_attributes(self, value: Any, place: str) -> Any:
        result = self._remember(value, object.__new__(type(value)))
        for name, entry in vars(value).items():
            result.__dict__[name] = self.copy(entry, f"{place}.{name}")
        return result

    def _is_ours(self, value: Any, depth: int, holds: bool = False) -> bool:
        """Whether a value is, or leads to, a part of the model; with ``holds`` also tensors, modules and containers."""

        def is_it(each: Any) -> bool:
            known = id(each) in self.memo or id(each) in self._modules or id(each) in self.parameters
            return known or (holds and isinstance(each, KEPT))

        return leads_to(value, is_it, depth)


KEPT = (nn.Module, Tensor, list, dict, set, deque)
CONTAINERS: dict[type, Callable] = {
    list: Copier._list, deque: Copier._list, tuple: Copier._tuple, set: Copier._set, frozenset: Copier._set,
    dict: Copier._dict, OrderedDict: Copier._dict, defaultdict: Copier._dict,
}  # fmt: skip
RULES: tuple[tuple[Any, Callable], ...] = (
    (types.FunctionType, Copier._function),
    (types.MethodType, Copier._method),
    (types.BuiltinMethodType, Copier._builtin),
    (partial, Copier._partial),
    (weakref.ref, Copier._weak),
    (tuple(LOCKS), Copier._lock),
)
