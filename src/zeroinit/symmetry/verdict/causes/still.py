"""Operations whose derivative is zero here: draws, samples outside of an image, choices, cuts and margins in a loss."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from zeroinit.symmetry.verdict.causes.views import DIFFERENCES, SAME_VALUES, SATURATING, Candidate, View
from zeroinit.symmetry.verdict.evidence import Reason
from zeroinit.symmetry.verdict.passes.calls import LOSS, Call, is_constant
from zeroinit.symmetry.verdict.passes.graph import Node
from zeroinit.symmetry.verdict.passes.naming import operation, sentence, starred, where
from zeroinit.symmetry.verdict.trials.still_actions import MARGINS, argument, bounds, branches
from zeroinit.symmetry.verdict.trials.trials import SHRUNK, Change

__all__ = [
    "DRAWS",
    "all_masked",
    "as_probabilities",
    "cuts_in_loss",
    "is_still",
    "of_still",
    "outside",
    "sampled_outside",
]

DRAWS = ("normal", "bernoulli", "poisson")
HINGES = ("relu", "clamp", "clip", "clamp_min", "threshold", "max", "maximum", "fmax")
CUTS = ("clamp", "clip", "hardtanh", "clamp_min", "clamp_max", "relu6")
LOGARITHMS = ("log", "log2", "log10", "binary_cross_entropy")
SUMS = ("Mean", "Sum", "Div", "Mul", "Add", "Neg", "Pow", "Stack", "Cat", "Nansum", "Minimum", "Maximum")
"""What may come between a hinge and the loss that it is a part of."""


def is_still(call: Call) -> bool:
    """Tell whether a call may have no slope, and is explained here."""
    floor = call.name in ("div", "divide", "floor_divide", "floordiv")
    known = call.name in (*DRAWS, *MARGINS, "grid_sample", "masked_fill", "grid_sampler")
    return known or bool(branches(call)) or (floor and _floors(call))


def of_still(name: str, cut: Node, position: int, call: Call, view: View) -> Iterator[Candidate]:
    """Say why an operation has no slope, and what gives it one."""
    what = operation(call, view.model)
    if call.name in DRAWS:
        yield from _of_draw(call, view)
    elif call.name.startswith("grid_sample"):
        yield from _of_samples(call, view)
    elif call.name in MARGINS:
        yield _satisfied(call, "margin", view)
    elif branches(call):
        yield from _of_choice(name, cut, position, call, view)
    elif call.name == "masked_fill":
        yield all_masked(call, view)
    else:
        change = view.act(call, "divide")
        text = f"{sentence(what)} rounds its result, so its slope is zero everywhere."
        repair = f"Let the gradient pass {what}: `x / y + (x // y - x / y).detach()`."
        yield Candidate(Reason("dead", text, cause="rounded division"), change, ((change, repair),))


def all_masked(call: Call, view: View) -> Candidate:
    """Return the candidate for a mask that hides everything: it is taken off."""
    change, what = view.act(call, "take out"), operation(call, view.model)
    text = f"{sentence(what)} hides every value: its mask is true everywhere."
    repair = f"Check the mask of {what}, or turn it round: `~mask`. Without it gradients arrive."
    return Candidate(Reason("dead", text, cause=f"all masked {starred(call.path)}"), change, ((change, repair),))


def _floors(call: Call) -> bool:
    return "floor" in call.name or call.kwargs.get("rounding_mode") is not None


def _of_draw(call: Call, view: View) -> Iterator[Candidate]:
    place = where(call.path, view.model, call.method)
    if call.name == "normal":
        change = view.act(call, "reparametrized")
        text = f"`torch.normal` in {place} draws values without a gradient. Their mean and spread come from {{it}}."
        repair = f"Write `mean + std * torch.randn_like(mean)` in {place}, or `Normal(mean, std).rsample()`."
    else:
        change = view.act(call, "straight through")
        text = f"`{call.name}` in {place} draws values, which carry no gradient to {{it}}."
        repair = f"Let the gradient pass in {place}: `p + (torch.{call.name}(p) - p).detach()`."
    yield Candidate(Reason("detached", text, cause=f"drawn {place}"), change, ((change, repair),))


def outside(call: Call) -> bool:
    """Tell whether all points that are sampled lie outside of the image."""
    return bool((argument(call, 1, "grid").detach().abs().amax(-1) > 1).all())


def _of_samples(call: Call, view: View) -> Iterator[Candidate]:
    what = operation(call, view.model)
    if outside(call):
        yield sampled_outside(call, view)
    change = view.act(call, "bilinear")
    if argument(call, 2, "mode", "bilinear") != "bilinear":
        text = f"{sentence(what)} takes the nearest value, so it has no slope in the points."
        repair = 'Use `mode="bilinear"` there.'
        yield Candidate(Reason("dead", text, cause="nearest"), change, ((change, repair),))


def sampled_outside(call: Call, view: View) -> Candidate:
    """Return the candidate for points outside of the image: they are moved inside."""
    change, what = view.act(call, "inside"), operation(call, view.model)
    text = f"All points that {what} reads lie outside of the image, where there are zeros and no gradient."
    repair = "Start with points between -1 and 1."
    made = view.calls.producer(argument(call, 1, "grid"))
    if made is not None and made.name.startswith("affine_grid"):
        repair = "Start at the identity: zero weights and the bias 1, 0, 0, 0, 1, 0 in front of `affine_grid`."
    return Candidate(Reason("dead", text, cause=f"outside {what}"), change, ((change, repair),))


def _of_choice(name: str, cut: Node, position: int, call: Call, view: View) -> Iterator[Candidate]:
    """The other of two tensors is chosen everywhere: in a loss a margin that is kept, or a bound never reached."""
    other = [each for each in branches(call) if not isinstance(each, torch.Tensor) or not each.requires_grad]
    if call.name in HINGES and other and _is_level(other[0]) and _in_loss(cut, call, view):
        yield _satisfied(call, "between", view)
        return
    what, change = operation(call, view.model), view.act(call, "between")
    if any(node is cut for node, _ in view.graph.uses(name)):
        yield never_reached(name, call, view)
    text = f"{sentence(what)} takes the other value for every input of the batch, so no gradient comes to {{it}}."
    if call.name == "where":
        text = f"{sentence(what)} never takes what comes from {{it}}: its condition is the same for the whole batch."
    cause = f"choice {what}"
    for source in (Change(inputs="other"), Change(inputs="other", targets="targets")):
        yield Candidate(Reason("idle", text, cause=cause), source, ((source, "Nothing to do if other inputs do."),))
    repair = f"Bring both values of {what} nearer to each other, or use their mean or a soft form."
    if call.name == "where":
        repair = f"Check the condition of {what}. With both branches in use gradients arrive."
    yield Candidate(Reason("dead", text, cause=cause), change, ((change, repair),))


def never_reached(name: str, call: Call, view: View) -> Candidate:
    """Return the candidate for a trainable bound that no value of the batch reaches."""
    change, what = Change(shrink=(name,)), operation(call, view.model)
    text = f"{{it}} is a bound in {what}, and no value of this batch reaches it. Only values beyond it would move it."
    repair = f"Start it from the data, as at a high quantile of what comes in. 1/{SHRUNK} of its value was tried."
    cause = f"never reached {call.name} {starred(call.path)}"
    return Candidate(Reason("dead", text, cause=cause), change, ((change, repair),))


def cuts_in_loss(name: str, cut: Node, position: int, call: Call, view: View) -> Iterator[Candidate]:
    """A clamp or a hinge in a loss that is at its bound for every example; a clamp's own bound that is not reached."""
    if position > 0 and call.name in CUTS and any(node is cut for node, _ in view.graph.uses(name)):
        yield never_reached(name, call, view)
    low, high = bounds(call)
    if not _in_loss(cut, call, view):
        return
    margin = call.name in HINGES and high is None and low is not None
    if margin and not _logarithm_behind(call, view)[0]:
        yield _satisfied(call, "take out", view)
    elif call.name in CUTS and call.given:
        yield _out_of_range(call, low, high, view)


