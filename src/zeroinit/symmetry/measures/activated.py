"""A loss that applies an activation which its input has been through already, and what that costs."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zeroinit.symmetry.measures.compared import last_operations

__all__ = ["ACTIVATED", "Activated", "activated"]

WANTS_SCORES = {F.binary_cross_entropy_with_logits: "sigmoid", F.cross_entropy: "softmax"}
WANTS_LOGS = {F.nll_loss, F.kl_div}
ACTIVATED = {*WANTS_SCORES, *WANTS_LOGS}
"""Losses that take scores, or logarithms of probabilities."""
LARGEST = 30.0
"""A score beyond which a probability is 0 or 1."""
COST = 0.1
"""What an activation costs is told if it is more than this, and than this share of the least loss."""


@dataclass(frozen=True)
class Activated:
    """An output with an activation too many, or with the wrong one.

    Attributes:
        operation: The last operation of the output, as ``"sigmoid"``.
        loss: What applies an activation once more, as ``"cross_entropy"``.
        applies: The activation that the loss applies itself; empty where it takes logarithms of probabilities.
        low: The least value of such an output; ``high`` is the largest.
        floor: The least loss for these targets with such an output; ``free`` is the same for any scores. NaN where
            the loss is not one number.
        off: How many scores a rectifier holds at zero for every example, and of how many.
    """

    operation: str
    loss: str
    applies: str
    low: float
    high: float
    floor: float = math.nan
    free: float = math.nan
    off: tuple[int, int] = (0, 0)


def activated(func: Any, args: tuple, kwargs: dict[str, Any]) -> Activated | None:
    """Return the activation of what a loss is given, if the loss cannot come near its least value because of it.

    Example:
        >>> output = torch.zeros(2, requires_grad=True).sigmoid()
        >>> found = activated(F.binary_cross_entropy_with_logits, (output, torch.zeros(2)), {})
        >>> found.operation, round(found.floor, 3)
        ('sigmoid', 0.693)
    """
    given = dict(zip(("input", "target", "weight"), args, strict=False)) | kwargs
    output, targets = given.get("input"), given.get("target")
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor) or not output.numel():
        return None
    ranges = last_operations(output)
    if not ranges or targets.requires_grad:
        return None
    if func in WANTS_LOGS and ranges[0][0] != "log softmax":
        probabilities = ranges[0][0] in ("softmax", "sigmoid")
        return Activated(ranges[0][0], func.__name__, "", 0.0, 1.0) if probabilities else None
    applied_by = func.__name__
    if func is F.nll_loss and len(ranges) > 1:  # a log softmax of something that has its range already
        func, ranges, applied_by = F.cross_entropy, ranges[1:], "log_softmax"
    if func not in WANTS_SCORES or ranges[0][0] == "log softmax":
        return None
    name, low, high = ranges[0]
    if name == "ReLU" and func is F.cross_entropy and output.dim() == 2:
        off = int((output.detach() == 0).all(0).sum())
        return Activated(name, applied_by, "softmax", low, high, off=(off, output.shape[1])) if off else None
    with torch._C.DisableTorchFunction(), torch.no_grad():
        best = [_best(func, output.detach(), targets, kwargs, *ends) for ends in ((low, high), (-LARGEST, LARGEST))]
        others = {key: each for key, each in kwargs.items() if key != "input"}
        losses = [func(each, *args[1:], **others) for each in best if each is not None]
    if len(losses) < 2:
        return None
    floor, free = (round(float(each.float().mean()), 6) for each in losses)
    if floor < free + COST * max(1.0, free):
        return None
    found = Activated(name, applied_by, WANTS_SCORES[func], low, high)
    return replace(found, floor=floor, free=free) if not losses[0].dim() else found


def _best(func: Any, output: Tensor, targets: Tensor, kwargs: dict, low: float, high: float) -> Tensor | None:
    """Return the output between two ends with the least loss; ``None`` where that is not known."""
    low, high = max(low, -LARGEST), min(high, LARGEST)
    if func is F.binary_cross_entropy_with_logits:
        share = targets.to(output.dtype).clamp(0, 1)
        weight = kwargs.get("pos_weight")
        share = share if weight is None else weight * share / (weight * share + 1 - share)
        return share.logit().clamp(low, high)
    axis = 1 if output.dim() > 1 else 0
    if targets.is_floating_point():
        if targets.shape != output.shape or not bool((targets.amax(axis) == 1).all()):
            return None
        targets = targets.argmax(axis)
    if smoothing := kwargs.get("label_smoothing"):
        each = smoothing / output.shape[axis]
        high = min(high, low + math.log((1 - smoothing + each) / each))
    classes = targets.clamp(0, output.shape[axis] - 1).unsqueeze(axis)
    return torch.full_like(output, low).scatter_(axis, classes, high)
