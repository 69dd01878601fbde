"""What a loss compares value by value: outputs and targets of other shapes, and targets that no output can reach."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PAIRED", "OutOfReach", "broadcast", "every_pair", "last_operations", "out_of_reach"]

PAIRED = {F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss}
"""Losses that compare an output with targets, value by value."""
RANGES = {
    "Softmax": ("softmax", 0.0, 1.0),
    "Sigmoid": ("sigmoid", 0.0, 1.0),
    "Tanh": ("tanh", -1.0, 1.0),
    "LogSoftmax": ("log softmax", -math.inf, 0.0),
    "Relu": ("ReLU", 0.0, math.inf),
}
"""What the last operation of an output is called, and between which values its results lie."""
WITHIN = (
    "T", "Gather", "Squeeze", "Unsqueeze", "View", "UnsafeView", "Reshape", "Select", "Slice", "Index", "Permute",
    "Transpose", "Clone", "ToCopy", "Expand", "Mean", "Max", "Amax", "Split", "Unbind", "Alias", "Clamp", "ClampMin",
)  # fmt: skip
"""Operations whose results lie in the range of what they are given."""
MOST_LEVELS = 12
SUBTRACTIONS = ("sub", "rsub", "subtract")
MANY = 0.25
"""If a larger share of the targets is out of reach, this is told."""


@dataclass(frozen=True)
class OutOfReach:
    """Targets outside the range of an output.

    Attributes:
        operation: The last operation of the output, as ``"softmax"``.
        low: The least value of such an output; ``high`` is the largest.
        targets: The least and the largest target.
        share: Of targets that lie outside.
    """

    operation: str
    low: float
    high: float
    targets: tuple[float, float]
    share: float


def broadcast(args: tuple, kwargs: dict[str, Any]) -> tuple[torch.Size, torch.Size] | None:
    """Return the shapes of what a loss compares, where the result has more values than either, or one target is all.

    Example:
        >>> output, one = torch.zeros(8, 1), torch.zeros(1, 1)
        >>> broadcast((output, torch.zeros(8)), {}), broadcast((output, one), {}), broadcast((output, output), {})
        ((torch.Size([8, 1]), torch.Size([8])), (torch.Size([8, 1]), torch.Size([1, 1])), None)
    """
    shapes = [each.shape for each in _compared(args, kwargs)]
    if len(shapes) < 2 or shapes[0] == shapes[1]:
        return None
    try:
        both = torch.broadcast_shapes(*shapes)
    except RuntimeError:
        return None
    several = both.numel() > max(each.numel() for each in shapes)
    alone = len(shapes[0]) == len(shapes[1]) > 0 and shapes[1][0] == 1 < shapes[0][0]
    return (shapes[0], shapes[1]) if several or alone else None


def every_pair(func: Any, args: tuple, output: Tensor, targets: Tensor) -> tuple[torch.Size, torch.Size] | None:
    """Return the shapes where a loss subtracts as many targets from outputs, and gets each with each.

    Example:
        >>> output, targets = torch.zeros(8, 1), torch.zeros(8)
        >>> every_pair(torch.sub, (output, targets), output, targets)
        (torch.Size([8, 1]), torch.Size([8]))
        >>> every_pair(torch.sub, (output[:, 0], targets), output, targets)
    """
    if getattr(func, "__name__", "").strip("_") not in SUBTRACTIONS or not any(each is output for each in args):
        return None
    other = next((each for each in args if each is not output), None)
    known = isinstance(other, Tensor) and not other.requires_grad and other.shape == targets.shape
    if not known or output.numel() != targets.numel():
        return None
    return broadcast((output, targets), {})


def out_of_reach(args: tuple, kwargs: dict[str, Any]) -> OutOfReach | None:
    """Return the range of an output, where many of the targets that a loss compares it with lie outside.

    Example:
        >>> output = torch.zeros(2, requires_grad=True).sigmoid()
        >>> out_of_reach((output, torch.tensor([5.0, 7.0])), {}).targets
        (5.0, 7.0)
    """
    compared = sorted(_compared(args, kwargs), key=lambda each: each.grad_fn is None)
    if len(compared) < 2 or compared[1].requires_grad or not compared[1].numel():
        return None
    ranges = last_operations(compared[0])
    if not ranges:
        return None
    name, low, high = ranges[0]
    with torch._C.DisableTorchFunction():
        targets = compared[1].detach()
        share = float(((targets < low) | (targets > high)).double().mean())
        ends = float(targets.min()), float(targets.max())
    return OutOfReach(name, low, high, ends, share) if share > MANY else None


def _compared(args: tuple, kwargs: dict[str, Any]) -> list[Tensor]:
    given = dict(zip(("input", "target"), args, strict=False)) | kwargs
    return [given[each] for each in ("input", "target") if isinstance(given.get(each), Tensor)]


def last_operations(output: Tensor) -> list[tuple[str, float, float]]:
    """Return the operations with a range that made an output, the last first: only what moves values is in between.

    Example:
        >>> last_operations(torch.zeros(2, requires_grad=True).sigmoid().log_softmax(0))
        [('log softmax', -inf, 0.0), ('sigmoid', 0.0, 1.0)]
    """
    node, found = output.grad_fn, []
    for _ in range(MOST_LEVELS):
        name = node.name().split("::")[-1].rstrip("0123456789").removesuffix("Backward") if node is not None else ""
        if node is None or name not in (*RANGES, *WITHIN):
            break
        found += [RANGES[name]] if name in RANGES else []
        node = node.next_functions[0][0]
    return found
