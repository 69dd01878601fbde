"""The fans that the units of a parameter have: as its layer, the forward pass, the whole parameter or a name tells."""

import math
import re
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from zeroinit._modules.layers import is_conv1d
from zeroinit.audit.building import Observed
from zeroinit.audit.memory import Kernel, Memory, Use, Write
from zeroinit.audit.sharding import INPUTS, declared_sizes, whole_numbers

__all__ = ["Fans", "right_fans"]

PACKED = {
    3: re.compile(r"qkv|in_proj|query_key_value|c_attn|w_?pack"),
    2: re.compile(r"(^|_)(kv|to_kv|gate_up|up_gate|w12|w13|glu)($|_)|gate_up|kv_proj"),
}
"""Names of layers that hold several projections, one below the other, by their number."""
RECURRENT = re.compile(r"lstm|gru|rnn|cell|recurrent", re.IGNORECASE)
"""Types of modules that hold the matrices of several gates, one below the other."""
STACKED = re.compile(r"expert|moe|stack|ensemble|head|bank|branch|member|group", re.IGNORECASE)
ROLES = "summed", "free"
KERNEL = re.compile(r"conv|kernel|filter", re.IGNORECASE)


@dataclass(frozen=True)
class Fans:
    """Inputs and outputs of one unit, and how we know.

    Attributes:
        inputs: How many values a unit sums over.
        outputs: How many units read one input.
        why: How we know.
        first: Whether the inputs' axis is known to be the first one of the matrix.
        stored: Whether only the axes are known: the second one counts as that of the inputs, as for rules of torch.
    """

    inputs: float
    outputs: float
    why: str
    first: bool = False
    stored: bool = False

    def of(self, mode: str) -> float:
        """Return what a rule of this mode divides by."""
        known = {"fan_in": self.inputs, "fan_out": self.outputs, "longest": max(self.inputs, self.outputs)}
        return known.get(mode, (self.inputs + self.outputs) / 2)

    def readings(self, mode: str) -> list[float]:
        """Return all that a rule of this mode may mean: fan-out of a matrix with its inputs first is its fan-in."""
        return [self.of(mode), *([self.inputs] if self.first and mode == "fan_out" else [])]

    def for_write(self, write: Write, axes: int) -> "Fans":
        """Return the fans as a rule sees them that was handed the transposed matrix."""
        turned = axes == 2 and len(write.strides) == 2 and write.strides[0] < write.strides[1]
        return replace(self, inputs=self.outputs, outputs=self.inputs) if self.stored and turned else self


def right_fans(
    observed: Observed, name: str, parameter: Tensor, memory: Memory, full: tuple[int, ...] | None, world: int
) -> list[Fans]:
    """Return every pair of fans that may be meant; none where nothing is known of the layer."""
    owner, shape = observed.owner(name), tuple(parameter.shape)
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag):
        return []
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        gates = shape[0] // owner.hidden_size
        return [Fans(shape[1], shape[0] / gates, f"the parameter packs {gates} projections")] if gates > 1 else []
    if isinstance(owner, _ConvNd):
        if full in (None, shape):
            return _of_convolution(observed, name, owner, memory)
        return _of_shard(owner, full, shape) if full is not None else []
    if len(memory.convolved) == 1 and full in (None, shape):
        kernel = next(iter(memory.convolved))
        return _of_kernel(kernel) if kernel.size == parameter.numel() else []
    if full is not None and len(full) == len(shape) and full[-2:] != shape[-2:]:
        why = _why_shard(full)
        first = len(full) == 2 and is_conv1d(owner)
        return [_stored(full, why) if not first else Fans(full[0], full[1], why, first)]
    if len(shape) == 2:
        declared = _declared(observed, name, owner, shape, world)
        packed = _packed(observed, name, shape) or _split(observed, name, shape, memory)
        return declared or packed or _of_matrix(owner, parameter, memory)
    if len(shape) == 3 and not _is_kernel(observed, name, shape, memory):
        why = f"the parameter stacks {shape[0]} matrices"
        vectors = 1 in shape[:2]  # a learned query or a table of positions, which no layer multiplies by
        used = [] if vectors else _by_sums(parameter, memory, f"{why}, and ")
        used = used or _by_use(shape[1:], memory.uses, f"{why}, and ", vectors)
        return used or ([] if vectors or _may_be_heads(observed, name, shape, memory) else _either(*shape[1:], why))
    return _by_axes(parameter, memory) if len(shape) > 3 else []


