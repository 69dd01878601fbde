"""Inputs and outputs of layers during one forward pass, thinned so that large models cost little."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from zeroinit._modules.transforms import in_transform

__all__ = ["Features", "hook_of", "thinned"]

MOST = 128
LOOKUPS = ("Embedding", "EmbeddingBag")
PASSING = ("Cat", "Stack", "Mul", "Add", "View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "Unsqueeze",
           "Squeeze", "Expand", "Clone", "Slice", "Select", "Mean", "Sum", "Div", "T", "Alias")  # fmt: skip
MOST_NODES = 100


class Features:
    """Hooks that keep, for each layer, a thinned matrix of outputs and a bound on the size of its input.

    Args:
        model: Whose layers are watched.
        paths: The layers.
        most: Rows and columns that are kept of a matrix.
        latest: Keep what the last pass showed, not the first.
        sizes: Bound the inputs as well.

    Attributes:
        outputs: By path, activations (examples or positions, units) of that pass since ``forget``.
        input_sizes: By path, no less than the norm of whatever a unit is multiplied with.
        behind: Layers whose input depends on what is trained.
        of_tables: Layers whose input is read from trained tables, so that its size is learned.
    """

    def __init__(self, model: nn.Module, paths: list[str], most: int = MOST, latest: bool = False, sizes: bool = True):
        self._most, self._latest, self._sizes = most, latest, sizes
        self.outputs: dict[str, Tensor] = {}
        self.input_sizes: dict[str, float] = {}
        self.behind: set[str] = set()
        self.of_tables: set[str] = set()
        self._handles = [
            model.get_submodule(path).register_forward_hook(self._watch(path), with_kwargs=True)
            for path in dict.fromkeys(paths)
        ]

    def _watch(self, path: str) -> Callable:
        def look(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(given, Tensor) and given.requires_grad:
                self.behind.add(path)
                if self._sizes and _is_of_table(given):
                    self.of_tables.add(path)
            result = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(result, Tensor) or not result.is_floating_point() or result.dim() < 2:
                return
            convolution = isinstance(module, _ConvNd)
            if self._latest or path not in self.outputs:
                by_unit = (
                    result.detach().movedim(1, -1) if convolution or _by_channel(module, result) else result.detach()
                )
                self.outputs[path] = thinned(_some_rows(by_unit, self._most), self._most)
            if self._sizes and isinstance(given, Tensor) and given.is_floating_point() and given.dim() > 1:
                size = _input_size(module, given.detach())
                self.input_sizes[path] = max(size, self.input_sizes.get(path, 0.0))

        return hook_of(look)

    def forget(self) -> None:
        """Keep what the next forward pass shows."""
        self.outputs, self.input_sizes = {}, {}

    def stop(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()


def hook_of(look: Callable[[nn.Module, Any, Any], None]) -> Callable:
    """Return the forward hook that shows a module, its first argument and its output, and adds nothing to a pass."""

    def note(module: nn.Module, arguments: tuple, named: dict, output: Any) -> None:
        if not in_transform():
            with torch._C.DisableTorchFunction():  # what is done here is no part of the model's own pass
                look(module, next(iter([*arguments, *named.values()]), None), output)

    return note


def thinned(matrix: Tensor, most: int = MOST) -> Tensor:
    """Take at most so many rows and columns, evenly.

    Example:
        >>> thinned(torch.zeros(1000, 3)).shape
        torch.Size([128, 3])
    """
    for axis in (0, 1):
        if matrix.shape[axis] > most:
            chosen = torch.linspace(0, matrix.shape[axis] - 1, most, dtype=torch.float64, device="cpu").long()
            chosen = chosen.to(matrix.device)  # by indexing: index_select copies a transposed matrix as a whole
            matrix = matrix[chosen] if axis == 0 else matrix[:, chosen]
    return matrix.detach().clone()


def _is_of_table(given: Tensor) -> bool:
    """Tell whether values are rows of trained tables, put together or scaled, with no other weights in between."""
    waiting, left = [given.grad_fn], MOST_NODES
    while waiting and left:
        node, left = waiting.pop(), left - 1
        name = type(node).__name__.removesuffix("0").removesuffix("Backward")
        if name in LOOKUPS:
            return True
        if node is not None and name in PASSING:
            waiting += [each for each, _ in node.next_functions]
    return False


def _some_rows(values: Tensor, most: int) -> Tensor:
    """Flatten all axes but the last; of many rows take so many, evenly, without a copy of all."""
    shape = values.shape[:-1]
    count = math.prod(shape)
    if count <= most or values.dim() < 3:
        return values.reshape(-1, values.shape[-1])
    chosen = torch.linspace(0, count - 1, most, dtype=torch.float64, device="cpu").long().numpy()
    places = np.unravel_index(chosen, shape)  # that of torch loads SymPy
    return values[tuple(torch.from_numpy(each).to(values.device) for each in places)]


def _by_channel(module: nn.Module, result: Tensor) -> bool:
    weight = module._parameters.get("weight")
    return weight is not None and weight.dim() == 1 and result.dim() > 2 and result.shape[1] == weight.shape[0]


def _input_size(module: nn.Module, given: Tensor) -> float:
    """Bound the norm of what one unit of a dense layer or a convolution is multiplied with."""
    if isinstance(module, _ConvTransposeNd):
        return float("inf")
    if isinstance(module, _ConvNd):
        positions = module.weight[0, 0].numel()
        return float(given.norm(dim=1).max()) * positions**0.5 if given.numel() else 0.0
    return float(given.norm(dim=-1).max()) if given.numel() else 0.0