def _satisfied(call: Call, action: str, view: View) -> Candidate:
    """Nothing to learn from this batch: a warning if that is all that the model learns from."""
    change, what = view.act(call, action), operation(call, view.model)
    text = f"{sentence(what)} is off for every example of this batch, so there is nothing to learn from it."
    if call.name in MARGINS:
        text = f"Every example of this batch keeps the margin of {what}, so there is nothing to learn from it."
    kind = "dead" if view.nothing_moves else "idle"
    repair = "Hand over harder examples, or take a larger margin, which was tried." if view.nothing_moves else ""
    return Candidate(Reason(kind, text, cause="nothing to learn"), change, ((change, repair),))


def _out_of_range(call: Call, low: float | None, high: float | None, view: View) -> Candidate:
    change, what, given = view.act(call, "in range"), operation(call, view.model), call.given[0].detach()
    span = " to ".join(f"{each:.3g}" for each in (low, high) if each is not None)
    text = f"{sentence(what)} cuts off every value of the batch: all are outside its range."
    text += f" They lie from {float(given.min()):.3g} to {float(given.max()):.3g}, the range is {span}."
    repair = f"Look at what goes into {what}. With values in its range, which were tried, gradients arrive."
    made = view.calls.producer(call.given[0])
    if made is not None and made.name == "exp":
        repair = (
            f"Look at the ratio that goes into {what}. It starts at 1 if both sides are logarithms of probabilities "
            "and the batch was drawn with this policy; a ratio of 1 was tried."
        )
    repairs = (*as_probabilities(call, view), (change, repair))
    return Candidate(Reason("dead", text, cause=f"range {what}"), change, repairs)


