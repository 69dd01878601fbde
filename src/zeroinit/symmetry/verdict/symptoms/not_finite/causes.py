"""Causes of NaN and infinity in one operation, and changes that guard it."""

import math
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zeroinit.symmetry.verdict.causes.views import DIFFERENCES, DIVISIONS
from zeroinit.symmetry.verdict.passes.calls import Call, Calls
from zeroinit.symmetry.verdict.passes.naming import starred
from zeroinit.symmetry.verdict.symptoms.not_finite.origins import maker

__all__ = ["ATTENTION", "guarded", "guards", "of_operation", "rows_drawn", "zero_rows"]

ATTENTION = ("softmax", "log_softmax", "scaled_dot_product_attention", "multi_head_attention_forward")
MOST_ROWS = 4
MANY = 0.05
"""A larger share of values below zero is no rounding."""
ROUND_ABOUT_ONE = ("acos", "asin", "arccos", "arcsin")


def of_operation(call: Call, in_loss: bool) -> str:
    """Say what is wrong with what goes into an operation."""
    given = call.given
    if any(isinstance(each, float) and not math.isfinite(each) for each in call.args):
        return "works with a number that is not finite"
    first = given[0].detach() if given else torch.zeros(1)
    if call.name in ATTENTION and any(bool(torch.isposinf(each.detach()).any()) for each in given):
        return "is of plus infinity"
    if call.name in ATTENTION:
        return "has a row in which every key is masked (minus infinity)"
    if call.name in (*DIVISIONS, "reciprocal"):
        below = given[-1].detach()
        return "divides by zero" if not bool(below.all()) else "overflows"
    if call.name in ("log", "log2", "log10", "log1p"):
        return "is of a negative number" if bool((first < 0).any()) else "is of zero"
    if call.name == "sqrt" or (call.name == "pow" and not in_loss):
        if bool((first < 0).any()):
            return "is of a negative number"
        return "has no finite slope at zero" if not in_loss else "is of a number that is not finite"
    if call.name in ("std", "var", "std_mean", "var_mean") and in_loss:
        return "is over a single value"
    weights = call.kwargs.get("weight")
    if call.name in ("cross_entropy", "nll_loss") and isinstance(weights, Tensor) and not bool(weights.all()):
        return "averages over labels whose weights are all zero"
    if call.name in ("mean", "cross_entropy", "nll_loss") and not first.numel():
        return "is over no value at all"
    if call.name in ROUND_ABOUT_ONE:
        return "has no finite slope at 1 and -1, and its argument is there"
    if call.name in ("norm", "vector_norm", "linalg_vector_norm", "std", "normalize"):
        return "has no finite slope where its argument is zero" if not in_loss else "is not finite there"
    if call.name in ("exp", "expm1", "pow", "mul", "square", "matmul", "linear", "mm", "cosh", "sinh"):
        return "overflows: its result is too large"
    if call.function is not None and not in_loss:
        return "returns NaN or infinity from its backward pass"
    return "makes it of finite numbers" if in_loss else "has a slope there that is not finite"


def zero_rows(call: Call) -> str:
    """Name the rows that a weight norm divides by a norm of zero; nothing where there are none."""
    first = call.given[0].detach()
    zero = (first.reshape(len(first), -1) == 0).all(dim=1).nonzero().flatten().tolist() if first.dim() > 1 else []
    return ", ".join(map(str, zero[:MOST_ROWS])) + (", ..." if len(zero) > MOST_ROWS else "")


def rows_drawn(call: Call) -> Any:
    """Do a weight norm with random values in the rows that are zero."""
    first = call.args[0]
    zero = (first.detach().reshape(len(first), -1) == 0).all(dim=1).reshape(-1, *[1] * (first.dim() - 1))
    return call.func(first + 0.02 * torch.randn_like(first) * zero, *call.args[1:], **call.kwargs)


