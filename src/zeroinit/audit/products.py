"""Over which axes of a parameter the forward pass sums, where `einsum` or a product of stacks copies it first."""

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from zeroinit.audit.trace import Recorder, plain

__all__ = ["Products"]

OTHERS = "0123456789"
"""Names of axes that an ellipsis stands for."""
Factors = list[tuple[Tensor, str]]
"""Each factor, and one letter for each of its axes."""


class Products(TorchFunctionMode):
    """Notes how each factor of a product is read, by the letters of its axes: summed, shared with a factor, or free."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if not isinstance(result, Tensor) or result.is_nested:
            return result
        if name == "einsum":
            self._note(*_of_einsum(args[0], list(args[1:])))
        elif name in ("matmul", "__matmul__") and len(args) > 1:
            self._note(*_of_matmul(*args[:2]))
        return result

    def _note(self, factors: Factors, left: str) -> None:
        """Record the stride, the size and the role of each axis of what a product reads inputs with."""
        memories = [self.recorder.memory_of_factor(each) for each, _ in factors]
        if all(each is not None and each.is_built() for each in memories):
            return  # a product of parameters reads no inputs
        for at, ((tensor, letters), memory) in enumerate(zip(factors, memories, strict=True)):
            if memory is None or len({*letters}) < len(letters):
                continue
            others = [pair for other, pair in enumerate(factors) if other != at]
            beside = {letter for _, those in others for letter in those}
            roles = ["summed" if each not in left else "shared" if each in beside else "free" for each in letters]
            memory.sums.add(tuple(zip(tensor.stride(), tensor.shape, roles, strict=True)))


def _of_einsum(equation: str, operands: list[Any]) -> tuple[Factors, str]:
    """Return factors with their letters, and the letters of the result."""
    read, arrow, left = equation.replace(" ", "").partition("->")
    if not arrow:
        every = read.replace(",", "").replace("...", "")
        left = "..." + "".join(each for each in every if every.count(each) == 1)
    tensors = [plain(each) for each in (operands if isinstance(operands[0], Tensor) else operands[0])]
    letters = [_spelled(part, tensor.dim()) for part, tensor in zip(read.split(","), tensors, strict=True)]
    return [*zip(tensors, letters, strict=True)], left.replace("...", OTHERS)


def _spelled(part: str, axes: int) -> str:
    """Write the axes of an ellipsis as numbers, the last one as 0."""
    return part.replace("...", OTHERS[: axes - len(part) + 3][::-1])


def _of_matmul(first: Any, second: Any) -> tuple[Factors, str]:
    """Return the factors of a matrix product with letters; numbers stand for the axes of stacks."""
    if not all(isinstance(each, Tensor) and each.dim() > 1 for each in (first, second)):
        return [], ""
    ends = ((plain(first), "ik"), (plain(second), "kj"))
    return [(each, OTHERS[: each.dim() - 2][::-1] + axes) for each, axes in ends], OTHERS + "ij"
