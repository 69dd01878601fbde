"""The fans that a rule used, against the fans of what it set."""

import math
import re
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import of_model
from zeroinit._modules.layers import is_conv1d
from zeroinit.audit.building import Observed
from zeroinit.audit.sharding import INPUTS, declared_sizes, whole_numbers
from zeroinit.audit.trace import Memory, Use, Write

__all__ = ["wrong_scale"]

WORDS = {"average": "mean of both fans", "longest": "longer side"}
LEAST_RATIO = 1.5
"""Of fans: smaller differences are left alone, as the square root of 1.5 is 1.22."""
PACKED = {
    3: re.compile(r"qkv|in_proj|query_key_value|c_attn|w_?pack"),
    2: re.compile(r"(^|_)(kv|to_kv|gate_up|up_gate|w12|w13|glu)($|_)|gate_up|kv_proj"),
}
"""Names of layers that hold several projections, one below the other, by their number."""
STACKED = re.compile(r"expert|moe|stack|ensemble|head|bank|branch|member|group", re.IGNORECASE)
KERNEL = re.compile(r"conv|kernel|filter", re.IGNORECASE)
GAINS = (1.0, math.sqrt(2), 1 / math.sqrt(3))
"""Of a linear layer, of ReLU, and of torch's default."""
USUAL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Standard deviations that come from no fan."""


@dataclass(frozen=True)
class Fans:
    """Inputs and outputs of one unit, and how we know."""

    inputs: float
    outputs: float
    why: str

    def of(self, mode: str) -> float:
        """Return what a rule of this mode divides by."""
        known = {"fan_in": self.inputs, "fan_out": self.outputs, "longest": max(self.inputs, self.outputs)}
        return known.get(mode, (self.inputs + self.outputs) / 2)


def wrong_scale(observed: Observed, full: dict[str, tuple[int, ...]] | None = None, world: int = 1) -> list[Finding]:
    """Return a finding for each parameter whose last draw took the fan from another shape than that of its layers.

    Args:
        observed: A built model.
        full: Shapes of whole parameters by name, where the model holds shards of them.
        world: How many ranks there are.
    """
    found = []
    for name, parameter in observed.parameters.items():
        memory = observed.memory(parameter)
        if memory is None or parameter.dim() < 2:
            continue
        if (twice := _scaled_twice(memory)) is not None:
            found.append(_twice(name, twice))
        right = _right_fans(observed, name, parameter, memory, (full or {}).get(name), world)
        for write in _draws(memory) if right else ():
            if write.rule.mode == "longest" and isinstance(observed.owner(name), _ConvNd):
                continue
            told = _compared(name, memory, write, right)
            if told is not None:
                found += _finding(observed, name, write, *told, right)
                break
    return found


def _draws(memory: Memory) -> list[Write]:
    """Return the draws whose values are there at the end, those of a temporary tensor that was copied included."""
    found = []
    for each in memory.lasting():
        drawn = each
        if each.kind == "copy" and not each.rule.loading and each.source is not None and not each.rule.mode:
            drawn = next((one for one in each.source.lasting(each.time) if one.sizes == each.sizes), each)
        if drawn.rule.mode or drawn.std is not None:
            found.append(drawn)
    return found


def _factor(memory: Memory, draw: Write) -> float:
    """Return by how much a gain, and numbers after a draw, multiply its values."""
    factor = draw.rule.gain
    for each in memory.history():
        if each.kind == "change" and each.time > draw.time and not each.rule.label and each.value:
            factor *= each.value if each.operation == "mul_" else 1 / each.value
    return abs(factor)


def _compared(name: str, memory: Memory, write: Write, right: list[Fans]) -> tuple[str, str] | None:
    """Return the mode of a rule, and say which fan was used and which is right, if every right one is far from it."""
    rule = write.rule
    shape = rule.shape or write.sizes
    if len(shape) < 2:
        return None
    field = math.prod(shape[2:])
    taken = Fans(shape[1] * field, shape[0] * (field if rule.mode != "longest" else 1), "")
    mode = rule.mode or _mode_by_hand(write.std or 0.0, taken, right)
    used = taken.of(mode) if mode else 0.0
    if not used:
        return None
    squares = {1.0, _factor(memory, write) ** 2}
    ratios = [used / each.of(mode) / square for each in right for square in squares]
    if any(1 / LEAST_RATIO < ratio < LEAST_RATIO for ratio in ratios):
        return None
    best = min(right, key=lambda each: abs(math.log(used / each.of(mode))))
    fan, word = best.of(mode), WORDS.get(mode, mode.replace("_", "-"))
    times = math.sqrt(fan / used)
    return mode, (
        f"`{name}` has {times:.3g} times the scale that {rule} means: the {word} is taken as {used:g} from the shape "
        f"{tuple(shape)}, and is {fan:g} ({best.why})."
    )


def _mode_by_hand(std: float, taken: Fans, right: list[Fans]) -> str:
    """Return which fan of a shape a standard deviation comes from, if it fits no right fan and is no usual number."""
    modes = ("fan_in", "fan_out", "average")
    if any(math.isclose(std, each, rel_tol=1e-6) for each in USUAL) or not std:
        return ""
    if any(_fits(std, each.of(mode)) for each in right for mode in modes):
        return ""
    return next((mode for mode in modes if _fits(std, taken.of(mode))), "")


def _fits(std: float, fan: float) -> bool:
    return any(math.isclose(std, gain / math.sqrt(fan), rel_tol=1e-4) for gain in GAINS)


def _finding(observed: Observed, name: str, write: Write, mode: str, message: str, right: list[Fans]) -> list[Finding]:
    owner, by_torch = observed.owner(name), write.rule.origin == "library" or "." in write.rule.label
    target, rule = of_model(name), write.rule.label or "xavier_uniform_"
    if "packs" in right[0].why:
        parts = 3 if "3" in right[0].why else 2
        rule = rule.rpartition(".")[2] if not by_torch else "xavier_uniform_"
        repair = f"Draw each part alone: `for part in {target}.chunk({parts}): nn.init.{rule}(part)`."
    elif "stacks" in right[0].why:
        repair = f"Draw each matrix alone: `for matrix in {target}: nn.init.{rule}(matrix)`."
    else:
        repair = f"Divide by the right fan: `nn.init.normal_({target}, std={right[0].of(mode) ** -0.5:.3g})`."
    if isinstance(owner, nn.MultiheadAttention) and (by_torch or _is_for_many(observed, write)):
        return [finding("ZI251", name.rpartition(".")[0], [name], message, repair)]
    return [] if by_torch else [finding("ZI205", name.rpartition(".")[0], [name], message, repair)]


def _scaled_twice(memory: Memory) -> Write | None:
    """Return a multiplication by one number that one line made twice, as where two names share a parameter."""
    seen: dict[tuple, Write] = {}
    for each in memory.history():
        if each.sets:
            seen = {}
        elif each.kind == "change" and each.value not in (None, 1.0) and each.rule.site[1] and not each.rule.label:
            key = (each.rule.site, each.value, each.phase, each.sizes, each.offset)
            if key in seen:
                return each
            seen[key] = each
    return None


def _twice(name: str, write: Write) -> Finding:
    message = f"`{name}` is multiplied by {write.value:g} twice: {write.rule} runs again on the same memory."
    repair = "Go over each parameter once: `model.named_parameters()` leaves out the second name of a tied one."
    return finding("ZI205", name.rpartition(".")[0], [name], message, repair)


def _is_for_many(observed: Observed, write: Write) -> bool:
    """Whether one line draws this parameter and those of other modules."""
    others = set()
    for name, parameter in observed.parameters.items():
        memory = observed.memory(parameter)
        if memory is not None and any(each.rule.site == write.rule.site for each in memory.writes):
            others.add(name.rpartition(".")[0])
    return len(others) > 1


def _right_fans(
    observed: Observed, name: str, parameter: Tensor, memory: Memory, full: tuple[int, ...] | None, world: int
) -> list[Fans]:
    """Return every pair of fans that may be meant; none where nothing is known of the layer."""
    owner, shape = observed.owner(name), tuple(parameter.shape)
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag | nn.RNNBase | nn.RNNCellBase):
        return []
    if full is not None and full != shape and len(full) == len(shape):
        return [*_either(full[-1], full[-2], f"the whole parameter has the shape {full}, of which this is a shard")]
    if isinstance(owner, _ConvNd):
        return _of_convolution(owner)
    if len(shape) == 2:
        declared = _declared(observed, name, owner, shape, world)
        packed = _packed(name, owner, shape)
        return declared or packed or _of_matrix(owner, shape, memory.uses)
    if len(shape) == 3 and not _is_kernel(owner, name, shape, memory.uses):
        return _either(shape[1], shape[2], f"the parameter stacks {shape[0]} matrices")
    return []


def _of_convolution(layer: _ConvNd) -> list[Fans]:
    kernel, groups = math.prod(layer.kernel_size), layer.groups
    fans = layer.in_channels // groups * kernel, layer.out_channels // groups * kernel
    why = f"{groups} groups with {layer.in_channels // groups} inputs and {layer.out_channels // groups} outputs each"
    if groups == 1:
        why = f"{layer.in_channels} inputs, {layer.out_channels} outputs, a kernel of {kernel}"
    found = [Fans(*fans, why)]
    if isinstance(layer, _ConvTransposeNd):
        stride = math.prod(layer.stride)
        found += [Fans(fans[0] / stride, fans[1], why), Fans(fans[1], fans[0], why)] if stride > 1 else []
    return found


def _of_matrix(owner: nn.Module, shape: tuple[int, ...], uses: set[Use]) -> list[Fans]:
    """Return the fans of a matrix: as its layer stores it, as the forward pass reads it, or either way round."""
    rows, columns = shape
    if isinstance(owner, nn.Linear):
        return [Fans(columns, rows, f"{columns} inputs, {rows} outputs")]
    if is_conv1d(owner):
        return [Fans(rows, columns, f"the layer stores its {rows} inputs first, its {columns} outputs second")]
    seen = {(use.summed, use.other) for use in uses if {use.summed, use.other} == {rows, columns}}
    if len(seen) == 1 and rows != columns:
        inputs, outputs = seen.pop()
        return [Fans(inputs, outputs, f"the forward pass sums over {inputs} values")]
    declared = [size for key in INPUTS if isinstance(size := getattr(owner, key, None), int)]
    if rows != columns and declared and declared[0] in shape:
        inputs = declared[0]
        return [Fans(inputs, rows + columns - inputs, f"the layer has {inputs} inputs")]
    return _either(rows, columns, f"a matrix of {rows} by {columns}")


def _either(rows: int, columns: int, why: str) -> list[Fans]:
    return [Fans(columns, rows, why), Fans(rows, columns, why)]


def _packed(name: str, owner: nn.Module, shape: tuple[int, ...]) -> list[Fans]:
    """Return the fans of each part of a projection for several things at once."""
    attribute = name.rpartition(".")[2]
    if isinstance(owner, nn.MultiheadAttention):
        called = attribute if attribute == "in_proj_weight" else ""
    else:
        called = ".".join(name.split(".")[-2:]) if attribute == "weight" else attribute
    words = called.removesuffix("_weight").removesuffix(".weight").lower()
    outputs, inputs = shape if not is_conv1d(owner) else shape[::-1]
    for parts, pattern in PACKED.items():
        if not words or not pattern.search(words):
            continue
        why = f"the parameter packs {parts} projections"
        if outputs % parts == 0 and (parts == 2 or outputs == parts * inputs):
            return [Fans(inputs, outputs / parts, why)]
        if parts == 3 and "kv" in words and inputs < outputs < 3 * inputs:  # fewer heads of keys and values
            return [Fans(inputs, inputs, why), Fans(inputs, (outputs - inputs) / 2, why)]
    return []


def _declared(observed: Observed, name: str, owner: nn.Module, shape: tuple[int, ...], world: int) -> list[Fans]:
    whole = declared_sizes(observed, name, shape, world)
    if whole is None:
        return []
    return _either(whole[0], whole[1], f"`{type(owner).__name__}` holds a shard of a parameter of {whole}")


def _is_kernel(owner: nn.Module, name: str, shape: tuple[int, ...], uses: set[Use]) -> bool:
    """Whether three axes are those of a convolution, and no stack of matrices."""
    if any(use.summed in shape[1:] and use.other in shape[1:] for use in uses):
        return False
    words = f"{type(owner).__name__} {name}"
    if STACKED.search(words) or any(STACKED.search(key) and value == shape[0] for key, value in whole_numbers(owner)):
        return False
    return KERNEL.search(words) is not None or (shape[2] <= 7 and shape[2] % 2 == 1)
