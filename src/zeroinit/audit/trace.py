"""Every write to memory while a model is built: what was written, where, and by which rule."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import TorchDispatchMode

from zeroinit.audit.rules import Rule, calling_rule

__all__ = ["COPIES", "RARE", "Memory", "Recorder", "Use", "Write", "plain"]

END = 1 << 62
"""Later than any write."""
RARE = 0x5A5AA5A5
"""What unwritten integers of 32 and 64 bits hold; unwritten floats hold NaN."""
EMPTY = {
    *("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted", "empty_quantized"),
}
DRAWS = {
    *("normal_", "uniform_", "bernoulli_", "exponential_", "random_", "log_normal_", "cauchy_", "geometric_"),
}
CONSTANT = {"zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}
COPIES = {"clone", "_to_copy", "contiguous", "alias_copy", "detach_copy", "view_copy"}
PARTS = {
    *("index_put_", "masked_fill_", "index_fill_", "index_copy_", "scatter_", "masked_scatter_", "fill_diagonal_"),
}
SHAPES_ALONE = {
    *("resize_", "set_", "detach_", "t_", "transpose_", "squeeze_", "unsqueeze_", "as_strided_", "requires_grad_"),
    *("resize_as_", "swapdims_", "swapaxes_"),
}
STANDARD = {"randn": 1.0, "randn_like": 1.0, "rand": 12**-0.5, "rand_like": 12**-0.5}
"""Standard deviations of operations that draw."""
PRODUCTS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}
"""Matrix products, and which arguments are their factors."""

SUMS = {"add", "add_", "clone", "_unsafe_view", "sub"}
"""Operations that leave each output of a product in its place."""
SPLITS, JOINS = {"split", "split_with_sizes", "chunk", "unsafe_chunk", "unsafe_split"}, {"cat", "stack"}


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
        value: Of a constant, or the factor of a change.
        std: Standard deviation of a draw.
        source: What was copied; for empty memory, what has its shape.
        phase: ``"build"``, ``"init"`` or ``"forward"``.
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
    """A factor of a matrix product: sizes of the summed axis and of the other one, and their strides in memory."""

    summed: int
    other: int
    stride: int
    other_stride: int


@dataclass(eq=False)
class Memory:
    """One storage: its writes in their order, what they were computed from, and how a forward pass uses it."""

    reference: StorageWeakRef
    writes: list[Write] = field(default_factory=list)
    parents: "list[tuple[int, Memory]]" = field(default_factory=list)
    uses: set[Use] = field(default_factory=set)
    parts: dict[Use, int] = field(default_factory=dict)

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

    def factors(self, depth: int = 6) -> "set[Memory]":
        """Return the factors of the matrix products whose sum it holds."""
        made = self.writes[0].operation if self.writes else ""
        parents = {parent for _, parent in self.parents}
        if made in PRODUCTS or not depth or made not in SUMS:
            return parents if made in PRODUCTS else set()
        return {factor for parent in parents for factor in parent.factors(depth - 1)}

    def is_random(self, until: int = END, depth: int = 12) -> bool:
        """Whether values that are there at a time were drawn, here or where they were computed from."""
        lasting = self.lasting(until)
        since = min((each.time for each in lasting), default=0)
        later = [each for each in self.writes if each.kind in ("change", "part") and since < each.time <= until]
        if any(each.kind == "draw" for each in lasting):
            return True
        times = {each.time for each in (*lasting, *later)}
        return depth > 0 and any(
            parent.is_random(time, depth - 1) for time, parent in self.parents if time in times and parent is not self
        )

    def was_empty(self) -> bool:
        """Whether memory that nobody had written may have had a part in it."""
        return any(memory.writes and memory.writes[0].kind == "empty" for memory in (self, *self.ancestors()))

    def history(self, until: int = END) -> list[Write]:
        """Return its writes, those of what it is a plain copy of first."""
        before: list[Write] = []
        first = self.writes[0] if self.writes else None
        if first is not None and first.source is not None and first.operation in COPIES:
            before = first.source.history(first.time)
        return [*before, *(each for each in self.writes if each.time <= until)]

    def lasting(self, until: int = END) -> list[Write]:
        """Return the writes before the forward pass that set values which are there at a time, the latest first."""
        found: list[Write] = []
        history = [each for each in self.history(until) if each.phase != "forward" and each.sets]
        length = max((each.end for each in history), default=0)
        covered = torch.zeros(0, dtype=torch.bool)
        for each in reversed(history):
            if each.whole and not len(covered):
                return [each]
            covered = covered if len(covered) else torch.zeros(length, dtype=torch.bool)
            places = each.places(length)
            if bool((places & ~covered).any()):
                found.append(each)
                covered |= places
            if each.whole:
                break
        return found


def plain(tensor: Tensor) -> Tensor:
    """Return the local part of a distributed tensor; any other tensor unchanged."""
    local = getattr(tensor, "_local_tensor", None)
    return local if isinstance(local, Tensor) else tensor


class Recorder(TorchDispatchMode):
    """Records writes. Memory that ``torch.empty`` returns gets values that show if nobody writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.memories: dict[int, Memory] = {}
        self.time = 0
        self.phase = "build"
        self._schemas: dict[Any, tuple[str, list[tuple[int, str]], bool]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.time += 1
        name, written, is_random = self._schema(func)
        inputs = [plain(each) for each in _tensors((*args, *kwargs.values()))]
        if written:
            for at, argument in written:
                target = kwargs.get(argument, args[at] if at < len(args) else None)
                for number, tensor in enumerate(_tensors((target,))):
                    self._written(name, plain(tensor), inputs, args, is_random, argument, number)
        else:
            self._made(name, result, inputs, args, kwargs, is_random)
        if self.phase == "forward":
            if name in PRODUCTS:
                self._used([args[at] for at in PRODUCTS[name]])
            elif name in SPLITS or name in JOINS:
                self._parted(list(map(plain, _tensors((result,) if name in SPLITS else inputs))), name in SPLITS)
        return result

    def memory_of(self, tensor: Tensor) -> Memory | None:
        """Return what is known of a tensor's memory; ``None`` for tensors that have none."""
        tensor = plain(tensor)
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer) or tensor.layout != torch.strided:
            return None
        try:
            reference = StorageWeakRef(tensor.untyped_storage())
        except (RuntimeError, NotImplementedError):
            return None
        return self.memories.setdefault(reference.cdata, Memory(reference))

    def note_loaded(self, tensor: Tensor) -> None:
        """Note that a tensor from a checkpoint took the place of a parameter."""
        if (memory := self.memory_of(tensor)) is not None:
            self._append(memory, "given", plain(tensor.detach()), "load")

    def _schema(self, func: Any) -> tuple[str, list[tuple[int, str]], bool]:
        if func not in self._schemas:
            schema = func._schema
            written = [
                (at, each.name)
                for at, each in enumerate(schema.arguments)
                if each.alias_info is not None and each.alias_info.is_write
            ]
            self._schemas[func] = (
                schema.name.split("::")[-1],
                written,
                torch.Tag.nondeterministic_seeded in func.tags,
            )
        return self._schemas[func]

    def _written(
        self, name: str, tensor: Tensor, inputs: list[Tensor], args: tuple, is_random: bool, argument: str, number: int
    ) -> None:
        """Record a write in place."""
        memory = self.memory_of(tensor)
        if memory is None:
            return
        name = name.removeprefix("_foreach_")
        if name in SHAPES_ALONE:
            if name.startswith("resize") and tensor.numel() and all(each.kind == "empty" for each in memory.writes):
                self._fill(tensor)
                memory.writes.append(Write(self.time, "empty", calling_rule(), phase=self.phase))
            return
        value = std = source = None
        sources = [each for each in inputs if each is not tensor]
        if name == "copy_":
            kind, source = "copy", self._source(args[1], number)
        elif name in ("fill_", "zero_"):
            kind, value = "constant", _number(args[1]) if name == "fill_" and len(args) > 1 else 0.0
        elif name in DRAWS:
            kind, std = "draw", _std(name, args)
        elif argument == "out":
            kind = "draw" if is_random else "computed"
        elif name in PARTS:
            kind = "part"
        else:
            kind, value = "change", _number(args[1]) if name in ("mul_", "div_") and len(args) > 1 else None
        self._link(memory, [each for each in sources if each.untyped_storage()._cdata != memory.reference.cdata])
        self._append(memory, kind, tensor, name, value=value, std=std, source=source)

    def _made(self, name: str, result: Any, inputs: list[Tensor], args: tuple, kwargs: dict, is_random: bool) -> None:
        """Record memory that an operation made."""
        for tensor in map(plain, _tensors((result,))):
            memory = self.memory_of(tensor)
            if memory is None or memory.writes:
                continue  # a view of memory that is known
            if any(each is not tensor and each.untyped_storage()._cdata == memory.reference.cdata for each in inputs):
                self._append(memory, "given", tensor, name)
            elif name in EMPTY:
                self._fill(tensor)
                source = self.memory_of(inputs[0]) if inputs else None
                self._append(memory, "empty", tensor, name, source=source)
            elif name in CONSTANT:
                known = 0.0 if "zeros" in name else 1.0 if "ones" in name else _number(args[-1] if args else None)
                self._append(memory, "constant", tensor, name, value=known)
            else:
                self._link(memory, inputs)
                source = self.memory_of(inputs[0]) if name in COPIES and inputs else None
                std = STANDARD.get(name) if is_random else self._scaled_std(name, inputs, args)
                self._append(memory, "draw" if is_random else "computed", tensor, name, std=std, source=source)

    def _append(self, memory: Memory, kind: str, tensor: Tensor, name: str, **more: Any) -> None:
        size = tensor.untyped_storage().nbytes()
        whole = tensor.numel() * tensor.element_size() >= size and 0 not in tensor.stride()
        rule = calling_rule() if self.phase != "forward" else Rule()
        memory.writes.append(
            Write(
                self.time,
                kind,
                rule,
                whole,
                tuple(tensor.shape),
                tuple(tensor.stride()),
                int(tensor.storage_offset()),
                phase=self.phase,
                operation=name,
                **more,
            )
        )

    def _scaled_std(self, name: str, inputs: list[Tensor], args: tuple) -> float | None:
        """Return the standard deviation of drawn values times a number."""
        factor = _number(args[1]) if name in ("mul", "div") and len(args) > 1 else None
        memory = self.memory_of(inputs[0]) if factor and inputs else None
        drawn = memory.lasting() if memory is not None else []
        if not factor or len(drawn) != 1 or drawn[0].std is None:
            return None
        return drawn[0].std * (factor if name == "mul" else 1 / factor)

    def _link(self, memory: Memory, sources: list[Tensor]) -> None:
        for each in sources:
            if (parent := self.memory_of(each)) is not None and parent is not memory:
                memory.parents.append((self.time, parent))

    def _source(self, given: Any, number: int) -> Memory | None:
        tensors = list(_tensors((given,)))
        return self.memory_of(tensors[min(number, len(tensors) - 1)]) if tensors else None

    def _used(self, factors: list[Tensor]) -> None:
        """Record how a factor of a matrix product lies in memory."""
        for tensor, summed in zip(map(plain, factors), (-1, -2), strict=True):
            memory = self.memory_of(tensor)
            if memory is not None and tensor.dim() > 1:
                other = -3 - summed
                memory.uses.add(
                    Use(tensor.size(summed), tensor.size(other), tensor.stride(summed), tensor.stride(other))
                )

    def _parted(self, parts: list[Tensor], apart: bool) -> None:
        """Record that outputs of a matrix product are split into equal parts, or that these are joined again."""
        memories = {self.memory_of(each) for each in parts}
        sizes = {each.shape for each in parts}
        alike = len(memories) == len(sizes) == 1 and len(parts) > 1 and parts[0].dim() > 1
        memory = memories.pop() if alike else None
        outputs = parts[0].size(-1) * len(parts) if memory else 0
        found = [
            (factor, use)
            for factor in (memory.factors() if memory else ())
            for use in factor.uses
            if use.other == outputs and parts[0].stride(-2) >= outputs
        ]
        if any(use.other >= len(parts) * use.summed for _, use in found):
            for factor, use in found:
                factor.parts[use] = len(parts) if apart else 0

    def _fill(self, tensor: Tensor) -> None:
        """Fill memory with values that no rule writes."""
        if tensor.is_meta or not tensor.numel():
            return
        if tensor.is_floating_point() or tensor.is_complex():
            tensor.fill_(math.nan)
        elif tensor.dtype in (torch.int32, torch.int64):
            tensor.fill_(RARE)


def _tensors(values: Any) -> Iterator[Tensor]:
    for each in values:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 and not value.is_meta else None
    return float(value) if isinstance(value, bool | int | float) else None


def _std(name: str, args: tuple) -> float | None:
    if name == "normal_":
        return _number(args[2]) if len(args) > 2 else 1.0
    if name == "uniform_":
        low, high = (_number(args[1]), _number(args[2])) if len(args) > 2 else (0.0, 1.0)
        return None if low is None or high is None else (high - low) / 12**0.5
    return None
