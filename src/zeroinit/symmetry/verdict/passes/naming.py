"""How places are named in messages, and how repairs are written: as lines to type."""

import re
from collections.abc import Iterable

from torch import nn

from zeroinit.symmetry.verdict.passes.calls import LOSS, Call

__all__ = [
    "NUMBERS",
    "draw_line",
    "few",
    "in_common",
    "joined",
    "of_model",
    "operation",
    "pattern_of",
    "sentence",
    "starred",
    "start_line",
    "where",
]

MOST_NAMES = 3
NUMBERS = re.compile(r"\d+")
LONG = 40
"""Names of so many letters that differ by a number are told once."""
WORDS = {
    "relu": "ReLU", "relu_": "ReLU", "scaled_dot_product_attention": "attention", "truediv": "division",
    "div": "division", "multi_head_attention_forward": "attention", "layer_norm": "layer norm",
    "batch_norm": "batch norm", "group_norm": "group norm", "instance_norm": "instance norm", "rms_norm": "RMS norm",
    "cross_entropy": "cross entropy", "log_softmax": "softmax", "getitem": "indexing", "hardtanh": "hard tanh",
    "weight_norm": "weight norm", "sqrt": "square root", "linalg_vector_norm": "norm of a vector", "norm": "norm",
    "mul": "product", "add": "sum", "sub": "difference", "mm": "matrix product", "matmul": "matrix product",
    "zeros_like": "zeros_like", "to": "conversion", "setitem": "assignment to an index", "ctc_loss": "CTC loss",
    "gt": "comparison", "ge": "comparison", "lt": "comparison", "le": "comparison", "eq": "comparison",
    "maximum": "maximum", "max": "maximum", "minimum": "minimum", "min": "minimum", "where": "choice by `torch.where`",
    "normal": "drawing by `torch.normal`", "bernoulli": "drawing by `bernoulli`", "poisson": "drawing by `poisson`",
    "ne": "comparison", "rsub": "difference", "long": "conversion to whole numbers",
    "linear": "linear map", "bmm": "matrix product", "addmm": "matrix product",
}  # fmt: skip


def starred(path: str) -> str:
    """Replace the numbers in a path.

    Example:
        >>> starred("blocks.11.q1.weight")
        'blocks.*.q1.weight'
    """
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", path)


def pattern_of(names: Iterable[str]) -> str:
    """Write names that differ by numbers as one: a number that is the same in all of them stays.

    Names that differ by more are written as the first one, all of whose numbers are replaced.

    Example:
        >>> pattern_of(["flow.0.net.2", "flow.1.net.2"]), pattern_of(["layer1.0", "layer2.1"]), pattern_of(["h.3"])
        ('flow.*.net.2', 'layer*.*', 'h.3')
    """
    return in_common(names, NUMBERS)


def in_common(texts: Iterable[str], numbers: re.Pattern[str]) -> str:
    """Write texts that differ by numbers as one: a number that is not the same in all of them becomes a star.

    Args:
        texts: At least one. If they differ by more than numbers, all numbers of the first one become stars.
        numbers: What counts as a number; a pattern without groups.

    Example:
        >>> in_common(["`h.0.w` of 3", "`h.1.w` of 3"], NUMBERS)
        '`h.*.w` of 3'
    """
    listed = list(dict.fromkeys(texts))
    if len({tuple(numbers.split(each)) for each in listed}) > 1:
        return numbers.sub("*", listed[0])
    columns = zip(*(numbers.findall(each) for each in listed), strict=True)
    words = iter([column[0] if len(set(column)) == 1 else "*" for column in columns])
    return numbers.sub(lambda _: next(words), listed[0])


def joined(words: Iterable[str]) -> str:
    """Join words as in a sentence.

    Example:
        >>> joined(["a", "b", "c"])
        'a, b and c'
    """
    listed = list(words)
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


