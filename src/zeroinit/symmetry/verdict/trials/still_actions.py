"""Actions in place of calls whose derivative is zero here: draws, choices, cuts, samples outside, margins."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit.symmetry.verdict.passes.calls import Call
from zeroinit.symmetry.verdict.passes.noise import noise

__all__ = ["CHOOSERS", "MARGINS", "STILL", "argument", "bounds", "branches"]

CHOOSERS = ("max", "min", "maximum", "minimum", "fmax", "fmin", "where")
MARGINS = {
    "margin_ranking_loss": 3, "triplet_margin_loss": 3, "hinge_embedding_loss": 2, "multi_margin_loss": 3,
    "cosine_embedding_loss": 3, "triplet_margin_with_distance_loss": -1,
}  # fmt: skip
"""Losses with a margin, and which argument it is."""
LARGE = 1e3
SMALL = 0.01


def argument(call: Call, at: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call, by place or by name."""
    return call.args[at] if 0 <= at < len(call.args) else call.kwargs.get(name, default)


def branches(call: Call) -> list[Any]:
    """Return the two tensors, or numbers, among which a call chooses, value by value; none if it does not."""
    if call.name not in CHOOSERS:
        return []
    first, second, third = (argument(call, at, name) for at, name in enumerate(("input", "other", "other")))
    if call.name == "where":
        by_first = isinstance(first, Tensor) and first.dtype == torch.bool
        first, second = (second if by_first else first), third
        if by_first and isinstance(call.kwargs.get("input"), Tensor):
            first = call.kwargs["input"]
    both = [first, second]
    tensors = [each for each in both if isinstance(each, Tensor) and each.is_floating_point()]
    numbers = [each for each in both if isinstance(each, int | float) and call.name == "where"]
    return both if tensors and len(tensors) + len(numbers) == len(both) else []


def bounds(call: Call) -> tuple[float | None, float | None]:
    """Return the numbers between which a call keeps its values; ``None`` where there is no bound."""
    if call.name in ("relu", "clamp_min", "threshold"):
        low = argument(call, 1, "min", 0.0) if call.name != "relu" else 0.0
        return _number(low), None
    if call.name == "relu6":
        return 0.0, 6.0
    names = ("min_val", "max_val") if call.name == "hardtanh" else ("min", "max")
    low, high = (argument(call, at, name) for at, name in enumerate(names, 1))
    if call.name == "hardtanh":
        return _number(low, -1.0), _number(high, 1.0)
    return (None, _number(argument(call, 1, "max"))) if call.name == "clamp_max" else (_number(low), _number(high))


def _number(value: Any, default: float | None = None) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value.detach())
    return float(value) if isinstance(value, int | float) else default


def _reparametrized(call: Call) -> Tensor:
    """Compute a mean plus a spread times noise, in place of drawing."""
    mean, spread = argument(call, 0, "mean", 0.0), argument(call, 1, "std", 1.0)
    return mean + spread * noise((mean + spread).detach())


def _straight_through(call: Call) -> Tensor:
    drawn = call.func(*call.args, **call.kwargs)
    given = call.given[0]
    return given + (drawn - given).detach()


def _inside_image(call: Call) -> Tensor:
    """Sample an image at its own places."""
    image, grid = argument(call, 0, "input"), argument(call, 1, "grid")
    axes = grid.shape[-1]
    same = torch.eye(axes, axes + 1, dtype=grid.dtype, device=grid.device).expand(len(grid), -1, -1)
    places = F.affine_grid(same, [len(grid), 1, *grid.shape[1:-1]], align_corners=False)
    options = {name: each for name, each in call.kwargs.items() if name not in ("input", "grid")}
    return call.func(image, 0.9 * places + grid - grid.detach(), *call.args[2:], **options)


def _bilinear(call: Call) -> Tensor:
    options = {name: each for name, each in call.kwargs.items() if name not in ("input", "grid", "mode")}
    return call.func(
        argument(call, 0, "input"), argument(call, 1, "grid"), "bilinear", *call.args[3:],
        **options,
    )  # fmt: skip


def _between(call: Call) -> Tensor:
    """Take the mean of what a call chooses from."""
    first, second = branches(call)
    return (first + second) / 2


def _in_range(call: Call) -> Any:
    """Move the values that are cut to the middle of the range."""
    low, high = bounds(call)
    low = low if low is not None else (high or 0.0) - 2
    high = high if high is not None else low + 2
    given = call.given[0]
    return given - given.detach() + (low + high) / 2


def _behind(function: Callable[[Tensor], Tensor]) -> Callable[[Call], Any]:
    """Return the action that hands a call what a function makes of its first tensor."""

    def act(call: Call) -> Any:
        given = call.given[0]
        args = [function(each) if each is given else each for each in call.args]
        return call.func(*args, **{name: function(e) if e is given else e for name, e in call.kwargs.items()})

    return act


def _wide_margin(call: Call) -> Tensor:
    """Let every example lie inside of the margin."""
    size = max(float(each.detach().abs().max()) for each in call.given if each.numel())
    margin = -1.0 if call.name == "cosine_embedding_loss" else LARGE * (1 + size)
    at = MARGINS[call.name]
    if 0 <= at < len(call.args):
        return call.func(*call.args[:at], margin, *call.args[at + 1 :], **call.kwargs)
    return call.func(*call.args, **{**call.kwargs, "margin": margin})


def _without_rounding(call: Call) -> Tensor:
    return torch.div(argument(call, 0, "input"), argument(call, 1, "other"))


def _scaled_down(call: Call) -> Any:
    """Hand over values that are all below ``SMALL``, parameters left aside."""

    def smaller(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point() and not isinstance(value, nn.Parameter):
            return value * (SMALL / (1e-12 + value.detach().abs().max())) if value.numel() else value
        return value

    return call.func(*map(smaller, call.args), **{name: smaller(each) for name, each in call.kwargs.items()})


def _with_gradient(call: Call) -> Any:
    """Hand over tensors that require a gradient."""

    def asking(value: Any) -> Any:
        plain = isinstance(value, Tensor) and value.is_floating_point() and not value.requires_grad
        return value.detach().requires_grad_() if plain else value

    return call.func(*map(asking, call.args), **{name: asking(each) for name, each in call.kwargs.items()})


STILL: dict[str, Callable[[Call], Any]] = {
    "reparametrized": _reparametrized,
    "straight through": _straight_through,
    "inside": _inside_image,
    "bilinear": _bilinear,
    "between": _between,
    "in range": _in_range,
    "sigmoid first": _behind(torch.sigmoid),
    "softmax first": _behind(lambda given: given.softmax(-1)),
    "margin": _wide_margin,
    "divide": _without_rounding,
    "scaled down": _scaled_down,
    "with gradient": _with_gradient,
}
"""What can be done instead, by name."""
