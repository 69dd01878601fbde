"""What is known of memory: each write, by which rule, from where, and how a forward pass uses it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from zeroinit.audit.rules import Rule

__all__ = ["COPIES", "END", "GIVEN", "PRODUCTS", "REPEATS", "Kernel", "Memory", "Use", "Write"]

END = 1 << 62
"""Later than any write."""
COPIES = {"clone", "_to_copy", "contiguous", "alias_copy", "detach_copy", "view_copy"}
GIVEN = {"lift_fresh", "lift", "detach", "alias"}
"""Operations that show memory which something else than torch has made."""
PRODUCTS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2), "convolution": (0, 1)}
"""Matrix products and convolutions, and which arguments are their factors."""
REPEATS = {"repeat", "repeat_interleave", "stack", "cat", "index", "index_select", "expand_copy", "tile"}
"""Operations that hold the values of their first tensor, in another place or several times."""
SUMS = {"add", "add_", "clone", "_unsafe_view", "sub"}
"""Operations that leave each output of a product in its place."""


@dataclass(frozen=True)
class Write:
    """Values that were put into memory.

    Attributes:
        time: A count of writes.
        kind: ``"empty"``, ``"draw"``, ``"constant"``, ``"copy"``, ``"computed"`` or ``"given"``. ``"part"`` for places
            that are chosen by an index, and ``"change"`` where the old values count.
        rule: By whom.
        whole: Whether all of the memory was written.
        sizes, strides, offset: The part that was written.
        value: Of a constant, the factor of a change, the mean of a draw, or what all values of a copy or a result are.
        std: Standard deviation of a draw.
        source: What was copied; for empty memory, what has its shape.
        phase: ``"build"``, ``"init"`` or ``"forward"``.
        rows: The numbers of the rows that an index with a list copied.
        on_meta: Whether the memory has no values, as it is on the meta device.
        own_generator: Whether a draw takes a generator that the user's code hands over.
    """

    time: int
    kind: str
    rule: Rule
    whole: bool = True
    sizes: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    offset: int = 0
    value: float | None = None
    std: float | None = None
    source: "Memory | None" = None
    phase: str = "build"
    operation: str = ""
    rows: tuple[int, ...] = ()
    on_meta: bool = False
    own_generator: bool = False

    @property
    def sets(self) -> bool:
        """Whether the new values do not depend on the old ones."""
        return self.kind not in ("empty", "change", "part")

    @property
    def end(self) -> int:
        """Behind its last place in memory."""
        return self.offset + 1 + sum((size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True))

    def places(self, length: int) -> Tensor:
        """Return which of ``length`` places in memory were written (length,), bool."""
        mask = torch.zeros(length, dtype=torch.bool)
        if 0 not in self.sizes:
            mask.as_strided(self.sizes, self.strides, self.offset).fill_(True)
        return mask

    def covers(self, earlier: "Write") -> bool:
        """Tell whether it covers all that an earlier write wrote."""
        if self.whole or earlier.whole:
            return self.whole
        length = max(self.end, earlier.end)
        return not bool((earlier.places(length) & ~self.places(length)).any())


@dataclass(frozen=True)
class Use:
    """A factor of a matrix product: sizes of the summed axis and of the other one, and whether it is the second."""

    summed: int
    other: int
    second: bool = False


@dataclass(frozen=True)
class Kernel:
    """How a convolution reads a kernel of ``size`` values: inputs and outputs of each group, positions, steps."""

    inputs: int
    outputs: int
    positions: int
    groups: int = 1
    stride: int = 1
    transposed: bool = False
    size: int = 0


@dataclass(eq=False)
class Memory:
    """One storage: its writes in their order, what they were computed from, and how a forward pass uses it.

    ``uses`` are those as a factor of a matrix product, ``kernels`` those as a kernel: its channels, ``convolved``
    all that a convolution does with it. ``parts`` tells
    into how many parts the outputs are split; a negative number may be that of heads, which share one projection.
    ``sums`` are uses by `einsum` or `matmul`: the stride, the size and the role of each axis. ``before`` is the memory
    of the parameter whose place it took.
    """

    reference: StorageWeakRef
    writes: list[Write] = field(default_factory=list)
    parents: "list[tuple[int, Memory]]" = field(default_factory=list)
    uses: set[Use] = field(default_factory=set)
    kernels: set[Use] = field(default_factory=set)
    convolved: set[Kernel] = field(default_factory=set)
    parts: dict[Use, int] = field(default_factory=dict)
    sums: set[tuple[tuple[int, int, str], ...]] = field(default_factory=set)
    before: "Memory | None" = None

    def is_built(self) -> bool:
        """Whether it was there before the forward pass, and is no input."""
        return bool(self.writes) and self.writes[0].phase != "forward"

    def ancestors(self, after: int = -1) -> "dict[Memory, int]":
        """Return all memory that this one was computed from, with the latest time at which values left it."""
        found: dict[Memory, int] = {}
        open_: list[tuple[Memory, int]] = [(self, END)]
        while open_:
            memory, until = open_.pop()
            for time, parent in memory.parents:
                latest = min(time, until)
                if latest > after and latest > found.get(parent, -1):
                    found[parent] = latest
                    open_.append((parent, latest))
        return found

    def read(self, at: int) -> "dict[Memory, int]":
        """Return all memory that one write used, itself included, with the latest time at which values left it."""
        found: dict[Memory, int] = {}
        open_ = [(parent, time) for time, parent in self.parents if time == at]
        while open_:
            memory, time = open_.pop()
            if time > found.get(memory, -1):
                found[memory] = time
                open_ += [(parent, earlier) for earlier, parent in memory.parents if earlier <= time]
        return found

    def factors(self, depth: int = 6) -> "set[Memory]":
        """Return the factors of the matrix products whose sum it holds."""
        made = self.writes[0].operation if self.writes else ""
        parents = {parent for _, parent in self.parents}
        if made in PRODUCTS or not depth or made not in SUMS:
            return parents if made in PRODUCTS else set()
        return {factor for parent in parents for factor in parent.factors(depth - 1)}

    def origins(self, until: int = END, since: int = -1) -> Iterator[str]:
        """Yield where values that are there at a time come from, here or where they were computed from.

        Kinds of writes; ``"given"`` for memory that torch did not write; ``"before"`` for what was there ``since``.
        """
        open_: list[tuple[Memory, int]] = [(self, until)]
        seen = set(open_)
        while open_:
            memory, time = open_.pop()
            lasting = memory.lasting(time)
            first = min((each.time for each in lasting), default=0)
            later = [each for each in memory.writes if each.kind in ("change", "part") and first < each.time <= time]
            for each in lasting:
                given = each.operation in GIVEN
                yield "before" if each.time < since and not given else "given" if given else each.kind
            if not lasting:
                yield "given"
            times = {each.time for each in (*lasting, *later) if each.time >= since}
            before = {(parent, at) for at, parent in memory.parents if at in times and parent is not memory} - seen
            seen |= before
            open_ += before

    def is_made(self, until: int, since: int) -> bool:
        """Whether values that are there at a time are made since another one: drawn, or of nothing that was there."""
        kinds = set(self.origins(until, since))
        return "draw" in kinds or not kinds & {"given", "before"}

    def is_random(self, until: int = END) -> bool:
        """Whether values that are there at a time were drawn, here or where they were computed from."""
        return any(kind == "draw" for kind in self.origins(until))

    def is_from_outside(self) -> bool:
        """Whether its values are given ones: from NumPy, a file, or a list of Python, and not from torch's rules."""
        open_: list[tuple[Memory, int]] = [(self, END)]
        while open_:
            memory, time = open_.pop()
            for each in memory.lasting(time):
                if each.operation in GIVEN:
                    continue
                if each.source is None or each.operation not in {*COPIES, "copy_"}:
                    return False
                open_.append((each.source, each.time - 1))  # what was there before the copy: no circle
        return True

    def was_empty(self) -> bool:
        """Whether memory that nobody had written may have had a part in it."""
        return any(memory.writes and memory.writes[0].kind == "empty" for memory in (self, *self.ancestors()))

    def _backwards(self, until: int = END) -> Iterator[Write]:
        """Yield its writes, the latest first, and then those of what it is a plain copy of."""
        memory: Memory | None = self
        while memory is not None:
            yield from (each for each in reversed(memory.writes) if each.time <= until)
            first = memory.writes[0] if memory.writes else None
            memory = first.source if first is not None and first.operation in COPIES else None
            until = first.time if first is not None else until

    def history(self, until: int = END) -> list[Write]:
        """Return its writes, those of what it is a plain copy of first."""
        return [*self._backwards(until)][::-1]

    def on_meta(self) -> "Memory | None":
        """Return the memory on the meta device whose place this empty memory took; ``None`` if there was none."""
        first = next(iter(self.history()), None)
        source = first.source if first is not None and first.kind == "empty" and not first.on_meta else None
        return source if source is not None and source.writes and source.writes[0].on_meta else None

    def lasting(self, until: int = END) -> list[Write]:
        """Return the writes before the forward pass that set values which are there at a time, the latest first."""
        recent: list[Write] = []
        for each in self._backwards(until):
            if each.phase != "forward" and each.sets:
                recent.append(each)
                if each.whole:
                    break
        if len(recent) == 1:
            return recent
        length = max((each.end for each in recent), default=0)
        covered, found = torch.zeros(length, dtype=torch.bool), []
        for each in recent:
            places = each.places(length)
            if bool((places & ~covered).any()):
                found.append(each)
                covered |= places
        return found
