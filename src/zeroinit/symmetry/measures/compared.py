"""What a loss compares value by value: outputs and targets of other shapes, and targets that no output can reach."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

__all__ = ["PAIRED", "OutOfReach", "Pairs", "broadcast", "last_operations", "out_of_reach"]

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
SAME_VALUES = ("detach", "float", "double", "to")
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
    """Return the shapes of an output and of targets that a loss compares, where one is repeated to fit the other.

    One number against many is meant, as a label that all share, and so is one constant for a whole batch. Without a
    reduction, axes that are set against each other are all pairs on purpose.

    Example:
        >>> output, one = torch.zeros(8, 1), torch.zeros(1, 1)
        >>> broadcast((output, torch.zeros(8)), {}), broadcast((output, one), {}), broadcast((output, output), {})
        ((torch.Size([8, 1]), torch.Size([8])), (torch.Size([8, 1]), torch.Size([1, 1])), None)
        >>> broadcast((output, torch.zeros(8, 6)), {})
        (torch.Size([8, 1]), torch.Size([8, 6]))
    """
    shapes = [each.shape for each in sorted(_compared(args, kwargs), key=lambda each: not each.requires_grad)]
    if len(shapes) < 2 or shapes[0] == shapes[1]:
        return None
    try:
        both = torch.broadcast_shapes(*shapes)
    except RuntimeError:
        return None
    same = len(shapes[0]) == len(shapes[1]) > 0
    if both.numel() > max(each.numel() for each in shapes):
        return None if same and kwargs.get("reduction") == "none" else (shapes[0], shapes[1])
    alone = same and shapes[0][0] > 1 and shapes[1][0] in (1, shapes[0][0])
    return (shapes[0], shapes[1]) if alone else None


class Pairs:
    """Follows what a loss makes of an output, to see where it subtracts as many targets and gets each with each.

    What is made of the output itself is no target, and what got a further axis in the loss is meant for all pairs.

    Args:
        outputs: Tensors of the model's output.

    Example:
        >>> output, targets = torch.zeros(8, 1), torch.zeros(8)
        >>> Pairs([output]).found(torch.sub, (output, targets))
        (torch.Size([8, 1]), torch.Size([8]))
        >>> Pairs([output]).found(torch.sub, (output[:, 0], targets))
    """

    def __init__(self, outputs: list[Tensor]):
        self._outputs, self._made = WeakIdKeyDictionary(), WeakIdKeyDictionary()
        for each in outputs:
            self._outputs[each] = self._made[each] = True

    def found(self, func: Any, args: tuple) -> tuple[torch.Size, torch.Size] | None:
        """Return the shapes of an output and of as many other values, where one is subtracted from the other."""
        if getattr(func, "__name__", "").strip("_") not in SUBTRACTIONS or len(args) < 2:
            return None
        one, other = args[:2] if args[0] in self._outputs else args[1::-1]
        if one not in self._outputs or not isinstance(other, Tensor) or other in self._made or other.requires_grad:
            return None
        longer, shorter = sorted((one.shape, other.shape), key=len, reverse=True)
        return broadcast((one, other), {}) if longer == (*shorter, 1) else None

    def follow(self, func: Any, args: tuple, results: list[Tensor]) -> None:
        """Note what a call has made of an output, and what got a further axis."""
        given = [each for each in args if isinstance(each, Tensor)]
        made = any(each in self._made for each in given)
        for each in results:
            if made or (given and each.dim() > max(one.dim() for one in given)):
                self._made[each] = True
            if getattr(func, "__name__", "") in SAME_VALUES and given and given[0] in self._outputs:
                self._outputs[each] = True


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
