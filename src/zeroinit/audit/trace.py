"""Every write to memory while a model is built: what was written, where, and by which rule."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import TorchDispatchMode

from zeroinit.audit.memory import COPIES, PRODUCTS, REPEATS, Kernel, Memory, Use, Write
from zeroinit.audit.rules import Rule, calling_rule
from zeroinit.audit.values import mean_of, number_of, only_value, rows_of_index, std_of, tensors_in

__all__ = ["PICKS", "RARE", "Recorder", "plain"]

RARE = 0x5A5AA5A5
"""What unwritten integers of 32 and 64 bits hold; unwritten floats hold NaN."""
EMPTY = {
    *("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted", "empty_quantized"),
}
DRAWS = {
    *("normal_", "uniform_", "bernoulli_", "exponential_", "random_", "log_normal_", "cauchy_", "geometric_"),
}
CONSTANT = {"zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}
PARTS = {
    *("index_put_", "masked_fill_", "index_fill_", "index_copy_", "scatter_", "masked_scatter_", "fill_diagonal_"),
}
SHAPES_ALONE = {
    *("resize_", "set_", "detach_", "t_", "transpose_", "squeeze_", "unsqueeze_", "as_strided_", "requires_grad_"),
    *("resize_as_", "swapdims_", "swapaxes_"),
}
STANDARD = {"randn": 1.0, "randn_like": 1.0, "rand": 12**-0.5, "rand_like": 12**-0.5}
"""Standard deviations of operations that draw."""
PICKS = {"index", "index_select"}
"""Operations that copy some rows."""
SPLITS, JOINS = {"split", "split_with_sizes", "chunk", "unsafe_chunk", "unsafe_split"}, {"cat", "stack"}


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
        self.own_generator = False
        self._schemas: dict[Any, tuple[str, list[tuple[int, str]], bool]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, written, is_random = self._schema(func)
        replaced = self.memory_of(args[0]) if name == "set_" else None
        result = func(*args, **kwargs)
        self.time += 1
        self.own_generator = kwargs.get("generator") is not None
        if replaced is not None and (memory := self.memory_of(args[0])) is not replaced and memory is not None:
            memory.before = replaced  # as by an assignment through a parametrization
        inputs = [plain(each) for each in tensors_in((*args, *kwargs.values()))]
        if written:
            for at, argument in written:
                target = kwargs.get(argument, args[at] if at < len(args) else None)
                for number, tensor in enumerate(tensors_in((target,))):
                    self._written(name, plain(tensor), inputs, args, is_random, argument, number)
        else:
            self._made(name, result, inputs, args, kwargs, is_random)
        if self.phase == "forward":
            if name == "convolution":
                self._convolved(plain(args[1]), args[3], bool(args[6]), args[8])
            elif name in PRODUCTS:
                self._used([args[at] for at in PRODUCTS[name]])
            elif name == "glu":
                self._parted(list(plain(args[0]).chunk(2, args[1] if len(args) > 1 else -1)), True)
            elif name in SPLITS or name in JOINS:
                self._parted(list(map(plain, tensors_in((result,) if name in SPLITS else inputs))), name in SPLITS)
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

    def memory_of_factor(self, tensor: Tensor) -> Memory | None:
        """Return the memory of a factor of a product, or what it is a plain copy or some matrices of a stack of."""
        memory, followed = self.memory_of(tensor), COPIES | (PICKS if tensor.dim() > 2 else set())
        while memory is not None and memory.writes and memory.writes[0].phase == "forward":
            first = memory.writes[0]
            if first.operation not in followed or first.source is None:
                break
            memory = first.source
        return memory

    def note_loaded(self, tensor: Tensor) -> None:
        """Note that a tensor from a checkpoint took the place of a parameter."""
        if (memory := self.memory_of(tensor)) is not None:
            self._append(memory, "given", plain(tensor.detach()), "load")

    def note_replaced(self, old: Tensor, new: Tensor) -> None:
        """Note that a parameter gets other memory: by a new parameter of its name, or by its `data`."""
        before, memory = self.memory_of(old), self.memory_of(new)
        if memory is not None and before is not memory:
            memory.before = before

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
            kind, value = "constant", number_of(args[1]) if name == "fill_" and len(args) > 1 else 0.0
        elif name in DRAWS:
            kind, std, value = "draw", std_of(name, args), mean_of(name, args)
        elif argument == "out":
            kind = "draw" if is_random else "computed"
        elif name in PARTS:
            kind = "part"
        else:
            kind, value = "change", number_of(args[1]) if name in ("mul_", "div_") and len(args) > 1 else None
        self._link(memory, sources)
        self._append(memory, kind, tensor, name, value=value, std=std, source=source)

    def _made(self, name: str, result: Any, inputs: list[Tensor], args: tuple, kwargs: dict, is_random: bool) -> None:
        """Record memory that an operation made."""
        for tensor in map(plain, tensors_in((result,))):
            memory = self.memory_of(tensor)
            if memory is None or memory.writes:
                continue  # a view of memory that is known
            if any(each is not tensor and self.memory_of(each) is memory for each in inputs):
                self._append(memory, "given", tensor, name)
            elif name in EMPTY:
                self._fill(tensor)
                source = self.memory_of(inputs[0]) if inputs else None
                self._append(memory, "empty", tensor, name, source=source)
            elif name in CONSTANT:
                known = 0.0 if "zeros" in name else 1.0 if "ones" in name else number_of(args[-1] if args else None)
                self._append(memory, "constant", tensor, name, value=known)
            else:
                self._link(memory, [] if name.endswith("_like") else inputs)  # which takes a shape alone
                source = self.memory_of(inputs[0]) if name in {*COPIES, *REPEATS} and inputs else None
                scaled, factor = self._scaled(name, inputs, args)
                std = STANDARD.get(name) if is_random else scaled and scaled.std and scaled.std * factor
                mean = None if name not in STANDARD else 0.0 if "randn" in name else 0.5
                if scaled is not None and scaled.kind == "constant" and scaled.value is not None:
                    mean = scaled.value * factor
                kind = "draw" if is_random else "computed"
                self._append(
                    memory, kind, tensor, name, value=mean, std=std, source=source, rows=rows_of_index(name, args)
                )

    def _append(self, memory: Memory, kind: str, tensor: Tensor, name: str, **more: Any) -> None:
        size = tensor.untyped_storage().nbytes()
        whole = tensor.numel() * tensor.element_size() >= size and 0 not in tensor.stride()
        rule = calling_rule() if self.phase != "forward" else Rule()
        if rule.presumed and more.get("source") and (loaded := [each for each in memory.writes if each.rule.loading]):
            made_since = more["source"].is_made(self.time - 1, loaded[-1].time)
            rule = replace(rule, loading=not made_since)
        if kind in ("computed", "copy") and self.phase != "forward" and not tensor.is_meta:
            more["value"] = only_value(tensor)
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
                on_meta=tensor.is_meta,
                own_generator=self.own_generator,
                **more,
            )
        )

    def _scaled(self, name: str, inputs: list[Tensor], args: tuple) -> tuple[Write | None, float]:
        """Return the write of the values that a number multiplies, and the number."""
        factor = number_of(args[1]) if name in ("mul", "div") and len(args) > 1 else None
        memory = self.memory_of(inputs[0]) if factor and inputs else None
        lasting = memory.lasting() if memory is not None else []
        if not factor or len(lasting) != 1:
            return None, 1.0
        return lasting[0], factor if name == "mul" else 1 / factor

    def _link(self, memory: Memory, sources: list[Tensor]) -> None:
        for each in sources:
            if (parent := self.memory_of(each)) is not None and parent is not memory:
                memory.parents.append((self.time, parent))

    def _source(self, given: Any, number: int) -> Memory | None:
        tensors = list(tensors_in((given,)))
        return self.memory_of(tensors[min(number, len(tensors) - 1)]) if tensors else None

    def _used(self, factors: list[Tensor]) -> None:
        """Record how a factor of a matrix product lies in memory; a product of two parameters reads no inputs."""
        memories = [self.memory_of_factor(each) for each in factors]
        if all(each is not None and each.is_built() for each in memories):
            return
        for tensor, memory, summed in zip(map(plain, factors), memories, (-1, -2), strict=True):
            if memory is not None and tensor.dim() > 1:
                memory.uses.add(Use(tensor.size(summed), tensor.size(-3 - summed), summed == -2))

    def _convolved(self, kernel: Tensor, stride: list[int], transposed: bool, groups: int) -> None:
        """Record the channels of a kernel: the number that goes in, and that comes out."""
        memory, (ins, outs) = self.memory_of(kernel), (0, 1) if transposed else (1, 0)
        if memory is None:
            return
        channels = kernel.size(ins), kernel.size(outs)
        memory.kernels.add(Use(*channels, second=True))
        inputs, outputs = (channels[0] // groups, channels[1]) if transposed else (channels[0], channels[1] // groups)
        step, size = math.prod(stride), kernel.numel()
        memory.convolved.add(Kernel(inputs, outputs, kernel[0, 0].numel(), groups, step, transposed, size))

    def _parted(self, parts: list[Tensor], apart: bool) -> None:
        """Record that outputs of a product or convolution are split into equal parts, or joined again."""
        memories = {self.memory_of(each) for each in parts}
        sizes = {each.shape for each in parts}
        alike = len(memories) == len(sizes) == 1 and len(parts) > 1 and parts[0].dim() > 1
        memory, first = memories.pop() if alike else None, parts[0] if parts else None
        if memory is None or first is None:
            return
        found = []
        for factor in memory.factors():
            outputs = first.size(-1) * len(parts)
            rows = {use for use in factor.uses if use.second and use.other == outputs and first.stride(-2) >= outputs}
            channels = {use for use in factor.kernels if use.other in [size * len(parts) for size in first.shape[:2]]}
            found += [(factor, use) for use in (*rows, *channels)]
        sure = any(use.other >= len(parts) * use.summed for _, use in found)
        for factor, use in found:
            factor.parts[use] = 0 if not apart else len(parts) if sure else -len(parts)

    def _fill(self, tensor: Tensor) -> None:
        """Fill memory with values that no rule writes."""
        if tensor.is_meta or not tensor.numel():
            return
        if tensor.is_floating_point() or tensor.is_complex():
            tensor.fill_(math.nan)
        elif tensor.dtype in (torch.int32, torch.int64):
            tensor.fill_(RARE)
