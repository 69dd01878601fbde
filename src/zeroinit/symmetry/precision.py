"""Modes for shadow passes: every float as float64, dropout switched off, and which parameters are used at all."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["ShadowMode", "cast_floats"]

LOW = (torch.float16, torch.bfloat16, torch.float32)
NARROWING = {Tensor.float, Tensor.half, Tensor.bfloat16}
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


class ShadowMode(TorchFunctionMode):
    """Watches and changes the calls of a forward pass.

    Args:
        dtype: ``torch.float64`` turns every cast to a lower float type into one to float64, and draws random numbers in
            float32 first, so that both precisions see the same ones; any other leaves types alone.
        dropout: ``False`` makes every dropout the identity.

    Attributes:
        used: Identities of the parameters that were an argument of some call.
        drops: Whether a dropout was called in train mode.
        lowered: Operations that exist in float32 alone.
    """

    def __init__(self, dtype: torch.dtype = torch.float32, dropout: bool = True):
        super().__init__()
        self._double = dtype == torch.float64
        self._dropout = dropout
        self.used: set[int] = set()
        self.drops = False
        self.lowered: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self._note(args)
        self._note(kwargs.values())
        if func in DROPOUTS or "dropout_p" in kwargs:
            self.drops = self.drops or _drops(func, args, kwargs)
            if not self._dropout:
                if func in DROPOUTS:
                    return args[0] if args else kwargs["input"]
                kwargs = {**kwargs, "dropout_p": 0.0}
        if not self._double:
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


def cast_floats(value: Any, dtype: torch.dtype) -> Any:
    """Copy inputs, at any depth of lists, tuples and dictionaries, with every float tensor as ``dtype``.

    Example:
        >>> cast_floats((torch.ones(1), [torch.arange(2)]), torch.float64)
        (tensor([1.], dtype=torch.float64), [tensor([0, 1])])
    """
    if isinstance(value, Tensor):
        return value.detach().to(dtype, copy=True) if value.is_floating_point() else value.detach().clone()
    if isinstance(value, dict):
        return {key: cast_floats(each, dtype) for key, each in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(cast_floats(each, dtype) for each in value)
    return value
