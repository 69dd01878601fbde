"""How many values an operation works on: those that a norm, a softmax or an attention has."""

import torch

from zeroinit.symmetry.verdict.passes.calls import Call
from zeroinit.symmetry.verdict.passes.graph import FAINT

__all__ = ["axis_of", "is_one_hot", "normalized_by_itself", "normalized_size", "num_keys", "same_along", "softmax_size"]

ONE_HOT, NEARLY_ALL = 1e-4, 0.9
"""A softmax is flat if it lies within the first of one; the second is the share that counts as nearly all."""


def normalized_size(call: Call) -> int:
    """Return over how many values a norm works."""
    given = call.given[0]
    if call.name in ("layer_norm", "rms_norm", "native_layer_norm"):
        shape = call.kwargs.get("normalized_shape") or (call.args[1] if len(call.args) > 1 else given.shape[-1:])
        return int(torch.Size(tuple(shape) if not isinstance(shape, int) else (shape,)).numel())
    if call.name == "group_norm":
        groups = call.args[1] if len(call.args) > 1 else call.kwargs.get("num_groups", 1)
        return given[0].numel() // max(1, int(groups))
    return given[0, 0].numel() if call.name == "instance_norm" and given.dim() > 2 else 0


def axis_of(call: Call) -> int:
    """Return the axis that a softmax works along, counted from the first."""
    axis = call.kwargs.get("dim", next((each for each in call.args[1:] if isinstance(each, int)), -1))
    return (-1 if axis is None else axis) % max(1, call.given[0].dim())


def softmax_size(call: Call) -> int:
    """Return over how many values a softmax works."""
    return call.given[0].shape[axis_of(call)] if call.given[0].dim() else 1


def same_along(call: Call) -> bool:
    """Tell whether all values that a softmax compares are the same."""
    axis, given = axis_of(call), call.given[0].detach()
    return given.dim() > 0 and bool((given.amax(axis) - given.amin(axis) <= FAINT * given.abs().max()).all())


def is_one_hot(call: Call) -> bool:
    """Tell whether nearly every softmax is one for one of its values, and zero for the others."""
    given, axis = call.given[0].detach(), axis_of(call)
    if given.dim() == 0 or given.shape[axis] < 2:
        return False
    return float((given.softmax(axis).amax(axis) > 1 - ONE_HOT).double().mean()) > NEARLY_ALL


def num_keys(call: Call) -> int:
    """Return how many keys an attention has."""
    if call.name == "multi_head_attention_forward":
        return call.args[1].shape[0]
    keys = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    return keys.shape[-2]


def normalized_by_itself(call: Call) -> bool:
    """Tell whether a vector of one value is divided by its own length."""
    axis = call.kwargs.get("dim", call.args[2] if len(call.args) > 2 else 1)
    return isinstance(axis, int) and call.given[0].shape[axis] == 1