def _of_convolution(observed: Observed, name: str, layer: _ConvNd, memory: Memory) -> list[Fans]:
    kernel, groups = math.prod(layer.kernel_size), layer.groups
    if groups == 1 and not isinstance(layer, _ConvTransposeNd):
        channels = layer.out_channels, layer.in_channels
        packed = _packed(observed, name, channels) or _split(observed, name, channels, memory)
        if packed:
            return [replace(each, inputs=each.inputs * kernel, outputs=each.outputs * kernel) for each in packed]
    transposed, stride = isinstance(layer, _ConvTransposeNd), math.prod(layer.stride)
    return _of_kernel(
        Kernel(layer.in_channels // groups, layer.out_channels // groups, kernel, groups, stride, transposed)
    )


def _of_shard(layer: _ConvNd, full: tuple[int, ...], shape: tuple[int, ...]) -> list[Fans]:
    """Return the fans of the whole convolution of which a layer holds some channels."""
    if layer.groups > 1 or isinstance(layer, _ConvTransposeNd) or full[2:] != shape[2:]:
        return []
    kernel = math.prod(layer.kernel_size)
    return [Fans(full[1] * kernel, full[0] * kernel, _why_shard(full), stored=True)]


def _why_shard(full: tuple[int, ...]) -> str:
    return f"the whole parameter has the shape {full}, of which this is a shard"


def _of_kernel(kernel: Kernel) -> list[Fans]:
    fans = kernel.inputs * kernel.positions, kernel.outputs * kernel.positions
    why = f"{kernel.groups} groups with {kernel.inputs} inputs and {kernel.outputs} outputs each"
    if kernel.groups == 1:
        why = f"{kernel.inputs} inputs, {kernel.outputs} outputs, a kernel of {kernel.positions}"
    stride, found = kernel.stride, [Fans(*fans, why)]
    if kernel.transposed:
        found += [Fans(fans[0] / stride, fans[1], why), Fans(fans[1], fans[0], why)] if stride > 1 else []
    elif stride > 1:  # an input meets few positions of the kernel; where patches do not overlap, one
        found.append(Fans(fans[0], fans[1] / min(stride, kernel.positions), why))
    return found


def _of_matrix(owner: nn.Module, matrix: Tensor, memory: Memory) -> list[Fans]:
    """Return the fans of a matrix: as its layer stores it, as the forward pass reads it, or either way round."""
    rows, columns = matrix.shape
    if isinstance(owner, nn.Linear):
        return [Fans(columns, rows, f"{columns} inputs, {rows} outputs")]
    if is_conv1d(owner):
        return [Fans(rows, columns, f"the layer stores its {rows} inputs first, its {columns} outputs second", True)]
    if used := _by_use((rows, columns), memory.uses) or _by_sums(matrix, memory):
        return used
    declared = [size for key in INPUTS if isinstance(size := getattr(owner, key, None), int)]
    if rows != columns and declared and declared[0] in (rows, columns):
        inputs = declared[0]
        return [Fans(inputs, rows + columns - inputs, f"the layer has {inputs} inputs", inputs == rows)]
    return _either(rows, columns, f"a matrix of {rows} by {columns}")


def _by_use(shape: tuple[int, ...], uses: set[Use], why: str = "", second: bool = False) -> list[Fans]:
    """Return the fans of a matrix (rows, columns), if the forward pass shows over which axis it sums.

    With ``second``, only what inputs are multiplied by counts.
    """
    uses = {use for use in uses if use.second} if second else uses
    seen = {(use.summed, use.other) for use in uses if {use.summed, use.other} == set(shape)}
    if len(seen) != 1 or shape[0] == shape[1]:
        return []
    inputs, outputs = seen.pop()
    return [Fans(inputs, outputs, f"{why}the forward pass sums over {inputs} values", inputs == shape[0])]


def _by_sums(parameter: Tensor, memory: Memory, why: str = "") -> list[Fans]:
    """Return the fans of a matrix or of a stack, if the forward pass shows which axes it sums over.

    The first ones are right. Those without a reason are accepted: the fans of one matrix of the stack, or of all.
    """
    sizes, seen = parameter.shape, {_roles(parameter, axes) for axes in memory.sums} - {None}
    roles = seen.pop() if len(seen) == 1 else ()
    summed, free = ([size for size, role in zip(sizes, roles or (), strict=False) if role == each] for each in ROLES)
    if not roles or not summed or not free:
        return []
    inputs, outputs = math.prod(summed), math.prod(free)
    told = f"the forward pass sums over {inputs} values"
    if len(roles) == 2 or {*roles[1:]} != {*ROLES}:
        return [Fans(inputs, outputs, told, roles[0] == "summed")]
    first = roles[1] == "summed"
    alone = Fans(sizes[1 if first else 2], sizes[2 if first else 1], f"{why}{told}", first)
    if roles[0] == "summed":
        return [Fans(inputs, outputs, f"{told}, those of all {sizes[0]} matrices", first), replace(alone, why="")]
    return [alone, replace(alone, outputs=outputs, why="")]


def _by_axes(parameter: Tensor, memory: Memory) -> list[Fans]:
    """Return the fans of a parameter with more axes, as of layers and of heads.

    Accepted are those of one summed axis, and those of one matrix in the last two axes.
    """
    seen = {_roles(parameter, axes) for axes in memory.sums} - {None}
    pairs = [*zip(parameter.shape, seen.pop() or (), strict=True)] if len(seen) == 1 else []
    summed, free = ([size for size, role in pairs if role == each] for each in ROLES)
    inputs, outputs = math.prod(summed), math.prod(free)
    told = Fans(inputs, outputs, f"the forward pass sums over {inputs} values")
    alone = [Fans(each, outputs, "") for each in summed]
    if [role for _, role in pairs[-2:]] == [*ROLES]:
        alone.append(Fans(pairs[-2][0], pairs[-1][0], ""))
    return [told, *alone] if summed and free else []


def _roles(parameter: Tensor, axes: tuple[tuple[int, int, str], ...]) -> tuple[str, ...] | None:
    """Return the role of each axis of a parameter in a product; ``None`` if it cannot be told."""
    found = []
    for stride in parameter.stride():
        within = {role for step, size, role in axes if step <= stride < step * size}
        if len(within) > 1:
            return None
        found.append(within.pop() if within else "shared")
    return tuple(found)


def _stored(whole: tuple[int, ...], why: str) -> Fans:
    """Return the fans of a whole matrix by its axes: a rule that takes an axis of a shard means that of the whole."""
    return Fans(whole[-1], whole[-2], why, stored=True)


def _either(rows: int, columns: int, why: str) -> list[Fans]:
    return [Fans(columns, rows, why), Fans(rows, columns, why)]


def _packed(observed: Observed, name: str, shape: tuple[int, ...]) -> list[Fans]:
    """Return the fans of each part of a projection for several things at once."""
    owner, attribute = observed.owner(name), name.rpartition(".")[2]
    if isinstance(owner, nn.MultiheadAttention):
        called = attribute if attribute == "in_proj_weight" else ""
    else:
        called = ".".join(name.split(".")[-2:]) if attribute == "weight" else attribute
    words = called.removesuffix("_weight").removesuffix(".weight").lower()
    outputs, inputs = shape if not is_conv1d(owner) else shape[::-1]
    for parts, pattern in PACKED.items():
        if not words or not pattern.search(words) or ("up" in words and _is_beside_its_like(observed, name, shape)):
            continue
        why = f"the parameter packs {parts} projections"
        if outputs % parts == 0 and (parts == 2 or outputs == parts * inputs):
            return [Fans(inputs, outputs / parts, why, is_conv1d(owner))]
        if parts == 3 and "kv" in words and inputs < outputs < 3 * inputs:  # fewer heads of keys and values
            return [Fans(inputs, inputs, why), Fans(inputs, (outputs - inputs) / 2, why)]
    return []


def _is_beside_its_like(observed: Observed, name: str, shape: tuple[int, ...]) -> bool:
    """Whether a dense layer of the same shape stands beside this one: the other half of a gated block."""
    around, owner = observed.model.get_submodule(".".join(name.split(".")[:-2])), observed.owner(name)
    return any(
        tuple(each.weight.shape) == shape
        for each in around.children()
        if type(each) is type(owner) is nn.Linear and each is not owner
    )


def _split(observed: Observed, name: str, shape: tuple[int, ...], memory: Memory) -> list[Fans]:
    """Return the fans of each part that the forward pass splits outputs into, or of each gate of a recurrent cell."""
    rows, columns = shape
    why = "the parameter packs {} projections"
    path = name.split(".")[:-1]
    is_layer = isinstance(observed.owner(name), nn.Linear | _ConvNd)
    owner = observed.model.get_submodule(".".join(path[: len(path) - is_layer]))
    is_recurrent = RECURRENT.search(type(owner).__name__) and not type(owner).__module__.startswith("torch.")
    for use, parts in memory.parts.items():
        if (parts > 0 or (parts and is_recurrent)) and {use.summed, use.other} == {rows, columns}:
            outputs = use.other / abs(parts)
            return [Fans(use.summed, outputs, why.format(abs(parts)), use.summed == rows != columns)]
    experts = {value for key, value in whole_numbers(owner) if "expert" in key}
    for use in memory.uses:  # a matrix that is viewed as a stack
        if use.second and use.summed == columns and any(each > 1 and rows == each * use.other for each in experts):
            return [Fans(columns, use.other, why.format(rows // use.other))]
    if not is_recurrent:
        return []
    members = [*owner._parameters.values(), *(each.weight for each in owner.children() if isinstance(each, nn.Linear))]
    beside = [tuple(each.shape) for each in members if each is not None and each.dim() == 2]
    for gates in (4, 3):
        for axis in (0, 1):
            outputs, inputs = shape[axis], shape[1 - axis]
            same = [each for each in beside if each[axis] == outputs]
            if any(each[1 - axis] == outputs != inputs for each in beside):
                continue  # a layer reads all of them: a feed-forward block, where no gates are
            if len(same) > 1 and len(same) % 2 == 0 and any(outputs == gates * each[1 - axis] for each in same):
                return [Fans(inputs, outputs / gates, why.format(gates), axis == 1)]
    return []


def _declared(observed: Observed, name: str, owner: nn.Module, shape: tuple[int, ...], world: int) -> list[Fans]:
    whole = declared_sizes(observed, name, shape, world)
    if whole is None:
        return []
    return [_stored(whole, f"`{type(owner).__name__}` holds a shard of a parameter of {whole}")]


def _may_be_heads(observed: Observed, name: str, shape: tuple[int, ...], memory: Memory) -> bool:
    """Whether three axes may be inputs, heads and sizes of a head: the first is the longest, and nothing says stack."""
    words = f"{type(observed.owner(name)).__name__} {name}".lower().replace("head", "")
    multiplied, _ = _use_of_mixtures(observed, memory, {*shape[1:]})
    return shape[0] > max(shape[1:]) and not multiplied and not STACKED.search(words)


def _is_kernel(observed: Observed, name: str, shape: tuple[int, ...], memory: Memory) -> bool:
    """Whether three axes are those of a convolution, and no stack of matrices."""
    multiplied, convolved = _use_of_mixtures(observed, memory, {*shape[1:]})
    if memory.sums or multiplied:
        return False
    owner = observed.owner(name)
    words = f"{type(owner).__name__} {name}"
    if STACKED.search(words) or any(STACKED.search(key) and value == shape[0] for key, value in whole_numbers(owner)):
        return False
    declared = any("kernel" in key and value == shape[2] for key, value in whole_numbers(owner))
    called = KERNEL.search(words) is not None and shape[2] <= shape[0]  # as many outputs as positions, or more
    return convolved or declared or called or (shape[2] <= 7 and shape[2] % 2 == 1)


def _use_of_mixtures(observed: Observed, memory: Memory, sizes: set[int]) -> tuple[bool, bool]:
    """Return whether a stack, or what the forward pass mixes from it and other parameters, is multiplied or convolved.

    A product counts if it reads matrices of these sizes.
    """
    multiplied = convolved = False
    for each in observed.recorder.memories.values():
        by_product = any({use.summed, use.other} == sizes for use in each.uses)
        if by_product or each.kernels:
            read = {each: 0, **each.ancestors()}
            if memory in read and all(parent.is_built() or parent.parents for parent in read):
                multiplied, convolved = multiplied or by_product, convolved or bool(each.kernels)
    return multiplied, convolved
