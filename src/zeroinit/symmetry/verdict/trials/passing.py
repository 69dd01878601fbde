"""Lets autograd functions of the user's own pass a gradient on where they pass on none."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.autograd import Function

from zeroinit.symmetry.verdict.passes.noise import noise

__all__ = ["passing"]


@contextmanager
def passing(functions: tuple[type, ...]) -> Iterator[None]:
    """Let the backward passes of autograd functions hand on noise wherever they hand on nothing, or zeros alone."""
    with ExitStack() as stack:
        for each in functions:
            sets_up = each.setup_context is not Function.setup_context  # type: ignore[attr-defined]
            first = "setup_context" if sets_up else "forward"
            stack.callback(_restore, each, {name: each.__dict__.get(name) for name in (first, "backward")})
            setattr(each, first, staticmethod(_noting(getattr(each, first), sets_up)))
            each.backward = staticmethod(_passing(each.backward))  # type: ignore[attr-defined]
        yield


def _restore(function: type, own: dict[str, Any]) -> None:
    """Put back what a class had, and take off what it had inherited."""
    for name, value in own.items():
        if value is None:
            delattr(function, name)
        else:
            setattr(function, name, value)


def _noting(forward: Callable, sets_up: bool) -> Callable:
    """Note the arguments' places and shapes, for the backward pass."""

    def noted(context: Any, *arguments: Any) -> Any:
        given = arguments[0] if sets_up else arguments
        context.zeroinit_shapes = [each.shape if isinstance(each, Tensor) else None for each in given]
        return forward(context, *arguments)

    return noted


def _passing(backward: Callable) -> Callable:
    def passed(context: Any, *errors: Any) -> tuple:
        found = backward(context, *errors)
        listed = list(found) if isinstance(found, tuple) else [found]
        like = next(each for each in errors if isinstance(each, Tensor))
        for at, (needed, shape) in enumerate(zip(context.needs_input_grad, context.zeroinit_shapes, strict=True)):
            if needed and at < len(listed) and (listed[at] is None or not listed[at].any()):
                listed[at] = like if shape == like.shape else noise(like.new_empty(shape)) * like.abs().mean()
        return tuple(listed)

    return passed
