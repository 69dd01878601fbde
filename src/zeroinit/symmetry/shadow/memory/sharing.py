"""Frozen weights that a copy reads in place: cast when used, never kept as a cast, and never written to."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from zeroinit.symmetry.shadow.memory.frugal import give_back

__all__ = ["LARGE", "Casts", "WriteGuard", "WrittenError", "is_shared", "sharing_allowed"]

LARGE = 2**16
"""Values from which a frozen parameter is read in place."""
OFTEN = 2**24
"""Bytes of casts after which freed memory is handed back."""
_allowed: ContextVar[bool] = ContextVar("sharing", default=True)


class WrittenError(Exception):
    """A model writes to a frozen parameter that its copy reads in place."""


def is_shared(parameter: nn.Parameter) -> bool:
    """Tell whether a copy reads a parameter in place: a large one that is frozen.

    Example:
        >>> is_shared(nn.Parameter(torch.zeros(2), requires_grad=False))
        False
    """
    plain = parameter.layout == torch.strided and parameter.is_floating_point() and parameter.element_size() >= 2
    frozen = not parameter.requires_grad and not parameter.is_inference()
    return _allowed.get() and plain and frozen and parameter.numel() >= LARGE


@contextmanager
def sharing_allowed(allowed: bool) -> Iterator[None]:
    """Allow or forbid that copies made inside read frozen parameters in place."""
    token = _allowed.set(allowed)
    try:
        yield
    finally:
        _allowed.reset(token)


class WriteGuard(TorchDispatchMode):
    """Stops whatever is about to write to memory that is read in place.

    Args:
        storages: Names of the parameters by the address of their memory.
    """

    def __init__(self, storages: dict[int, str]):
        super().__init__()
        self._storages = storages

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for position, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    given = kwargs.get(argument.name, args[position] if position < len(args) else None)
                    self._check(given)
        return func(*args, **kwargs)

    def _check(self, given: Any) -> None:
        for each in given if isinstance(given, list | tuple) else (given,):
            if isinstance(each, Tensor) and each.layout == torch.strided:
                name = self._storages.get(each.untyped_storage().data_ptr())
                if name is not None:
                    raise WrittenError(name)


class Casts:
    """Casts of memory that is read in place. Autograd keeps none of them: each is cast again when needed."""

    def __init__(self):
        self._sources: dict[int, tuple[StorageWeakRef, Tensor]] = {}
        self._bytes = 0

    def cast(self, source: Tensor, dtype: torch.dtype) -> Tensor:
        """Cast a tensor, and remember what the cast is of."""
        result = self._to(source.detach(), dtype)
        storage = result.untyped_storage()
        self._sources[storage.data_ptr()] = StorageWeakRef(storage), source.detach()
        return result

    def kept(self) -> saved_tensors_hooks:
        """Return the context in which autograd keeps no cast."""
        return saved_tensors_hooks(self._pack, self._unpack)

    def _to(self, source: Tensor, dtype: torch.dtype) -> Tensor:
        """Cast, and hand the memory of earlier casts back from time to time."""
        result = source.to(dtype)
        self._bytes += result.numel() * result.element_size()
        if self._bytes > OFTEN:
            self._bytes = 0
            give_back()
        return result

    def _pack(self, tensor: Tensor) -> Any:
        if tensor.layout != torch.strided:
            return tensor
        weak, source = self._sources.get(tensor.untyped_storage().data_ptr(), (None, None))
        if weak is None or weak.expired():
            return tensor
        return source, tensor.dtype, tensor.size(), tensor.stride(), tensor.storage_offset()

    def _unpack(self, kept: Any) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        source, dtype, *place = kept
        return self._to(source, dtype).as_strided(*place)
