"""Counts the updates that a watch sees, in a loop with any number of optimizers."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer

from zeroinit.integrations.skipped import Skipped, follow, leave
from zeroinit.remedies.step_hooks import StepHooks, notifying
from zeroinit.remedies.updates import updated_by

__all__ = ["Follower", "Rounds"]


@runtime_checkable
class Follower(Protocol):
    """Who is notified of updates."""

    def look(self, optimizer: Optimizer, parameters: set[nn.Parameter], update: int) -> None:
        """Gradients are ready, and the optimizer changes these parameters next, as a part of this update, from 1."""

    def drop(self) -> None:
        """The step was skipped: no update came of it."""

    def keep(self, update: int, is_late: bool) -> None:
        """The update is done; or, if late, one more optimizer has joined an update that was done."""


class Rounds:
    """Counts updates: an update changes each parameter at most once, and a step that changes one again begins the next.

    So nobody waits for an optimizer that rests, and the busiest optimizer makes the count. An update is done as soon as
    all parameters of the update before have had their step, at the latest when the next one begins.

    Args:
        model: The model whose updates are counted.

    Attributes:
        model: The model whose updates are counted.
        parts: Who is notified, while updates are counted.
        num: Updates begun so far: steps of an optimizer that changed the model.
        num_empty: Steps of an optimizer of this model at which no parameter had a gradient.
        num_calls: Calls of ``step`` of any optimizer.
        steps: Those that a ``GradScaler`` skipped, among others.
    """

    def __init__(self, model: nn.Module, steps: Skipped):
        self.model, self.steps = model, steps
        self.parts: tuple[Follower, ...] = ()
        self.num = self.num_empty = self.num_calls = 0
        self._hooks: StepHooks | None = None
        self._forget()

    def _forget(self) -> None:
        self._stepped: set[nn.Parameter] = set()
        self._expected: set[nn.Parameter] = set()
        self._running: dict[int, int] = {}
        self._is_open = False

    def start(self, follower: Follower) -> None:
        """Begin to count, and notify somebody."""
        self._forget()
        self.parts = (follower,)
        self._hooks = self._hooks or StepHooks(self, is_eager=False)
        follow(self)

    def end(self) -> None:
        """Count no more; may be called more than once."""
        if self._is_open:
            self._close()
        self.parts = ()
        if self._hooks is not None:
            self._hooks.end()
        self._hooks = None
        leave(self)

    def before_step(self, optimizer: Optimizer, closure: Callable | None = None) -> Callable | None:
        """An optimizer, perhaps of another model, is about to update its parameters.

        Returns:
            The closure; it notifies the follower afterwards that gradients are ready.
        """
        self.num_calls += 1
        current = set(self.model.parameters())
        own = _held(optimizer, current)
        if not own or not self.parts:
            return closure
        self._stepped &= current  # parameters that were replaced have no further steps
        update = self.num + (not self._stepped or not own.isdisjoint(self._stepped))
        if update > self.num and self._is_open:
            self._close()
        self._running[id(optimizer)] = update
        (follower,) = self.parts
        if closure is not None:
            return notifying(closure, lambda: follower.look(optimizer, own, update))
        follower.look(optimizer, own, update)
        return None

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has made its step, which may have changed nothing."""
        update = self._running.pop(id(optimizer), None)
        if update is None or not self.parts:
            return
        own = _held(optimizer, set(self.model.parameters()))
        is_first, (follower,) = update > self.num, self.parts
        if not updated_by(optimizer, own):
            is_empty = all(each.grad is None for each in own)
            self.num_empty += is_empty
            if not is_empty:
                self.skipped(optimizer)
            if is_first:
                follower.drop()
            return
        self.steps.done(optimizer)
        if is_first:
            self.num, self._expected, self._stepped, self._is_open = update, self._stepped, set(), True
        self._stepped |= own
        if not self._is_open:
            follower.keep(update, is_late=True)
        elif self._stepped >= self._expected:
            self._close()

    def skipped(self, optimizer: Optimizer) -> None:
        """A ``GradScaler`` has skipped a step, perhaps of another model."""
        if self.parts:
            self.steps.skip(optimizer, self.model)

    def _close(self) -> None:
        self._is_open = False
        for each in self.parts:
            each.keep(self.num, is_late=False)


def _held(optimizer: Optimizer, own: set[nn.Parameter]) -> set[nn.Parameter]:
    return {each for group in optimizer.param_groups for each in group["params"] if each in own}