def guards(call: Call, calls: Calls) -> list[tuple[Any, str]]:
    """Return changes that keep an operation, wherever a module does it, from where it is not finite; what to type."""
    clamped = "Keep its argument inside: `x.clamp(-1 + 1e-6, 1 - 1e-6)`, or use `torch.atan2`."
    known = {
        "div": "Add a small number to the denominator: `x / (y + 1e-8)`.",
        "truediv": "Add a small number to the denominator: `x / (y + 1e-8)`.",
        "sqrt": "Keep what is under the root above zero: `x.clamp_min(1e-12).sqrt()`.",
        "rsqrt": "Add a small number: `(x + 1e-12).rsqrt()`.",
        "pow": "Add a small number to its base: `(x + 1e-12).pow(...)`.",
        "log": "Add a small number: `(x + 1e-8).log()`.",
        "norm": "Write it as `(x.square().sum(-1) + 1e-12).sqrt()`.",
        "acos": clamped,
        "asin": clamped,
        "angle": "Keep its argument away from zero: `torch.angle(z + 1e-6)`.",
        "std": "Add a small number: `(x.var(...) + 1e-12).sqrt()`.",
        "var": "Hand over more than one example, or divide by their number: `x.var(..., correction=0)`.",
    }
    below = float((call.given[0].detach() < 0).double().mean()) if call.name == "log" and call.given else 0.0
    if below > MANY:
        return [_of_negative(call, below, calls)]
    if below:
        known["log"] = "Keep its argument above zero: `x.clamp_min(1e-8).log()`."
    if call.name not in known:
        return []
    found, before = [], takewhile(lambda each: each is not call, calls.calls)
    roots = [each for each in before if each.name in ("sqrt", "norm") and each.path == call.path]
    for each in [call, *(roots if call.name in ("div", "truediv") else [])]:  # a root of zero, by which is divided
        mine = (starred(each.path), each.key[1])
        alike = [other.key for other in calls.calls if (starred(other.path), other.key[1]) == mine]
        found.append((dict.fromkeys(alike, guarded), known[each.name]))
    return found


def _of_negative(call: Call, share: float, calls: Calls) -> tuple[Any, str]:
    """Return what gives the log of many negative values a slope everywhere, which a clamp does not."""
    made, hint = maker(call.given[0], calls), f"A clamp leaves the {share:.0%} below zero without a gradient."
    if made is not None and made.name in (*DIFFERENCES, "rsub"):
        line = "Use `F.logsigmoid(x)` in place of the logarithm of a difference."
        return {call.key: lambda each: F.logsigmoid(each.args[0])}, f"{line} {hint}"
    line = "Make its argument positive: `F.softplus(x).log()`."
    return {call.key: lambda each: F.softplus(each.args[0]).log()}, f"{line} {hint}"


def _uncorrected(call: Call) -> Any:
    """Return a variance that divides by the number of values."""
    flags = [each for each in call.args if isinstance(each, bool)]
    given = {name: each for name, each in call.kwargs.items() if name not in ("unbiased", "correction")}
    given |= {"keepdim": flags[1]} if len(flags) > 1 else {}
    return call.func(*(each for each in call.args if not isinstance(each, bool)), correction=0, **given)


def guarded(call: Call) -> Any:
    """Do an operation a little away from where it is not finite."""
    args = list(call.args)
    if call.name in ("div", "truediv"):
        args[1] = args[1] + 1e-8
    elif call.name == "log":
        args[0] = args[0].clamp_min(1e-8) if bool((args[0] < 0).any()) else args[0] + 1e-8
    elif call.name == "sqrt":
        args[0] = args[0].clamp_min(1e-12)
    elif call.name in ("pow", "rsqrt"):
        args[0] = args[0] + 1e-12
    elif call.name in ROUND_ABOUT_ONE:
        args[0] = args[0].clamp(-1 + 1e-6, 1 - 1e-6)
    elif call.name == "angle":
        args[0] = args[0] + 1e-6
    elif call.name == "var":
        return _uncorrected(call)
    else:
        noise = torch.linspace(1e-6, 2e-6, args[0].numel(), device=args[0].device, dtype=args[0].dtype)
        args[0] = args[0] + noise.reshape(args[0].shape)
    return call.func(*args, **call.kwargs)
