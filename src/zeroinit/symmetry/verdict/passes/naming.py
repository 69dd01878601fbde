"""How places are named in messages, and how repairs are written: as lines to type."""

import re
from collections.abc import Iterable
from math import prod

from torch import nn

from zeroinit._findings.naming import LONG, NUMBERS, exact, few, in_common, joined, of_model, pattern_of, starred
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call

__all__ = [
    "NUMBERS",
    "draw_line",
    "exact",
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

VARIABLES = "ijk"
MOST_LINES, MOST_NAMES, MOST_NUMBERS = 3, 4, 8
"""Of a repair, of a loop over parameters, and of one that counts no range."""

WORDS = {
    "relu": "ReLU", "relu_": "ReLU", "scaled_dot_product_attention": "attention", "truediv": "division",
    "div": "division", "multi_head_attention_forward": "attention", "layer_norm": "layer norm",
    "batch_norm": "batch norm", "group_norm": "group norm", "instance_norm": "instance norm", "rms_norm": "RMS norm",
    "cross_entropy": "cross entropy", "log_softmax": "softmax", "getitem": "indexing", "hardtanh": "hard tanh",
    "weight_norm": "weight norm", "sqrt": "square root", "linalg_vector_norm": "norm of a vector", "norm": "norm",
    "mul": "product", "add": "sum", "sub": "difference", "mm": "matrix product", "matmul": "matrix product",
    "zeros_like": "zeros_like", "to": "conversion", "setitem": "assignment to an index", "ctc_loss": "CTC loss",
    "zeros": "call of `torch.zeros`", "full": "call of `torch.full`",
    "gt": "comparison", "ge": "comparison", "lt": "comparison", "le": "comparison", "eq": "comparison",
    "maximum": "maximum", "max": "maximum", "minimum": "minimum", "min": "minimum", "where": "choice by `torch.where`",
    "normal": "drawing by `torch.normal`", "bernoulli": "drawing by `bernoulli`", "poisson": "drawing by `poisson`",
    "ne": "comparison", "rsub": "difference", "long": "conversion to whole numbers",
    "linear": "linear map", "bmm": "matrix product", "addmm": "matrix product",
}  # fmt: skip


def draw_line(names: list[str], together: int, vectors: bool = False, known: Iterable[str] = ()) -> str:
    """Write the line that draws parameters at random, as a trial did; ``known`` are the names of all parameters."""
    call = "nn.init.normal_({}, std=0.02)" if together <= 2 or vectors else "nn.init.kaiming_uniform_({}, a=5**0.5)"
    return start_line(names, call, known)


def start_line(names: list[str], call: str, known: Iterable[str] = ()) -> str:
    """Write a call for each of some parameters, as lines to type; else with a pattern that holds for none but these.

    Example:
        >>> start_line(["n.1.w", "n.4.w", "n.7.w"], "nn.init.ones_({})")
        '`for i in (1, 4, 7): nn.init.ones_(model.n[i].w)`'
        >>> start_line(["n.1.w", "n.1.v", "n.2.v.0", "m"], "nn.init.ones_({})")
        '`for p in (model.n[1].w, model.n[1].v, model.n[2].v[0], model.m): nn.init.ones_(p)`'
        >>> start_line([f"n.{i * i}.w" for i in range(9)], "nn.init.ones_({})", ["n.5.w"])
        '`nn.init.ones_(p)` for each p of `n.{0,1,4,9,16,25,36,49,64}.w`'
    """
    if len(names) <= 2 and (len(names) == 1 or len(names[0]) < LONG):
        return "; ".join(f"`{call.format(of_model(name))}`" for name in names)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(starred(name), []).append(name)
    lines = [_loop([name.split(".") for name in members], call) for members in groups.values()]
    if len(lines) <= MOST_LINES and all(lines):
        return "; ".join(f"`{line}`" for line in lines)
    if len(names) <= MOST_NAMES:
        return f"`for p in ({', '.join(map(of_model, names))}): {call.format('p')}`"
    others = set(known) - set(names)
    patterns = [exact(members, others) for members in groups.values()]
    return f"`{call.format('p')}` for each p of {few(patterns) if len(patterns) > 1 else f'`{patterns[0]}`'}"


def _loop(paths: list[list[str]], call: str) -> str:
    """Write a call for paths that differ by numbers as a loop over these; empty if they are not all combinations."""
    columns = list(zip(*paths, strict=True))
    places = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    values = [sorted({int(number) for number in columns[place]}) for place in places]
    if len(places) > len(VARIABLES) or prod(map(len, values)) != len({tuple(path) for path in paths}):
        return ""
    variables = dict(zip(places, VARIABLES, strict=False))
    texts = [_numbers(each) for each in values]
    path = of_model(".".join(f"__{variables[i]}__" if i in variables else part for i, part in enumerate(paths[0])))
    done = call.format(re.sub(r"\.__(\w)__", r"[\1]", path))
    if not all(texts):
        return ""
    loops = [f"for {name} in {text}" for name, text in zip(VARIABLES, texts, strict=False)]
    return done if not loops else f"{loops[0]}: {done}" if len(loops) == 1 else f"[{done} {' '.join(loops)}]"


def _numbers(values: list[int]) -> str:
    """Write at least two ascending numbers as Python; empty if that would be long."""
    first, end, step = values[0], values[-1] + 1, values[1] - values[0]
    if step == 1 and values == list(range(first, end)):
        return f"range({first}, {end})" if first else f"range({end})"
    if len(values) <= MOST_NUMBERS:
        return f"({', '.join(map(str, values))})"
    return f"range({first}, {end}, {step})" if values == list(range(first, end, step)) else ""


def operation(call: Call, model: nn.Module) -> str:
    """Name an operation and where it is, as in ``"the ReLU in `1`"``."""
    if call.function is not None:
        return f"`{call.name}` in {where(call.path, model, call.method)}"
    return f"the {WORDS.get(call.name, call.name.replace('_', ' '))} in {where(call.path, model, call.method)}"


def where(path: str, model: nn.Module, method: str = "") -> str:
    """Name a module in the middle of a sentence; what is inside a parametrization by the layer that has it.

    Args:
        path: The module.
        model: It is named by its method, as ``M.forward``.
        method: Another one, as ``M.encode``.
    """
    path = path.split(".parametrizations")[0]
    if path == LOSS:
        return "the loss"
    return f"`{path or method or f'{type(model).__name__}.forward'}`"


def sentence(text: str) -> str:
    """Let a text start with a capital letter.

    Example:
        >>> sentence("the ReLU in `M`")
        'The ReLU in `M`'
    """
    return text[:1].upper() + text[1:]
