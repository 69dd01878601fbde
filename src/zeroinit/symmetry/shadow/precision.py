"""A mode for passes of a copy: floats as float64, dropout switched off, and a record of the parameters in use."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zeroinit._modules.batch import map_tensors, tensors_in
from zeroinit._modules.casting import cast
from zeroinit._modules.transforms import in_transform
from zeroinit.symmetry.measures.activated import ACTIVATED, Activated, activated
from zeroinit.symmetry.measures.compared import PAIRED, OutOfReach, Pairs, broadcast, out_of_reach
from zeroinit.symmetry.shadow.flat import NORMS, has_flat_channels
from zeroinit.symmetry.shadow.memory.sharing import Casts

__all__ = ["ShadowMode", "cast_floats", "is_in_place"]

LOW = (torch.float16, torch.bfloat16, torch.float32)
COARSE = (torch.float16, torch.bfloat16)
NARROWING = {Tensor.float, Tensor.half, Tensor.bfloat16}
LOOKUPS = {F.embedding, torch.embedding}
VIEWS = {"T", "mT", "H", "mH"}
"""Attributes of a tensor that are tensors to compute with."""
DRAWING = {
    torch.rand, torch.randn, torch.rand_like, torch.randn_like, torch.bernoulli, torch.normal,
}  # fmt: skip
DRAWING_IN_PLACE = {
    Tensor.uniform_, Tensor.normal_, Tensor.exponential_, nn.init.uniform_, nn.init.normal_,
}  # fmt: skip
DROPOUTS = {
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
    torch.dropout, torch.alpha_dropout, torch.feature_dropout, torch.feature_alpha_dropout,
}  # fmt: skip
SUMS = ("add", "radd", "iadd", "sub", "rsub", "stack")
"""Calls that put the terms of a loss together."""


LOOKING = ("__hash__", "__deepcopy__", "__repr__", "__format__", "__reduce_ex__")
"""Calls that look at a tensor and compute nothing with it."""


class ShadowMode(TorchFunctionMode):
    """Watches and changes the calls of a forward pass.

    Args:
        dtype: ``torch.float64`` turns every cast to a lower float type into one to float64, and takes every lower
            float as float64. Random numbers are drawn in float32 first, so both precisions see the same ones. Any
            other type changes nothing.
        dropout: ``False`` makes every dropout the identity.

    Attributes:
        used: Identities of the parameters that were an argument of some call.
        drops: Whether a dropout was called in train mode.
        lowered: Operations that exist in float32 alone.
        flat: Whether a norm had constant channels, while ``looks_at_norms``.
        coarse: Whether the model computes in 16 bits by its own will: by a cast, or under autocast.
        shared: Names of the frozen parameters that are read in place, by the address of their memory; each is cast
            whenever it is used.
        casts: What was cast.
        broadcast: Shapes of an output and of targets that a loss compares each with each.
        out_of_reach: Targets outside the range of the output that a loss compares them with.
        activated: An output with an activation that the loss applies as well.
        padded: By the table's identity, a padding index without a sequence, how often it is given, and of how many.
        made: Places of the model that a pass assigned a new layer or parameter to.
        constant_term: Whether a derivative that was taken without ``create_graph`` is added to the loss.
        keeps_derivative: Whether a derivative was taken with ``create_graph``.
        reads_gradient: Whether the gradient of a tensor that is no parameter is read, as after a ``backward()`` inside.
    """

    def __init__(self, dtype: torch.dtype = torch.float32, dropout: bool = True):
        super().__init__()
        self._dtype, self._double = dtype, dtype == torch.float64
        self.coarse = self.flat = self.looks_at_norms = False
        self.shared: dict[int, str] = {}
        self.casts = Casts()
        self._dropout = dropout
        self.broadcast: tuple[torch.Size, torch.Size] | None = None
        self._pairs: Pairs | None = None
        self.out_of_reach: OutOfReach | None = None
        self.activated: Activated | None = None
        self.padded: dict[int, tuple[int, int, int]] = {}
        self.used: set[int] = set()
        self.made: set[str] = set()
        self.constant_term = self.reads_gradient = self.keeps_derivative = False
        self._derived: dict[int, Tensor] = {}
        self.drops = False
        self.lowered: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in LOOKING:  # as of keys of a dictionary
            return func(*args, **kwargs)
        self._note(args)
        self._note(kwargs.values())
        if func in DROPOUTS or "dropout_p" in kwargs:
            self.drops = self.drops or _drops(func, args, kwargs)
            if not self._dropout:
                if func in DROPOUTS:
                    return args[0] if args else kwargs["input"]
                kwargs = {**kwargs, "dropout_p": 0.0}
        if in_transform():
            return self._cast(func, args, kwargs)
        if func is F.embedding:
            self._note_padding(dict(zip(("input", "weight", "padding_idx"), args[:3], strict=False)) | kwargs)
        if self._derived or func is torch.autograd.grad or func == Tensor.grad.__get__:  # ty: ignore
            return self._followed(func, types, args, kwargs)
        return self._called(func, args, kwargs)

    @property
    def derives(self) -> bool:
        """Whether a derivative was taken without a graph of its own."""
        return bool(self._derived)

    @contextmanager
    def comparing(self, output: Any) -> Iterator[None]:
        """Look at what a loss subtracts from an output."""
        self._pairs = Pairs(tensors_in([output]))
        try:
            yield
        finally:
            self._pairs = None

    def _followed(self, func, types, args, kwargs):
        """Follow a derivative without a graph of its own to where it is added to something with a gradient."""
        given = [each for each in tensors_in([args, kwargs]) if id(each) in self._derived or each.requires_grad]
        result = self._called(func, args, kwargs)
        if func == Tensor.grad.__get__:  # ty: ignore
            made = tensors_in([result]) if not isinstance(args[0], nn.Parameter) else []
            self.reads_gradient = self.reads_gradient or bool(made)
        elif func is torch.autograd.grad:
            by = tensors_in([args[1:2], kwargs.get("inputs")])
            made = tensors_in([result]) if not any(isinstance(each, nn.Parameter) for each in by) else []
        else:
            derived = [each for each in given if id(each) in self._derived]
            made = tensors_in([result]) if derived else []
            terms = [each for each in given if each.numel() == 1]
            if getattr(func, "__name__", "").strip("_") in SUMS and len(terms) > len(derived) > 0:
                self.constant_term = self.constant_term or all(each.numel() == 1 for each in derived)
        self.keeps_derivative = self.keeps_derivative or any(each.requires_grad for each in made)
        self._derived |= {id(each): each for each in made if not each.requires_grad and each.is_floating_point()}
        return result

    def _called(self, func, args, kwargs):
        if self._pairs is not None and self.broadcast is None:
            self.broadcast = self._pairs.found(func, args)
        if func in PAIRED:
            self.broadcast = self.broadcast or broadcast(args, kwargs)
            self.out_of_reach = self.out_of_reach or out_of_reach(args, kwargs)
        if func in ACTIVATED:
            self.activated = self.activated or activated(func, args, kwargs)
        if self.looks_at_norms and func in NORMS and not self.flat:
            self.flat = has_flat_channels(func, args, kwargs)
        result = self._cast(func, args, kwargs)
        if self._pairs is not None:
            self._pairs.follow(func, args, tensors_in([result]))
        return result

    def _cast(self, func, args, kwargs):
        if self.shared or self._double:
            answer, args, kwargs = self._widened(func, args, kwargs)
            if answer is not None:
                return answer
        if not self._double:
            self.coarse = self.coarse or _is_coarse(func, args, kwargs)
            return func(*args, **kwargs)
        if func in NARROWING:
            return args[0].double()
        if func in DRAWING_IN_PLACE and (filled := args[0] if args else kwargs["tensor"]).dtype == torch.float64:
            others = {name: value for name, value in kwargs.items() if name != "tensor"}
            with torch.no_grad():
                return filled.copy_(func(torch.empty_like(filled, dtype=torch.float32), *args[1:], **others))
        if func in DRAWING:
            return _draw(func, args, kwargs)
        widened = {name: torch.float64 if value in LOW else value for name, value in kwargs.items() if _plain(value)}
        args = tuple(torch.float64 if _plain(each) and each in LOW else each for each in args)
        return self._in_double(func, args, {**kwargs, **widened})

    def _note_padding(self, given: dict[str, Any]) -> None:
        """Note a padding index that is given where there is no sequence to pad: one index for each example."""
        weight, indices, padding = given["weight"], given["input"], given.get("padding_idx")
        if padding is not None and indices.dim() in (1, 2) and id(weight) not in self.padded:
            with torch._C.DisableTorchFunction():
                row = padding % len(weight)
                if indices.dim() == 2:  # it stands for something where all sequences start with it, and go on
                    starts = indices.shape[1] > 1 and bool(
                        (indices[:, 0] == row).all() and (indices[:, 1] != row).any()
                    )
                    indices = indices[:, 0] if starts and len(indices) > 1 else indices[:0, 0]
                self.padded[id(weight)] = row, int((indices == row).sum()), len(indices)

    def _widened(self, func, args, kwargs):
        """Return arguments as floats of one type, and the answer where there is nothing to compute."""
        attribute = getattr(getattr(func, "__self__", None), "__name__", "") if _is_attribute(func) else ""
        if _is_attribute(func) and attribute not in VIEWS:
            known = attribute == "dtype" and self._is_widened(args[0])
            return self._dtype if known else None, args, kwargs
        if func in LOOKUPS and self.shared:  # a row is cast, not the table
            found = func(*args, **kwargs)
            return found.to(self._dtype) if found.dtype in LOW else found, args, kwargs
        first = args[0] if args else None
        if is_in_place(func, kwargs) and isinstance(first, Tensor):
            if self._is_widened(first):
                return None, (first, *(_as(each, first.dtype) for each in args[1:])), kwargs
            return None, (first, *map(self._wide, args[1:])), kwargs
        return None, tuple(map(self._wide, args)), {name: self._wide(each) for name, each in kwargs.items()}

    def _is_widened(self, value: Any) -> bool:
        if not isinstance(value, Tensor) or value.dtype == self._dtype or value.layout != torch.strided:
            return False
        if self._double:
            return value.dtype in LOW or value.dtype == torch.complex64
        return value.is_floating_point() and value.untyped_storage().data_ptr() in self.shared

    def _wide(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if not self._is_widened(value):
                return value
            if self.shared and value.untyped_storage().data_ptr() in self.shared:
                return self.casts.cast(value, self._dtype)
            return value.to(torch.complex128) if value.is_complex() else value.to(self._dtype)
        if type(value) in (list, tuple) and any(isinstance(each, Tensor | list | tuple) for each in value):
            return type(value)(map(self._wide, value))
        return value

    def _in_double(self, func, args, kwargs):
        """Call in float64; an operation that has no such kernel is done in float32."""
        try:
            return func(*args, **kwargs)
        except (RuntimeError, NotImplementedError):
            narrow = [_single(each) for each in args], {name: _single(each) for name, each in kwargs.items()}
            if not any(isinstance(each, Tensor) and each.dtype == torch.float64 for each in [*args, *kwargs.values()]):
                raise
            try:
                result = func(*narrow[0], **narrow[1])
            except Exception:
                result = None
            if not isinstance(result, Tensor):
                raise
            self.lowered.add(getattr(func, "__name__", str(func)))
            return result.double() if result.dtype == torch.float32 else result

    def _note(self, values: Iterable[Any], depth: int = 2) -> None:
        for value in values:
            if isinstance(value, nn.Parameter):
                self.used.add(id(value))
            elif depth and isinstance(value, list | tuple):
                self._note(value, depth - 1)


def _drops(func, args, kwargs) -> bool:
    """Tell whether a call to a dropout changes anything."""
    if func not in DROPOUTS:
        return kwargs["dropout_p"] > 0
    named = dict(zip(("input", "p", "training"), args, strict=False)) | kwargs
    return bool(named.get("p", 0.5)) and bool(named.get("training", named.get("train", True)))


def _is_attribute(func: Any) -> bool:
    return getattr(func, "__name__", "") in ("__get__", "__set__", "__delete__")


def is_in_place(func: Any, kwargs: dict) -> bool:
    """Tell whether a call writes into one of its arguments."""
    name = getattr(func, "__name__", "")
    inner = name.startswith("__i") and name not in ("__index__", "__int__", "__invert__", "__iter__")
    return "out" in kwargs or name == "__setitem__" or inner or (name.endswith("_") and not name.endswith("__"))


def _is_coarse(func: Any, args: Any, kwargs: dict) -> bool:
    """Tell whether a call is to 16 bits, or under autocast."""
    if func is Tensor.half or func is Tensor.bfloat16 or kwargs.get("dtype") in COARSE:
        return True
    first = args[0] if args else None
    if isinstance(first, Tensor) and first.dtype == torch.float32 and not first.is_meta:
        return torch.is_autocast_enabled(first.device.type) or any(_plain(each) and each in COARSE for each in args)
    return any(_plain(each) and each in COARSE for each in args)


def _as(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.float64 else value


def _plain(value: Any) -> bool:
    return isinstance(value, torch.dtype)


def _draw(func, args, kwargs):
    """Draw in float32, so that both precisions see the same numbers, and widen."""
    narrow = [each.float() if isinstance(each, Tensor) and each.dtype == torch.float64 else each for each in args]
    if kwargs.get("dtype") == torch.float64 or (kwargs.get("dtype") is None and func in (torch.rand, torch.randn)):
        kwargs = {**kwargs, "dtype": torch.float32}
    drawn = func(*narrow, **kwargs)
    return drawn.double() if drawn.dtype in LOW else drawn


def cast_floats(value: Any, dtype: torch.dtype, memo: dict[int, Tensor] | None = None) -> Any:
    """Copy inputs, at any depth of containers and plain objects, with every float tensor as ``dtype``.

    A tensor that requires a gradient still does, and one that is there twice is one tensor in the copy as well.

    Args:
        value: Inputs or targets.
        dtype: Of floats.
        memo: Copies by the identity of what they are copies of; filled.

    Example:
        >>> cast_floats((torch.ones(1), [torch.arange(2)]), torch.float64)
        (tensor([1.], dtype=torch.float64), [tensor([0, 1])])
    """
    known: dict[int, Tensor] = {} if memo is None else memo

    def change(tensor: Tensor) -> Tensor:
        if id(tensor) not in known:
            known[id(tensor)] = cast(tensor, dtype).requires_grad_(tensor.requires_grad)
        return known[id(tensor)]

    return map_tensors(value, change)
