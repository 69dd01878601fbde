"""What helps where an operation makes numbers that are not finite: each a change to calls, and what to type."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zeroinit.symmetry.verdict.passes.calls import Call, Calls, Key
from zeroinit.symmetry.verdict.passes.naming import operation
from zeroinit.symmetry.verdict.symptoms.not_finite.causes import ATTENTION
from zeroinit.symmetry.verdict.symptoms.not_finite.origins import maker, mild_below, passes_on
from zeroinit.symmetry.verdict.trials.actions import ACTIONS

__all__ = ["ignores_all", "of_calls", "reason_of_calls", "with_labels"]

Changed = Mapping[Key, Callable[[Call], Any]]
MOST = 20.0
"""The largest argument of an exponential after the repair."""


def reason_of_calls(call: Call, calls: Calls, model: torch.nn.Module) -> str:
    """Say what is wrong, where the calls in front of an operation tell; else return nothing."""
    if call.name == "ctc_loss":
        return _of_ctc(call)
    if passes_on(call):
        verb = "multiplies" if call.name == "mul" else "divides"
        return f"{verb} minus infinity, as of masked entries, by a learned number, whose gradient is then NaN"
    if call.name in ("exp", "expm1", "cosh", "sinh") and call.given:
        return f"overflows: its argument goes up to {float(call.given[0].detach().max()):.3g}"
    if call.name in ("log", "log2", "log10", "div", "truediv", "true_divide"):
        zero = call.given[0 if call.name.startswith("log") else -1].detach() if call.given else torch.ones(1)
        below = mild_below(call, calls)
        if below is not None and not bool(zero.all()) and not bool((zero < 0).any()):
            made = "is of zero" if call.name.startswith("log") else "divides by zero"
            end = "0" if maker(call.given[0 if call.name.startswith("log") else -1], calls) is below else "1"
            return f"{made}, because {operation(below, model)} is rounded to {end}"
    return ""


def ignores_all(call: Call) -> int | None:
    """Return the label that a cross entropy ignores, where all of its labels are that one."""
    if call.name not in ("cross_entropy", "nll_loss") or len(call.args) < 2 or not isinstance(call.args[1], Tensor):
        return None
    index = call.kwargs.get("ignore_index", call.args[4] if len(call.args) > 4 else -100)
    labels = call.args[1]
    return index if labels.numel() and bool((labels == index).all()) else None


def with_labels(call: Call) -> Any:
    """Compute a cross entropy with labels that count."""
    index = ignores_all(call)
    labels = torch.full_like(call.args[1], 1 if index == 0 else 0)
    return call.func(call.args[0], labels, *call.args[2:], **call.kwargs)


def _of_ctc(call: Call) -> str:
    steps, lengths = _lengths(call)
    short = _too_short(call)
    if short and len(short) < len(lengths):
        least, most = steps[short[0]], lengths[short[0]]
        which = f"{len(short)} of {len(lengths)} examples" + (", the first" if len(short) > 1 else "")
        return (
            f"has too few time steps for {which}: {least} for a target of {most} labels, which needs at least as many"
        )
    if lengths and steps and max(lengths) > min(steps):
        return f"has {min(steps)} time steps for a target of {max(lengths)} labels, which needs at least as many"
    return "has too few time steps for a target: each label needs one, and one more where it is repeated"


def _too_short(call: Call) -> list[int]:
    """Return the examples with fewer time steps than labels."""
    return [at for at, (steps, labels) in enumerate(zip(*_lengths(call), strict=False)) if steps < labels]


def _lengths(call: Call) -> tuple[list[int], list[int]]:
    names = ("log_probs", "targets", "input_lengths", "target_lengths")
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    listed = [given.get(name, []) for name in names[2:]]
    steps, lengths = [each.flatten().tolist() if isinstance(each, Tensor) else list(each) for each in listed]
    return steps, lengths


def of_calls(call: Call, calls: Calls) -> list[tuple[Changed, str]]:
    """Return changes that may make an operation finite, each with what to type."""
    if call.name == "ctc_loss":
        repair = "Give it more time steps: less pooling or stride along time. `zero_infinity=True` only hides it."
        if 0 < len(_too_short(call)) < len(_lengths(call)[1]):
            repair = f"Leave out examples that are too short, or give them more time steps{repair[repair.index(':') :]}"
        return [({call.key: ACTIONS["short targets"]}, repair)]
    if passes_on(call):
        verb = "Multiply" if call.name == "mul" else "Divide"
        sign = "*" if call.name == "mul" else "/"
        repair = f"{verb} first and mask afterwards: `(scores {sign} t).masked_fill(mask, -float('inf'))`."
        return [({call.key: _masked_last}, repair)]
    if call.name in ATTENTION and any(bool(torch.isposinf(each.detach()).any()) for each in call.given):
        repair = "Mask with minus infinity: `scores.masked_fill(mask, -float('inf'))`. A large number was tried."
        return [({call.key: _turned}, repair)]
    if call.name in ("softmax", "log_softmax"):
        repair = "Mask with a large number in place of infinity: `scores.masked_fill(mask, -1e9)`."
        return [({call.key: _floored}, repair)]
    if call.name in ATTENTION:
        which = "key_padding_mask" if call.kwargs.get("key_padding_mask") is not None else "attn_mask"
        repair = f"Mask with a large number in place of infinity: `{which}=(~keep) * -1e9`, `keep` being true or false."
        return [({call.key: _floored_mask}, repair)]
    if call.name in ("exp", "expm1", "cosh", "sinh"):
        return [({call.key: _capped}, f"Keep its argument small: `x.clamp(max={MOST:.0f})`.")]
    below = mild_below(call, calls) if call.name.startswith("log") else None
    return _of_log(call, below, calls) if below is not None else []


def _of_log(call: Call, below: Call, calls: Calls) -> list[tuple[Changed, str]]:
    """Return the logarithm in one piece with what is in front of it."""
    direct = maker(call.given[0], calls) is below
    kept: list[Tensor] = []

    def keep(each: Call) -> Any:
        kept.append(each.given[0])
        return each.func(*each.args, **each.kwargs)

    if below.name == "softmax" and direct and call.given[0] is below.out[0]:
        axis = next((each for each in [*below.args[1:], below.kwargs.get("dim")] if isinstance(each, int)), -1)
        repair = f"Use `F.log_softmax(x, {axis})` in place of the logarithm of a softmax."
        return [({below.key: keep, call.key: lambda _: F.log_softmax(kept[-1], axis)}, repair)]
    if below.name == "sigmoid" and call.given[0].shape == below.out[0].shape:
        sign, x = (1, "x") if direct else (-1, "-x")
        repair = f"Use `F.logsigmoid({x})` in place of the logarithm, or `F.binary_cross_entropy_with_logits`."
        return [({below.key: keep, call.key: lambda _: F.logsigmoid(sign * kept[-1])}, repair)]
    return []


def _masked_last(call: Call) -> Tensor:
    scores = call.args[0]
    hidden = torch.isinf(scores.detach())
    return call.func(scores.masked_fill(hidden, 0.0), *call.args[1:], **call.kwargs).masked_fill(hidden, -torch.inf)


def _turned(call: Call) -> Any:
    """Mask with a large negative number where there is plus infinity."""

    def other(value: Any) -> Any:
        return value.masked_fill(value == torch.inf, -1e9) if isinstance(value, Tensor) else value

    return call.func(*map(other, call.args), **{name: other(each) for name, each in call.kwargs.items()})


def _floored(call: Call) -> Any:
    scores = call.args[0]
    return call.func(scores.masked_fill(scores == -torch.inf, -1e9), *call.args[1:], **call.kwargs)


def _floored_mask(call: Call) -> Any:
    """Put a large negative number in the place of minus infinity in the masks of an attention."""

    def other(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.dtype == torch.bool:  # true is what is kept
            return torch.zeros(value.shape, device=value.device).masked_fill(~value, -1e9)
        return value.masked_fill(value == -torch.inf, -1e9) if value.is_floating_point() else value

    return call.func(*map(other, call.args), **{name: other(each) for name, each in call.kwargs.items()})


def _capped(call: Call) -> Any:
    return call.func(call.args[0].clamp(max=MOST), *call.args[1:], **call.kwargs)
