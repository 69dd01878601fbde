"""Count the updates of a model in any training loop, and notify the model's remedies of each update.

An update is a step of an optimizer that changes parameters of the model. Passes do not count: gradients accumulated
over three passes make one update. A step that a ``GradScaler`` skips is no update. With several optimizers, an update
is done once each optimizer has stepped.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from zeroinit.remedies.compiled import Eager

if TYPE_CHECKING:
    from zeroinit.remedies.remedy import Remedy

__all__ = ["Updates"]

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


class _Phase:
    """Whether the original model has done its updates; a copy of the model shares this object, a saved one does not."""

    def __init__(self) -> None:
        self.is_over = False

    def __deepcopy__(self, memo: dict) -> "_Phase":
        return self

    def __reduce__(self) -> tuple:
        return _Phase, ()


class Updates:
    """Watches a model and all optimizers, and notifies its parts of passes, steps and updates.

    A copy of the model made meanwhile has its own ``Updates``, which starts with the copy's next training pass. Once
    the original has done all its updates, nothing acts on the copy any more: it may be a best model or an average.

    Args:
        model: The model whose updates are counted.

    Attributes:
        model: The model whose updates are counted.
        parts: The remedies that are notified, in their order.
        num: Updates done.
        num_skipped: Steps that changed nothing: gradients that were not finite, or none at all.
        is_in_pass: Whether a training pass of the model is running.
        has_optimizer: Whether an optimizer of torch was seen to update the model.
        changed: The parameters updated so far.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self.parts: list[Remedy] = []
        self.num = self.num_skipped = 0
        self.has_optimizer = self._is_copy = False
        self._phase = _Phase()
        self._handles: list[RemovableHandle] = []
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
        self._watch: _Watch | None = None

    def __getstate__(self) -> dict:
        """Leave out the optimizers and the hooks on their steps, which belong to this model alone."""
        kept = ("model", "parts", "num", "num_skipped", "has_optimizer", "_handles", "_phase")
        return {name: vars(self)[name] for name in kept} | {"_is_copy": True}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._forget()

    @property
    def is_over(self) -> bool:
        """Whether this is of a copy whose original has done its updates."""
        return self._is_copy and self._phase.is_over

    def add(self, part: "Remedy") -> None:
        """Notify one more part from now on."""
        if part not in self.parts:
            self.parts.append(part)
        if not self._is_copy:
            self._phase.is_over = False
        if not self._handles:
            self._handles = [
                self.model.register_forward_pre_hook(self._begin_pass),
                self.model.register_forward_hook(self._end_pass, prepend=True, always_call=True),
            ]
        self._watch = self._watch or _Watch(self)

    def remove(self, part: "Remedy") -> None:
        """Notify a part no longer; without parts, remove all hooks."""
        if part in self.parts:
            self.parts.remove(part)
        if self.parts:
            return
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.is_in_pass = False
        if self._watch is not None and self._is_stepping:
            self._watch.fade()
        elif self._watch is not None:
            self._watch.end()
            self._watch = None

    def _drop_finished(self) -> None:
        for part in [part for part in self.parts if not part.remaining or self.is_over]:
            part.detach()

    def _begin_pass(self, model: nn.Module, inputs: tuple) -> None:
        self.is_in_pass = False
        for part in self.parts:
            part._leave()  # a pass that was interrupted (Ctrl-C) has not run the hook after it
        if not (model.training and torch.is_grad_enabled()):
            return
        self.notice_by_hand()
        self._drop_finished()
        if not self.parts:
            return
        self._watch = self._watch or _Watch(self)
        self.is_in_pass = True
        for part in self.parts:
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
        """Count an update that no optimizer of torch made: parameters differ from those after the last pass.

        The first one counts only with the second, or at the end, because an optimizer may still make its first step. An
        optimizer that moves weights by hand for a second pass (SAM) makes no update by that.
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
            self._end_update(counting)
        self._num_by_hand = 0

    def _own(self, optimizer: Optimizer) -> set[nn.Parameter]:
        own = set(self.model.parameters())
        return {each for group in optimizer.param_groups for each in group["params"] if each in own}

    def before_step(self, optimizer: Optimizer) -> None:
        """An optimizer, perhaps of another model, is about to update its parameters."""
        parameters = self._own(optimizer)
        if not parameters:
            return
        known = self._known.get(id(optimizer))
        if known is None or known.optimizer() is not optimizer:
            known = self._meet(optimizer, parameters)
        else:
            known.is_late = False
        known.is_open, known.parameters = True, parameters
        if not known.is_late:
            self._is_stepping = True
            self._drop_finished()
            self._is_stepping = False
        for part in self.parts:
            part._before_step(optimizer, known.is_late)

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
        updated = _updated(optimizer, known.parameters)
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
        self._end_update(counting)

    def _end_update(self, counting: list["Remedy"]) -> None:
        for part in counting:
            part._end_update()
        if counting and not self._is_copy and not any(part.remaining for part in self.parts):
            self._phase.is_over = True

    def _is_complete(self) -> bool:
        """Whether every active optimizer has made its step."""
        busiest = max(each.num_steps for each in self._known.values())
        done = min(each.num_steps for each in self._known.values() if busiest - each.busiest < PATIENCE)
        is_new, self._seen = done > self._seen, max(done, self._seen)
        return is_new

    def _count(self) -> list["Remedy"]:
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


class _Watch:
    """The hooks on the steps of all optimizers; they hold only a weak reference to the model.

    While these hooks exist, compiled functions run uncompiled, so that hooks on modules are called.
    """

    def __init__(self, updates: Updates):
        reference = weakref.ref(updates)
        self._eager = Eager()
        self._handles = [
            register_optimizer_step_pre_hook(_forward(reference, Updates.before_step)),
            register_optimizer_step_post_hook(_forward(reference, Updates.after_step)),
        ]
        self._finalizer = weakref.finalize(updates, _end, self._handles, self._eager)

    def fade(self) -> None:
        """Remove what can be removed while torch runs the hooks before a step."""
        self._handles[1].remove()
        self._eager.end()

    def end(self) -> None:
        """Remove both hooks."""
        self._finalizer()


def _forward(reference: "weakref.ref[Updates]", method: Callable[[Updates, Optimizer], None]) -> Callable:
    def hook(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        updates = reference()
        if updates is not None:
            method(updates, optimizer)

    def concerns(model: nn.Module) -> bool:
        updates = reference()
        return updates is not None and updates.model is model and bool(updates.parts)

    hook.concerns = concerns  # type: ignore[attr-defined]  # what records updates asks every hook that can answer
    return hook


def _end(handles: list[RemovableHandle], eager: Eager) -> None:
    for handle in handles:
        handle.remove()
    eager.end()


def _updated(optimizer: Optimizer, parameters: set[nn.Parameter]) -> set[nn.Parameter]:
    """Return the parameters that a step has updated: those with a gradient, or none if a ``GradScaler`` skipped it."""
    found_inf = getattr(optimizer, "found_inf", None)  # what a GradScaler tells a fused optimizer
    if isinstance(found_inf, Tensor) and bool(found_inf.detach().sum() > 0):
        return set()
    return {parameter for parameter in parameters if parameter.grad is not None}
