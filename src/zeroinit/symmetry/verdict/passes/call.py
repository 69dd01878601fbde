"""One operation of a forward pass: what was called, with what, and what came out."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from zeroinit._findings.lines import Line
from zeroinit.symmetry.verdict.passes.states import tensors_in

__all__ = ["Call", "Key"]

Key = tuple[str, str, int]
"""A call's place: the module's path, the operation's name, and the how-manieth call of this name there."""

OF_FIRST = {"to", "type_as", "expand_as", "view_as", "reshape_as", "resize_as_"}
"""Calls that take the values of their first argument alone."""


@dataclass
class Call:
    """One operation of a forward pass.

    Attributes:
        key: Its place.
        func: What was called.
        args: With what, as ``kwargs``.
        out: The tensors that came out.
        nodes: Autograd's nodes of these at that time.
        cuts: Whether something that depends on a parameter went in, and no float with a gradient came out.
        chooses: Whether indices came out of something that depends on a parameter, beside values with a gradient.
            ``behind`` says that the gradient was lost before.
        quiet: Whether gradients were off, and in which module they were switched last. ``quiet_at`` is the line of
            that, and the method of a class in which it stands, other than ``forward``.
        infers: Whether inference mode was on.
        within: The function of ``torch.distributions`` that made the call, if one did.
        broken: ``"nan"`` or ``"inf"`` where that came out and did not go in.
        function: The autograd function of the user's own that was applied, if it was one.
        held: What depends on a parameter and was used inside of that function, beside its arguments.
        line: Where the user's code calls it, if it does.
        method: The method of a class in which that is, other than ``forward``.
        through: The function of ``torch.func`` that the code calls and that makes this call.
    """

    key: Key
    func: Any
    args: tuple
    kwargs: dict
    out: list[Tensor] = field(default_factory=list)
    nodes: list[Any] = field(default_factory=list)
    cuts: bool = False
    chooses: bool = False
    behind: bool = False
    quiet: bool = False
    quiet_in: str = ""
    quiet_at: tuple[Line | None, str] = (None, "")
    infers: bool = False
    within: str = ""
    broken: str = ""
    function: type | None = None
    held: list[Tensor] = field(default_factory=list)
    line: Line | None = None
    method: str = ""
    through: str = ""

    @property
    def path(self) -> str:
        """The module that made the call."""
        return self.key[0]

    @property
    def name(self) -> str:
        """The operation, without underscores."""
        return self.key[1].strip("_")

    @property
    def given(self) -> list[Tensor]:
        """The float tensors that went in."""
        return [each for each in tensors_in([self.args, self.kwargs]) if each.is_floating_point()]

    @property
    def data(self) -> list[Tensor]:
        """The tensors whose values matter: not those that only tell a shape or a type."""
        if self.name == "new_tensor":
            return tensors_in([self.args[1:], self.kwargs])
        if self.name.endswith("_like") or self.name.startswith("new_"):
            return []
        return tensors_in(self.args[:1]) if self.name in OF_FIRST else tensors_in([self.args, self.kwargs])
