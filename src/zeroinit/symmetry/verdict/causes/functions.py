"""Autograd functions of the user's own whose backward pass hands nothing on."""

from collections.abc import Iterator

import torch
from torch import Tensor

from zeroinit.symmetry.verdict.causes.views import Candidate, View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import Call, tensors_in
from zeroinit.symmetry.verdict.passes.graph import FAINT, Node
from zeroinit.symmetry.verdict.passes.naming import where
from zeroinit.symmetry.verdict.trials.trials import SHRUNK, Change

__all__ = ["of_function", "of_function_never_asked"]

OTHER_VALUES = ((1.0, 0.0), (2.0, 1.0), (-1.0, 0.0), (1.0, 100.0), (1.0, -100.0))
"""A factor and a shift: what an argument is changed by to see whether the result depends on it."""


def of_function(name: str, cut: Node, position: int, view: View) -> Iterator[Candidate]:
    """A function that hands no gradient on: forgotten, zero for these values, or zero always."""
    function, call = cut.function, view.call(cut)
    assert function is not None
    word, place = function.__name__, f" in {where(call.path, view.model, call.method)}" if call is not None else ""
    change = Change(functions=(function,))
    if call is not None and _acts_backward_alone(call, position):
        text = f"`{word}`{place} uses {{it}} in its backward pass alone. "
        text += "Its result is the same whatever that value, so there is no gradient to return."
        repair = "Make it a buffer or a plain number, and set it by a schedule. A parameter cannot learn there."
        yield Candidate(Reason("detached", text, cause=f"backward alone {word}"), change, ((change, repair),))
        return
    forgotten = position < len(cut.silent) and cut.silent[position]
    if not forgotten:
        yield from _of_values(name, word, place, cut, call, view)
    if forgotten and any(each > FAINT * cut.error for each in cut.passed):
        text = f"The backward pass of `{word}`{place} returns None in the place of the gradient of {{it}}."
        repair = f"Return that gradient in `{word}.backward`; None there stands for an argument without one."
        yield Candidate(Reason("detached", text, cause=f"forgotten {word}"), change, ((change, repair),))
        return
    text = f"The backward pass of `{word}`{place} returns zero, or nothing, for {{it}} and every input of the batch."
    repair = (
        f"Let `{word}.backward` return a gradient there. If that depends on what comes in, widen its range or "
        "scale its input."
    )
    yield Candidate(Reason("dead", text, cause=f"function {word}"), change, ((change, repair),))


def _acts_backward_alone(call: Call, position: int) -> bool:
    """Tell whether a function returns the same for other values of one of its tensors."""
    tensors = [at for at, each in enumerate(call.args) if isinstance(each, Tensor)]
    if position >= len(tensors) or not call.args[tensors[position]].is_floating_point():
        return False

    def result(factor: float, shift: float) -> list[Tensor]:
        given = [each.detach().clone() if isinstance(each, Tensor) else each for each in call.args]
        given[tensors[position]].mul_(factor).add_(shift)
        return tensors_in([call.func(*given, **call.kwargs)])

    try:
        with torch.no_grad():
            first, *others = (result(*each) for each in OTHER_VALUES)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    return all(torch.equal(one, other) for each in others for one, other in zip(first, each, strict=True))


def _of_values(name: str, word: str, place: str, cut: Node, call: Call | None, view: View) -> Iterator[Candidate]:
    """Zero for the values of this batch, and not for smaller ones."""
    if any(node is cut for node, _ in view.graph.uses(name)):
        change = Change(shrink=(name,))
        text = f"`{word}`{place} gives {{it}} a gradient only from values that reach it, and none of this batch does."
        repair = f"Start it from the data, as at a high quantile of what comes in. 1/{SHRUNK} of its value was tried."
        yield Candidate(Reason("dead", text, cause=f"never reached {word}"), change, ((change, repair),))
    elif call is not None and call.given:
        low, high = (float(getattr(call.given[0].detach(), which)()) for which in ("min", "max"))
        change = view.act(call, "scaled down")
        text = (
            f"The backward pass of `{word}`{place} returns zero for the whole batch: inputs lie from {low:.3g} "
            f"to {high:.3g}, outside of the range in which it hands a gradient on."
        )
        repair = f"Scale what goes into `{word}` down, or widen that range. Smaller values were tried."
        yield Candidate(Reason("dead", text, cause=f"range of {word}"), change, ((change, repair),))


def of_function_never_asked(call: Call) -> tuple[str, str]:
    """Say that a function uses modules inside and gets no tensor that requires a gradient, and what to do."""
    word = call.name
    text = (
        f"The backward pass of `{word}`, which uses {{it}} inside, never runs: no tensor that `{word}.apply` is given "
        "requires a gradient."
    )
    repair = (
        f"Let what goes into `{word}.apply` require a gradient: `x.requires_grad_()`, or a trainable layer in front."
    )
    return text, repair
