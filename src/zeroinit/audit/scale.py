"""The fans that a rule used, against the fans of what it set."""

import math
import re

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from zeroinit._findings.finding import Finding, finding
from zeroinit._findings.naming import of_model
from zeroinit.audit.building import Observed
from zeroinit.audit.fans import RECURRENT as GATED
from zeroinit.audit.fans import Fans, right_fans
from zeroinit.audit.memory import Memory, Write
from zeroinit.audit.repairs import UNIFORM, rule_again, with_std
from zeroinit.audit.rules import Rule, source_around

__all__ = ["wrong_scale"]

WORDS = {"average": "mean of both fans", "longest": "longer side"}
RECURRENT = nn.RNNBase | nn.RNNCellBase
Told = tuple[str, Fans, float, str]
"""The mode of a rule, the right fans, the factor, and a sentence."""
LEAST_RATIO = 1.5
"""Of fans: smaller differences are left alone, as the square root of 1.5 is 1.22."""
GAINS = (1.0, math.sqrt(2), 1 / math.sqrt(3))
"""Of a linear layer, of ReLU, and of torch's default."""
SMALL_INIT = math.sqrt(2 / 5)
"""Gain of `sqrt(2 / (5 * d))`, which takes the width of the model, and meets the mean of both fans of (d, 4 d)."""
MEANS_INPUTS, MEANS_OUTPUTS = (
    re.compile(r"\b(size|shape)\b|fan_?in", re.IGNORECASE),
    re.compile(r"fan_?out|out(put)?_?(features|channels|planes|dim|size)|n_?out\b", re.IGNORECASE),
)
"""Words of code that reads the inputs off a weight, and of code for which the number of outputs is meant."""
USUAL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Standard deviations that come from no fan."""


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
        whole = (full or {}).get(name)
        right = right_fans(observed, name, parameter, memory, whole, world)
        for write in _draws(memory) if right else ():
            if write.rule.mode == "longest" and isinstance(observed.owner(name), _ConvNd):
                continue
            if _is_by_torch(write) and whole is not None and not _is_even(whole, tuple(parameter.shape), world):
                continue
            fans = [each.for_write(write, parameter.dim()) for each in right]
            told = _compared(name, memory, write, [*fans, *_of_block(write, parameter.numel(), fans)])
            told = told or _by_outputs(observed, name, write, fans)
            if told is not None:
                found += _finding(observed, name, write, *told)
                break
    return found


def _is_by_torch(write: Write) -> bool:
    """Whether a layer of torch sets its default."""
    return write.rule.origin == "library" or "." in write.rule.label


def _is_even(whole: tuple[int, ...], shard: tuple[int, ...], world: int) -> bool:
    """Whether the ranks, or equal groups of them, hold the parts of a whole parameter: no other layer of this name."""
    return all(
        size > 0 and world % math.ceil(all_of_it / size) == 0 for all_of_it, size in zip(whole, shard, strict=True)
    )


def _of_block(write: Write, total: int, right: list[Fans]) -> list[Fans]:
    """Return the fans of a part of the units, where a rule draws the parts of a parameter one by one."""
    shape = write.rule.shape or write.sizes
    if len(shape) < 2 or math.prod(shape) >= total:
        return []
    one, other = shape[1] * math.prod(shape[2:]), shape[0] * math.prod(shape[2:])
    pairs = [(each, *pair) for each in right for pair in ((one, other), (other, one))]
    return [
        Fans(inputs, outputs, each.why, each.first)
        for each, inputs, outputs in pairs
        if inputs == each.inputs and outputs < each.outputs
    ]


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


def _compared(name: str, memory: Memory, write: Write, right: list[Fans]) -> Told | None:
    """Return the mode of a rule, the right fans, the factor and a sentence, if every right fan is far from its own."""
    rule = write.rule
    shape = rule.shape or write.sizes
    if len(shape) < 2:
        return None
    field = math.prod(shape[2:])
    taken = Fans(shape[1] * field, shape[0] * (field if rule.mode != "longest" else 1), "")
    mode = rule.mode or _mode_by_hand(write.std or 0.0, taken, right)
    if len(shape) > 3 and rule.mode and any("sums over" in each.why for each in right):
        return None  # which axes such a rule means is not known
    if not mode and len(shape) >= 3:  # the last axis of a stack, taken by hand
        taken = Fans(shape[-1], shape[1] if len(shape) == 3 else shape[-1], "")
        mode = _mode_by_hand(write.std or 0.0, taken, right)
    used = taken.of(mode) if mode else 0.0
    if not used:
        return None
    squares = {1.0, _factor(memory, write) ** 2}
    ratios = [used / fan / square for each in right for fan in each.readings(mode) for square in squares]
    if any(1 / LEAST_RATIO < ratio < LEAST_RATIO for ratio in ratios):
        return None
    best = min((each for each in right if each.why), key=lambda each: abs(math.log(used / each.of(mode))))
    return _told(name, rule, mode, used, best, shape)


def _told(name: str, rule: Rule, mode: str, used: float, best: Fans, shape: tuple[int, ...]) -> Told:
    fan, word = best.of(mode), WORDS.get(mode, mode.replace("_", "-"))
    times = math.sqrt(fan / used)
    message = (
        f"`{name}` has {times:.3g} times the scale that {rule} means: the {word} is taken as {used:g} from the shape "
        f"{tuple(shape)}, and is {fan:g} ({best.why})."
    )
    return mode, best, times, message


def _by_outputs(observed: Observed, name: str, write: Write, right: list[Fans]) -> Told | None:
    """Tell of a layer whose uniform bound is 1 / sqrt(number of outputs), where the code means that of the inputs.

    A bound that biases or layers with other outputs have, too, is one for all of them.
    """
    owner, outputs = observed.owner(name), len(observed.parameters[name])
    if not isinstance(owner, nn.Linear | _ConvNd) or isinstance(owner, _ConvTransposeNd) or write.rule.mode:
        return None
    same, best = _fits(write.std or 0.0, outputs, GAINS[2:]), right[0]
    if not same or write.operation not in UNIFORM or 1 / LEAST_RATIO < outputs / best.inputs < LEAST_RATIO:
        return None
    code, bound = source_around(write.rule.site), f"{outputs**-0.5:.6g}".lstrip("0")
    if not MEANS_INPUTS.search(code) or MEANS_OUTPUTS.search(code) or re.search(rf"{re.escape(bound)}(?!\d)", code):
        return None
    parent = observed.model.get_submodule(".".join(name.split(".")[:-2]))
    if GATED.search(type(parent).__name__) or _is_shared(observed, name, write):
        return None
    return _told(name, write.rule, "fan_in", outputs, best, tuple(observed.parameters[name].shape))


def _is_shared(observed: Observed, name: str, write: Write) -> bool:
    """Whether a line, or another one, gives the bound of a layer to what has another number of inputs or outputs."""
    outputs = len(observed.parameters[name])
    for key, each in observed.parameters.items():
        memory = observed.memory(each)
        for draw in memory.lasting() if memory is not None and key != name else ():
            if draw.rule.origin == "library" or not math.isclose(draw.std or 0.0, write.std or 0.0, rel_tol=1e-4):
                continue
            one_line = (draw.rule.site, draw.rule.caller) == (write.rule.site, write.rule.caller)
            if each.dim() < 2 or len(each) != outputs or (one_line and each[0].numel() == outputs):
                return True
    return False


def _mode_by_hand(std: float, taken: Fans, right: list[Fans]) -> str:
    """Return which fan of a shape a standard deviation comes from, if it fits no right fan and is no usual number."""
    modes = ("fan_in", "fan_out", "average")
    if any(math.isclose(std, each, rel_tol=1e-6) for each in USUAL) or not std:
        return ""
    for each in right:  # a bound of 1 / sqrt(fan-in) is torch's; nobody means it for the fan-out
        gains = {mode: GAINS[: 2 if each.first and mode == "fan_out" else 3] for mode in modes}
        if any(_fits(std, each.of(mode), (*gains[mode], SMALL_INIT)) for mode in modes):
            return ""
    return next((mode for mode in modes if _fits(std, taken.of(mode), GAINS)), "")


def _fits(std: float, fan: float, gains: tuple[float, ...]) -> bool:
    return any(math.isclose(std, gain / math.sqrt(fan), rel_tol=1e-4) for gain in gains)


def _finding(
    observed: Observed, name: str, write: Write, mode: str, right: Fans, times: float, message: str
) -> list[Finding]:
    owner, by_torch = observed.owner(name), _is_by_torch(write)
    target, alone = of_model(name), rule_again(write, "{}") if write.rule.mode and not by_torch else ""
    packs = re.search(r"packs (\d+)", right.why)
    if isinstance(owner, nn.MultiheadAttention) and by_torch:
        alone = "nn.init.xavier_uniform_({})"
    if packs and alone:
        parts = f"{packs[1]}, 1" if right.first else packs[1]
        repair = f"Draw each part alone: `for part in {target}.chunk({parts}): {alone.format('part')}`."
    elif "stacks" in right.why and alone:
        data, matrix = (".data", "matrix.t()") if right.first and mode != "average" else ("", "matrix")
        unknown = mode != "average" and "sums over" not in right.why
        turned = ", as `matrix.t()` if its inputs come first" if unknown else ""
        repair = f"Draw each matrix alone{turned}: `for matrix in {target}{data}: {alone.format(matrix)}`."
    elif "those of all" in right.why and alone and (right.first or mode == "fan_in"):
        all_of_them = ".data.flatten(0, 1).t()" if right.first else ".data.transpose(0, 1)"
        repair = f"Draw all matrices as one: `{alone.format(target + all_of_them)}`."
    else:
        std = write.std / times if write.std else right.of(mode) ** -0.5
        repair = f"Take the right fan: `{with_std(write, target, std)}`."
    as_torch, drawn = write.rule.label == "xavier_uniform_" and write.rule.gain == 1, _drawn_by(observed, write)
    of_attention = isinstance(owner, nn.MultiheadAttention) and (by_torch or as_torch or len(drawn) > 1)
    of_gates = isinstance(owner, RECURRENT) and not by_torch  # Keras draws all gates as one matrix
    if of_attention or of_gates:
        return [finding("ZI251", name.rpartition(".")[0], [name], message, repair)]
    return [] if by_torch and not right.stored else [finding("ZI205", name.rpartition(".")[0], [name], message, repair)]


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


def _drawn_by(observed: Observed, write: Write) -> set[nn.Module]:
    """Return the modules whose parameters the line of a write draws."""
    memories = {name: observed.memory(each) for name, each in observed.parameters.items()}
    return {
        observed.owner(name)
        for name, memory in memories.items()
        if memory is not None and any(each.rule.site == write.rule.site for each in memory.writes)
    }
