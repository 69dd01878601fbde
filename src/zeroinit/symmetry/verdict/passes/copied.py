"""Copies of parameters that a forward pass makes or fills: they hold the values, and no gradient leads back."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit.symmetry.verdict.passes.states import is_constant, tensors_in

__all__ = ["CopiedParameters"]


class CopiedParameters:
    """Follows the parameters that are copied in a pass, and can put the originals in their place.

    A copy is told by its values when it is first used with gradients on, whether ``copy.deepcopy``,
    ``load_state_dict`` or a loop has made it.

    Args:
        model: Whose parameters may be copied.
        place: Returns the module whose forward pass runs.
        undo: Put the originals in the place of copies.

    Attributes:
        ways: How values were copied, and the module in whose forward pass.
        place: The module that first uses a copy.
    """

    def __init__(self, model: nn.Module, place: Callable[[], str], undo: bool):
        self._own = {id(each): each for each in model.parameters()}
        self._at = {each.data_ptr(): id(each) for each in self._own.values() if each.numel()}
        self._place, self._undo, self._deepcopy = place, undo, nn.Parameter.__deepcopy__
        self._filled: set[int] = set()
        self._found: dict[int, tuple[Tensor, nn.Parameter | None]] = {}
        self.ways: dict[str, str] = {}
        self.place = ""

    def start(self) -> None:
        """Look at every ``copy.deepcopy`` from now on."""
        own = self._deepcopy

        def copied(parameter: nn.Parameter, memo: dict) -> Any:
            if id(parameter) in self._own:
                self.ways.setdefault("copy.deepcopy", self._place())
            return parameter if self._undo else own(parameter, memo)

        nn.Parameter.__deepcopy__ = copied  # type: ignore[method-assign, assignment]

    def stop(self) -> None:
        """Let parameters be copied as before."""
        nn.Parameter.__deepcopy__ = self._deepcopy  # type: ignore[method-assign]

    def filled(self, tensor: Tensor) -> None:
        """Note that values are written into a tensor as a whole, which may share the memory of a parameter."""
        known = id(tensor) if id(tensor) in self._own else self._at.get(tensor.data_ptr(), 0)
        if known or isinstance(tensor, nn.Parameter):
            self.ways.setdefault("load_state_dict" if _is_loaded() else "", self._place())
            self._filled.add(known or id(tensor))
            self._found.pop(known or id(tensor), None)

    def original(self, tensor: Tensor) -> nn.Parameter | None:
        """Return the parameter of the model whose values another one has that was made or filled in this pass."""
        if not isinstance(tensor, nn.Parameter) or (id(tensor) in self._own and id(tensor) not in self._filled):
            return None
        if id(tensor) not in self._found:
            taken = {id(each) for _, each in self._found.values()}
            others = [each for key, each in self._own.items() if each is not tensor and key not in self._filled]
            alike = [each for each in others if each.shape == tensor.shape and _same(each, tensor)]
            alike.sort(key=lambda each: id(each) in taken)
            self._found[id(tensor)] = tensor, next(iter(alike), None)
            self.place = self.place if not alike or self.place else self._place()
        return self._found[id(tensor)][1]

    def sources(self) -> dict[int, nn.Parameter]:
        """Return the originals by the identities of their copies; nothing where all of these are constant."""
        found = {key: each for key, (_, each) in self._found.items() if each is not None}
        return found if any(not is_constant(each) or each.numel() == 1 for each in found.values()) else {}

    def seen(self, args: Any) -> Any:
        """Look at the arguments of a call; return them, with the originals in the place of copies if asked to."""
        found = [each for each in tensors_in(args) if self.original(each) is not None]
        return self._replaced(args) if found and self._undo else args

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._replaced(each) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(self._replaced, value))
        original = self.original(value) if isinstance(value, Tensor) else None
        return value if original is None else original


def _same(one: Tensor, other: Tensor) -> bool:
    return one.device == other.device and torch.equal(one.detach().to(other.dtype), other.detach())


def _is_loaded() -> bool:
    """Tell whether values are written by ``load_state_dict``."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_name != "load_state_dict":
        frame = frame.f_back
    return frame is not None
