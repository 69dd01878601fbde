"""Values that are written into a tensor through its ``.data``: the graph does not know of them."""

from typing import Any

from torch import Tensor

__all__ = ["Writes"]

DETACHED = ("data", "detach")
VIEWS = ("getitem", "select", "narrow", "view", "slice")


class Writes:
    """Follows which tensors share the memory of others without being in their graph.

    Args:
        registered: Identities of what is left aside: parameters.

    Attributes:
        calls: Those that write values with a gradient into such memory.
    """

    def __init__(self, registered: set[int]):
        self._registered = registered
        self._shares: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []
        self.calls: list[Any] = []

    def note(self, call: Any, result: Any, sources: list[Tensor]) -> tuple[Tensor | None, list[Tensor]]:
        """Look at a call; return the tensor that it writes into, if it does, and what is lost by that."""
        first = call.args[0] if call.args else None
        if call.name in DETACHED or (call.name in VIEWS and id(first) in self._shares):
            self._shares |= {id(each): first for each in call.out if isinstance(first, Tensor) and each is not first}
            self._kept += call.out  # so that no other tensor gets the same identity
        elif result is None or call.key[1].endswith("_"):
            return self.into(self._shares.get(id(first)), call, sources)
        return None, []

    def into(
        self, whole: Tensor | None, call: Any, sources: list[Tensor], live: bool = False
    ) -> tuple[Tensor | None, list[Tensor]]:
        """Note that values are written into a tensor; return it, and what is lost by that.

        Args:
            whole: The tensor. A parameter is left aside, as a moving average of others, unless the values are ``live``.
            call: What writes.
            sources: What the values depend on.
            live: Whether the values themselves have a gradient.
        """
        while whole is not None and id(whole) in self._shares:
            whole = self._shares[id(whole)]
        sources = [each for each in sources if each is not whole]
        if whole is None or not sources or (id(whole) in self._registered and not live):
            return None, []
        self.calls.append(call)
        return whole, sources