def few(names: Iterable[str]) -> str:
    """Name some parameters or modules, at most three of them, in backquotes; those that differ by a number once.

    Example:
        >>> few(["a", "b"]), few([f"h.{at}.w" for at in range(12)])
        ('`a` and `b`', '`h.*.w` (12 times)')
    """
    patterns: dict[str, list[str]] = {}
    for name in names:
        patterns.setdefault(starred(name), []).append(name)
    words: list[str] = []
    for pattern, members in patterns.items():
        short = len(members) <= MOST_NAMES and (len(members) == 1 or len(pattern) < LONG)
        words += [f"`{each}`" for each in members] if short else [f"`{pattern_of(members)}` ({len(members)} times)"]
    if len(words) > MOST_NAMES + 1:
        words = [*words[:MOST_NAMES], f"{len(words) - MOST_NAMES} more"]
    return joined(words)


def of_model(path: str) -> str:
    """Write a path as Python.

    Example:
        >>> of_model("blocks.0.q.weight"), of_model("0.down")
        ('model.blocks[0].q.weight', 'model[0].down')
    """
    text = "model"
    for part in path.split(".") if path else []:
        text += f"[{part}]" if part.isdigit() else f".{part}"
    return text


def draw_line(names: list[str], together: int, vectors: bool = False, known: Iterable[str] = ()) -> str:
    """Write the line that draws parameters at random, as a trial did; ``known`` are the names of all parameters."""
    call = "nn.init.normal_({}, std=0.02)" if together <= 2 or vectors else "nn.init.kaiming_uniform_({}, a=5**0.5)"
    return start_line(names, call, known)


def start_line(names: list[str], call: str, known: Iterable[str] = ()) -> str:
    """Write a call for each of some parameters, as lines to type or with a pattern that holds for none but these.

    Example:
        >>> start_line(["n.1.w", "n.4.w", "n.7.w"], "nn.init.ones_({})", ["n.0.w", "n.1.w", "n.4.w", "n.7.w"])
        '`nn.init.ones_(p)` for each p of `n.{1,4,7}.w`'
    """
    if len(names) <= 2 and (len(names) == 1 or len(names[0]) < LONG):
        return "; ".join(f"`{call.format(of_model(name))}`" for name in names)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(starred(name), []).append(name)
    others = set(known) - set(names)
    patterns = [_exact(members, others) for members in groups.values()]
    return f"`{call.format('p')}` for each p of {few(patterns) if len(patterns) > 1 else f'`{patterns[0]}`'}"


def _exact(members: list[str], others: set[str]) -> str:
    """Write names as a pattern; with their numbers in braces where it would hold for others as well."""
    pattern = pattern_of(members)
    matching = re.compile(re.escape(pattern).replace(r"\*", r"\d+"))
    if pattern.count("*") != 1 or not any(matching.fullmatch(each) for each in others):
        return pattern
    before, _, after = pattern.partition("*")
    numbers = (each.removeprefix(before).removesuffix(after) for each in members)
    return f"{before}{{{','.join(numbers)}}}{after}"


def operation(call: Call, model: nn.Module) -> str:
    """Name an operation and where it is, as in ``"the ReLU in `1`"``."""
    if call.function is not None:
        return f"`{call.name}` in {where(call.path, model)}"
    return f"the {WORDS.get(call.name, call.name.replace('_', ' '))} in {where(call.path, model)}"


def where(path: str, model: nn.Module) -> str:
    """Name a module in the middle of a sentence; what is inside a parametrization by the layer that has it."""
    path = path.split(".parametrizations")[0]
    if path == LOSS:
        return "the loss"
    return f"`{path}`" if path else f"`{type(model).__name__}.forward`"


def sentence(text: str) -> str:
    """Let a text start with a capital letter.

    Example:
        >>> sentence("the ReLU in `M`")
        'The ReLU in `M`'
    """
    return text[:1].upper() + text[1:]
