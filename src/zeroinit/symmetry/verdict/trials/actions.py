"""Actions in place of a call. They show which gradients the call keeps from its arguments."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit.symmetry.verdict.passes.calls import Call
from zeroinit.symmetry.verdict.passes.noise import noise
from zeroinit.symmetry.verdict.trials.still_actions import STILL

__all__ = ["ACTIONS", "other_axis"]


def _identity(call: Call) -> Tensor:
    given = call.given[0]
    shape = torch.broadcast_shapes(given.shape, *(each.shape for each in call.given[1:] if call.name != "layer_norm"))
    return given.expand(shape) if given.shape != shape and call.name in ("div", "truediv") else given * 1.0


def _leaky(call: Call) -> Tensor:
    return F.leaky_relu(call.given[0], 0.01)


def _normalized(call: Call) -> Any:
    """Put a batch norm in front of an activation: over all but the channels of a map, or the last axis."""
    given = call.given[0]
    axes = [at for at in range(given.dim()) if at != (1 if given.dim() > 3 else given.dim() - 1)]
    spread = given.var(axes, unbiased=False, keepdim=True) + 1e-5
    other = (given - given.mean(axes, keepdim=True)) * spread.rsqrt()
    args = tuple(other if each is given else each for each in call.args)
    kwargs = {name: other if each is given else each for name, each in call.kwargs.items() if name != "inplace"}
    return call.func(*args, **kwargs)


def _with_skip(call: Call) -> Any:
    """Add what goes into an activation to what comes out."""
    given = call.given[0] * 1.0
    return call.func(*call.args, **call.kwargs) + given


def _with_first_detached(call: Call) -> Any:
    return call.func(call.args[0].detach(), *call.args[1:], **call.kwargs)


def _with_last_detached(call: Call) -> Any:
    return call.func(*call.args[:-1], call.args[-1].detach(), **call.kwargs)


def _sigmoid(call: Call) -> Tensor:
    return torch.sigmoid(call.given[0])


def other_axis(shape: torch.Size) -> int | None:
    """Return the longest axis behind the first of the batch; ``None`` if none has two or more values.

    Example:
        >>> other_axis(torch.Size([8, 5, 1])), other_axis(torch.Size([8, 1]))
        (1, None)
    """
    axis = max(range(1, len(shape)), key=lambda at: shape[at], default=None)
    return axis if axis is not None and shape[axis] > 1 else None


def _over_other_axis(call: Call) -> Tensor:
    axis = other_axis(call.given[0].shape)
    return torch.softmax(call.given[0], -1 if axis is None else axis)


def _cooled(call: Call) -> Tensor:
    scores = call.given[0]
    args = tuple(each / (1 + each.detach().abs().max()) if each is scores else each for each in call.args)
    kwargs = {name: each / (1 + each.detach().abs().max()) if each is scores else each for name, each in
              call.kwargs.items()}  # fmt: skip
    return call.func(*args, **kwargs)


def _with_noise(call: Call) -> Any:
    """Put noise in the place of floats that are zero everywhere, parameters left aside."""

    def other(value: Any) -> Any:
        plain = isinstance(value, Tensor) and value.is_floating_point() and not isinstance(value, nn.Parameter)
        if plain and value.numel() and not value.detach().any():
            return value + noise(value)
        if isinstance(value, Tensor) and value.dtype == torch.bool and not value.any():
            return noise(value.to(torch.get_default_dtype()))
        return type(value)(map(other, value)) if type(value) in (list, tuple) else value

    return call.func(*map(other, call.args), **{name: other(each) for name, each in call.kwargs.items()})


def _more_keys(call: Call) -> Any:
    """Let attention see one more key, of random values."""
    names = ("query", "key", "value", "attn_mask")
    if call.name == "multi_head_attention_forward":
        arguments = list(call.args)
        for at in (1, 2):
            arguments[at] = torch.cat([arguments[at], noise(arguments[at][:1]) + at], dim=0)
        for name in ("key_padding_mask", "attn_mask"):
            call.kwargs.pop(name, None)
        return call.func(*arguments, **call.kwargs)
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    key, value = [
        torch.cat([given[name], noise(given[name][..., :1, :]) + at], dim=-2) for at, name in enumerate(names[1:3])
    ]
    return F.scaled_dot_product_attention(given["query"], key, value)


def _with_graph(call: Call) -> Any:
    """Take a derivative so that it has one of its own."""
    names = list(inspect.signature(call.func).parameters)
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    return call.func(**given | {"retain_graph": True, "create_graph": True})


def _squared(call: Call) -> Tensor:
    return call.given[0].square().mean()


def _with_all_values(call: Call) -> Any:
    """Tie what is kept of a tensor to all of its values; what comes out stays as it is."""
    whole, kept = call.given[0], call.func(*call.args, **call.kwargs)
    mean = (whole * noise(whole)).mean()
    tie = 1e-3 * (mean - mean.detach())
    if isinstance(kept, Tensor):
        return kept + tie * noise(kept)
    return type(kept)(each + tie * noise(each) for each in kept)


def _short_targets(call: Call) -> Any:
    """Let every target of a CTC loss be of one symbol."""
    names = ("log_probs", "targets", "input_lengths", "target_lengths")
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    targets, lengths = given["targets"], given["target_lengths"]
    ones = torch.ones_like(lengths) if isinstance(lengths, Tensor) else type(lengths)(1 for _ in lengths)
    short = targets[:, :1] if targets.dim() > 1 else targets[: len(lengths)]
    return call.func(
        given["log_probs"],
        short,
        given["input_lengths"],
        ones,
        *call.args[4:],
        **{name: each for name, each in call.kwargs.items() if name not in names},
    )


ACTIONS: dict[str, Callable[[Call], Any]] = STILL | {
    "take out": _identity,
    "leaky": _leaky,
    "sigmoid": _sigmoid,
    "detach first": _with_first_detached,
    "detach last": _with_last_detached,
    "other axis": _over_other_axis,
    "cooler": _cooled,
    "noise": _with_noise,
    "more keys": _more_keys,
    "squared": _squared,
    "with graph": _with_graph,
    "normalized": _normalized,
    "skip": _with_skip,
    "all values": _with_all_values,
    "smooth": lambda call: torch.tanh(call.given[0]),
    "short targets": _short_targets,
}
"""What can be done instead of a call, by name."""