def as_probabilities(call: Call, view: View) -> tuple[tuple[Change, str], ...]:
    """Return the repair of a clamp between 0 and 1 in front of a logarithm: what comes in is no probability yet."""
    (low, high), what = bounds(call), operation(call, view.model)
    logged, binary = _logarithm_behind(call, view)
    maker = view.calls.producer(call.given[0])
    while maker is not None and maker.name in SAME_VALUES and maker.given:
        maker = view.calls.producer(maker.given[0])
    made = maker is not None and maker.name in (*SATURATING, "exp")
    if low is None or high is None or low < 0 or high > 1 or made or not logged:
        return ()
    if binary or call.given[0].shape[-1:] in ((), (1,)):
        line = f"Put a sigmoid in front of {what}: `torch.sigmoid(x)`. Or leave both out, and use "
        return ((view.act(call, "sigmoid first"), f"{line}`F.binary_cross_entropy_with_logits`."),)
    line = f"Put a softmax in front of {what}: `x.softmax(-1)`. Or leave both out, and use `F.cross_entropy`."
    return ((view.act(call, "softmax first"), line),)


def _logarithm_behind(call: Call, view: View) -> tuple[bool, bool]:
    """Tell whether the logarithm of what a call returns is taken, and whether that of what is left to 1 as well."""
    passed, logged, binary = [call], False, False
    for each in view.calls.calls:
        if any(given is out for given in each.given for made in passed for out in made.out):
            logged = logged or each.name in LOGARITHMS
            binary = binary or each.name in (*DIFFERENCES, "rsub", "binary_cross_entropy")
            passed += [each] if each.name in (*DIFFERENCES, "rsub", *SAME_VALUES) else []
    return logged, binary


def _is_level(value: Any) -> bool:
    """Tell whether a value is a number, or a tensor of one number."""
    return not isinstance(value, torch.Tensor) or (not isinstance(value, nn.Parameter) and is_constant(value))


def _in_loss(cut: Node, call: Call, view: View) -> bool:
    """Tell whether only sums, means and products lie between an operation and the loss."""
    if call.path == LOSS:
        return True
    queue, seen = list(cut.above), {id(cut)}
    while queue:
        node, _ = queue.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not node.only_shapes and not node.name.startswith(SUMS):
            return False
        if any(edge is not None and edge.leaf for edge in node.edges):
            return False
        queue += node.above
    return True
