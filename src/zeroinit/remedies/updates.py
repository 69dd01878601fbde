"""Counts the updates of a model's parameters in any training loop, and notifies the model's remedies of each update.

An update is a step of an optimizer that changes parameters of the model. Passes are not counted: gradients accumulated
over three passes make one update, and so does a gradient penalty with a second pass. A step that a ``GradScaler`` skips
is no update. With several optimizers, an update is done once each optimizer has stepped.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from zeroinit.remedies.copies import CleanCopies, drop_hooks_of_copies
from zeroinit.remedies.part import Part
from zeroinit.remedies.step_hooks import StepHooks

__all__ = ["Updates", "updated_by"]

PATIENCE = 10
"""The count does not wait for an optimizer that rests while another one makes so many updates."""


@dataclass
class _Known:
    """An optimizer of the model: its number of steps, and the busiest optimizer's number at its last step."""

    optimizer: "weakref.ref[Optimizer]"
    parameters: set[nn.Parameter]
    num_steps: int
    busiest: int = 0
    is_open: bool = False
    is_late: bool = False


class Updates:
    """Watches a model and all optimizers, and notifies its parts of passes, steps and updates.

    A copy of the model made meanwhile is a plain model: it has none of the hooks.

    Args:
        model: The model whose updates are counted.

    Attributes:
        model: The model whose updates are counted.
        parts: What is notified, remedies for instance, in their order.
        num: Updates done.
        num_skipped: Steps that changed nothing: gradients that were not finite, or none at all.
        num_copies: How often the model was copied or pickled meanwhile.
        is_in_pass: Whether a training pass of the model is running.
        has_optimizer: Whether an optimizer of torch was seen to update the model.
        changed: The parameters updated so far.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.parts: list[Part] = []
        self.num = self.num_skipped = self.num_copies = 0
        self.has_optimizer = False
        self._forget()

    def _forget(self) -> None:
        self.is_in_pass = False
        self.changed: set[nn.Parameter] = set()
        self._known: dict[int, _Known] = {}
        self._seen = 0
        self._num_passes = 0
        self._num_by_hand = 0
        self._is_stepping = False
        self._versions: dict[nn.Parameter, int] = {}
        self._watch: StepHooks | None = None
        self._handles: list[RemovableHandle] = []
        self._clean: CleanCopies | None = None
        self._is_copy = False

    def __getstate__(self) -> dict:
        """Leave out parts, optimizers and hooks, which belong to this model alone."""
        kept = ("model", "num", "num_skipped", "num_copies", "has_optimizer")
        return {name: vars(self)[name] for name in kept}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self.parts = []
        self._forget()
        self._is_copy = True

    def add(self, part: Part) -> None:
        """Notify one more part from now on."""
        if part not in self.parts:
            self.parts.append(part)
        if not self._handles:
            self._handles = [
                self.model.register_forward_pre_hook(self._begin_pass),
                self.model.register_forward_hook(self._end_pass, prepend=True, always_call=True),
            ]
            self._clean = CleanCopies(self.model, self._note_copy)
            self._clean.leave_out(self._handles)
        if self._clean is not None:
            self._clean.leave_out(part._handles)
        self._is_copy = False
        self._watch = self._watch or StepHooks(self)

    def remove(self, part: Part) -> None:
        """Notify a part no longer; without parts, remove all hooks."""
        if part in self.parts:
            self.parts.remove(part)
        if not self.parts:
            self._stop()

    def _note_copy(self) -> None:
        self.num_copies += 1

    def _stop(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._clean is not None:
            self._clean.end()
            self._clean = None
        self.is_in_pass = False
        if self._watch is not None and self._is_stepping:
            self._watch.fade()
        elif self._watch is not None:
            self._watch.end()
            self._watch = None

    def _drop_finished(self) -> None:
        for part in [part for part in self.parts if not part.remaining]:
            part.detach()

    def _begin_pass(self, model: nn.Module, inputs: tuple) -> None:
        self.is_in_pass = False
        if self._is_copy:  # the class of some module copies hooks in a way of its own
            drop_hooks_of_copies(self.model)
            return
        for part in self.parts:
            part._leave()  # a pass that was interrupted (Ctrl-C) has not run the hook after it
        if not (model.training and torch.is_grad_enabled()):
            return
        self.notice_by_hand()
        self._drop_finished()
        if not self.parts:
            return
        self._watch = self._watch or StepHooks(self)
        self.is_in_pass = True
        for part in list(self.parts):
            if part in self.parts:  # one may end the others
                part._begin_pass()

    def _end_pass(self, model: nn.Module, inputs: tuple, output) -> None:
        succeeded = self.is_in_pass and output is not None  # a pass that failed has no output
        self.is_in_pass = False
        for part in self.parts:
            part._leave()
        if succeeded:
            self._num_passes += 1
            if not self._known:
                self._versions = {each: each._version for each in model.parameters() if each.requires_grad}
            for part in self.parts:
                part._end_pass(output)

    def notice_by_hand(self, is_last: bool = False) -> None:
        """Count an update that no optimizer of torch made: parameters are others than after the last pass.

        The first such update is counted with the second, or at the end, because an optimizer may make its first step
        before. An optimizer that moves weights by hand for a second pass (SAM) makes no update by this move.
        """
        if self._known or self.has_optimizer:
            return
        changed = {each for each, version in self._versions.items() if each._version != version}
        self._versions = {each: each._version for each in self._versions}
        self.changed |= changed
        self._num_by_hand += bool(changed)
        if self._num_by_hand == 1 and not self.num and not is_last:
            return
        for _ in range(self._num_by_hand):
            counting = self._count()
            for part in counting:
                part._after_update([], self.changed)
            for part in counting:
                part._end_update()
        self._num_by_hand = 0

    def _own(self, optimizer: Optimizer) -> set[nn.Parameter]:
        own = set(self.model.parameters())
        return {each for group in optimizer.param_groups for each in group["params"] if each in own}

    def before_step(self, optimizer: Optimizer, closure: Callable | None = None) -> Callable | None:
        """An optimizer, perhaps of another model, is about to update its parameters; return its closure."""
        parameters = self._own(optimizer)
        if not parameters:
            return closure
        known = self._known.get(id(optimizer))
        if known is None or known.optimizer() is not optimizer:
            known = self._meet(optimizer, parameters)
        else:
            known.is_late = False
        known.is_open, known.parameters = True, parameters
        self._is_stepping = True
        try:
            if not known.is_late:
                self._drop_finished()
            for part in list(self.parts):
                if part in self.parts:  # one may end the others
                    part._before_step(optimizer, known.is_late)
        finally:
            self._is_stepping = False
        return closure

    def _meet(self, optimizer: Optimizer, parameters: set[nn.Parameter]) -> _Known:
        """Note a new optimizer; it replaces optimizers whose parameters it holds, unless one of them is calling it."""
        is_late = self._seen > 0 and not self._num_passes and not (parameters & self.changed)
        self._known = {
            key: known
            for key, known in self._known.items()
            if known.optimizer() is not None and (known.is_open or not known.parameters <= parameters)
        }
        known = _Known(weakref.ref(optimizer), parameters, self._seen - is_late, is_late=is_late)
        self._known[id(optimizer)] = known
        return known

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has made its step."""
        known = self._known.get(id(optimizer))
        if known is None or not known.is_open:
            return
        known.is_open = False
        updated = updated_by(optimizer, known.parameters)
        if updated:
            self.has_optimizer = True
            self.changed |= updated
            known.num_steps += 1
            known.busiest = max(each.num_steps for each in self._known.values())
        else:
            self.num_skipped += 1
        counting = self._count() if updated and self._is_complete() else []
        for part in list(self.parts):
            part._after_step(optimizer)
            if known.is_late and updated:
                part._after_update([optimizer], updated)
            if part in counting:
                part._after_update(self._optimizers(), self.changed)
        for part in counting:
            part._end_update()

    def _is_complete(self) -> bool:
        """Whether every active optimizer has made its step."""
        busiest = max(each.num_steps for each in self._known.values())
        done = min(each.num_steps for each in self._known.values() if busiest - each.busiest < PATIENCE)
        is_new, self._seen = done > self._seen, max(done, self._seen)
        return is_new

    def _count(self) -> list[Part]:
        """Count an update; return the parts that act in it."""
        self.num += 1
        self._num_passes = 0
        counting = [part for part in self.parts if part.remaining]
        for part in counting:
            part.remaining -= 1
        return counting

    def _optimizers(self) -> list[Optimizer]:
        found = (known.optimizer() for known in self._known.values())
        return [optimizer for optimizer in found if optimizer is not None]


def updated_by(optimizer: Optimizer, parameters: set[nn.Parameter]) -> set[nn.Parameter]:
    """Return the parameters that a step has updated: those with a gradient, or none if a ``GradScaler`` skipped it."""
    found_inf = getattr(optimizer, "found_inf", None)  # set by a GradScaler for a fused optimizer
    if isinstance(found_inf, Tensor) and bool(found_inf.detach().sum() > 0):
        return set()
    return {parameter for parameter in parameters if parameter.grad is not None}
