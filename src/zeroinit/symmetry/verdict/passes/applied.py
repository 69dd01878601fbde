"""How functions with a backward pass of their own are applied: seen one by one, and checkpoints as plain calls."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.autograd import Function
from torch.utils import checkpoint

__all__ = ["AppliedFunctions", "NoInferenceMode", "checkpoints_off"]


class AppliedFunctions:
    """Hands each ``apply`` of an autograd function over to someone who makes the call.

    Args:
        run: Takes the function, what computes the result, and the arguments; returns the result.
    """

    def __init__(self, run: Callable[[type, Callable, tuple, dict], Any]):
        self._run, self._own = run, Function.__dict__["apply"]

    def start(self) -> None:
        """Look at every function from now on."""
        own, run = self._own, self._run

        def apply(function: type, *args: Any, **kwargs: Any) -> Any:
            return run(function, own.__get__(None, function), args, kwargs)

        Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]

    def stop(self) -> None:
        """Let functions be applied as before."""
        Function.apply = self._own  # type: ignore[method-assign]


class NoInferenceMode:
    """Takes inference mode away, wherever it is switched on."""

    def __init__(self) -> None:
        self._own = {name: vars(torch.inference_mode)[name] for name in ("__enter__", "__exit__")}

    def start(self) -> None:
        """Let it do nothing from now on."""
        for name in self._own:
            setattr(torch.inference_mode, name, lambda *_: None)

    def stop(self) -> None:
        """Let it act as before."""
        for name, own in self._own.items():
            setattr(torch.inference_mode, name, own)


@contextlib.contextmanager
def checkpoints_off() -> Iterator[list[bool]]:
    """Run checkpointed functions as if they were not, so that the whole graph can be seen.

    Yields:
        A list with an entry for each reentrant checkpoint that was met.
    """
    met: list[bool] = []
    function, generator = checkpoint.CheckpointFunction, checkpoint._checkpoint_without_reentrant_generator

    def plain(run: Callable, preserve: bool, *arguments: Any) -> Any:
        met.append(True)
        return run(*arguments)

    function.apply = staticmethod(plain)  # type: ignore[method-assign]
    checkpoint._checkpoint_without_reentrant_generator = lambda *_, **__: iter([None])
    try:
        yield met
    finally:
        del function.apply  # the inherited one shows again
        checkpoint._checkpoint_without_reentrant_generator = generator
