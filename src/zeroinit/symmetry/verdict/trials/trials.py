"""Trials: a cause is changed on a copy, to see whether the parameters it is blamed for get a gradient.

A reason that is printed was tried here, and so was the repair beside it. A trial changes the copy, runs at most two
backward passes with an update in between, and puts everything back.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zeroinit._common import InputError, derive_seed
from zeroinit._modules.attached import nodes_behind
from zeroinit._modules.copying import copier_of
from zeroinit.symmetry.measures.rounding import FAINT, row_sizes
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import forward_loss
from zeroinit.symmetry.shadow.undisturbed import reseed
from zeroinit.symmetry.units.layers import Part
from zeroinit.symmetry.verdict.passes.applied import checkpoints_off
from zeroinit.symmetry.verdict.passes.calls import Calls
from zeroinit.symmetry.verdict.trials.actions import ACTIONS
from zeroinit.symmetry.verdict.trials.change import SHRUNK, Change
from zeroinit.symmetry.verdict.trials.drawn_inputs import INPUTS
from zeroinit.symmetry.verdict.trials.passing import passing
from zeroinit.symmetry.verdict.trials.values import drawn, empty_rows, signs

__all__ = ["SHRUNK", "Change", "Trials"]

PASSES = 2
STEP = 0.5
"""Length of the update between two passes, for one value of a vector; weights share it among their inputs."""
MOST_TRIALS = 80
TINY = 64
"""So many machine epsilons of the model's largest gradient are more than rounding."""
SMALL = 16
"""Buffers of so many values at most are put back after a trial: what counts passes is among them."""


@dataclass
class Trials:
    """Runs changes on a copy and keeps what each of them showed.

    Attributes:
        replica: The copy; it is as before after each trial.
        objective: The batch and the loss.
        dtype: Of the copy.
        dropout: Whether dropout acts.
        seed: Of the inspection.
        watched: Names of the parameters whose gradients are looked at.
        scale: The model's largest gradient.
        parts: Along which axis the units of a watched weight are counted, where that is not the first.
        left: How many more trials may be run.
        written: Names of parameters that a pass writes to by itself; they are put back where losses are compared.
        reentrant: Whether the last pass met a reentrant checkpoint.
        counts: Whether the model changes numbers of its own in a pass, as one that counts its steps.
    """

    replica: nn.Module
    objective: Objective
    dtype: torch.dtype
    dropout: bool
    seed: int
    watched: set[str]
    scale: float = 1.0
    parts: dict[str, Part] = field(default_factory=dict)
    left: int = MOST_TRIALS
    written: frozenset[str] = frozenset()
    reentrant: bool = False
    counts: bool = False
    _kept: dict[Any, dict[str, np.ndarray]] = field(default_factory=dict)

    def frees(self, change: Change, step: int = 0, passes: int = PASSES) -> frozenset[str]:
        """Return the watched parameters that get a gradient."""
        limit = FAINT[self.dtype] * self.scale
        return frozenset(name for name, rows in self.rows(change, step, passes).items() if (rows > limit).any())

    def frees_from_zero(self, change: Change, other: Change, step: int = 0) -> frozenset[str]:
        """Return the watched parameters with a gradient, however small, that is exactly zero with another change."""
        limit, zero = TINY * torch.finfo(self.dtype).eps * self.scale, self.rows(other, step)
        there = {name for name, rows in self.rows(change, step).items() if (rows > limit).any()}
        return frozenset(name for name in there if name in zero and not zero[name].any())

    def freed_rows(self, change: Change, name: str, step: int = 0) -> np.ndarray:
        """Return which rows of one parameter get a gradient (rows,)."""
        rows = self.rows(change, step).get(name)
        limit = FAINT[self.dtype] * self.scale
        return np.zeros(0, dtype=bool) if rows is None else rows > limit

    def rows(self, change: Change, step: int = 0, passes: int = PASSES) -> dict[str, np.ndarray]:
        """Return, for each watched parameter, the largest gradient of each row in all passes."""
        key = change, step, passes
        if key not in self._kept:
            if self.left <= 0:
                return {}
            self.left -= 1
            self._kept[key] = self._run(change, step, passes)
        return self._kept[key]

    def loss(self, change: Change, step: int, calls: Calls | None = None) -> Tensor:
        """Go forward once with a change; numbers that count passes are put back."""
        counters = _counters(self.replica)
        try:
            return self._loss(change, step, calls)
        finally:
            for module, (numbers, _) in counters.items():
                self.counts = self.counts or any(vars(module).get(name) != each for name, each in numbers.items())
                module.__dict__.update(numbers)

    def _loss(self, change: Change, step: int, calls: Calls | None = None) -> Tensor:
        reseed(self.seed, step)
        calls = calls or Calls(
            self.replica,
            {key: ACTIONS[name] for key, name in change.calls},
            gradients=change.gradients,
            attach=change.attach,
            unwrap=change.unwrap,
            uncopied=change.uncopied,
            keep=change.outputs,
        )
        objective = self.objective
        if change.inputs:
            objective = replace(objective, inputs=INPUTS[change.inputs](objective.inputs))
        if change.targets:
            objective = replace(objective, targets=INPUTS[change.targets](objective.targets))
        with checkpoints_off() as met, calls:
            loss = forward_loss(self.replica, objective, self.dtype, ShadowMode(self.dtype, self.dropout))
        self.reentrant = bool(met)
        return loss + _dangling(calls, loss) if change.outputs else loss

    def loss_changes(
        self, change: Change, step: int = 0, before: float | None = None, share: float | None = None
    ) -> bool:
        """Tell whether a change of parameters alters the loss, which was ``before``, by a share, or beyond rounding."""
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = [(each, each.clone()) for each in map(self.replica.get_parameter, sorted(self.written))]

            def now() -> float:
                value = float(self.loss(Change(), step).detach())
                for each, earlier in kept:
                    each.copy_(earlier)
                return value

            before = now() if before is None or kept else before
            with self._changed(change):
                after = now()
        share = FAINT[self.dtype] if share is None else share
        return not abs(after - before) <= share * max(abs(before), 1e-30)

    def _run(self, change: Change, step: int, passes: int) -> dict[str, np.ndarray]:
        named = dict(self.replica.named_parameters())
        watched = [name for name in sorted(self.watched) if name in named and named[name].requires_grad]
        found: dict[str, np.ndarray] = {}
        with (
            self._changed(change),
            passing(change.functions),
            self._hooks_off(named) if change.hooks else nullcontext(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # a trial may do what the user never does
            for at in range(passes):
                try:
                    gradients = self._gradients(change, step, [named[name] for name in watched])
                except (InputError, RuntimeError, ValueError, IndexError, TypeError, NotImplementedError):
                    return found  # the model cannot be run with this change, or not after an update
                for name, gradient in zip(watched, gradients, strict=True):
                    if gradient is not None and torch.isfinite(gradient).all():
                        part = self.parts.get(name)
                        rows = row_sizes(gradient if part is None else part.rows(gradient)).double().cpu().numpy()
                        found[name] = np.maximum(rows, found[name]) if name in found else rows
                if at + 1 < passes:
                    self._update(named, watched, gradients)
        return found

    def _gradients(self, change: Change, step: int, parameters: list[nn.Parameter]) -> tuple:
        with torch.enable_grad():
            loss = self._loss(change, step)
            if not loss.requires_grad:
                return (None,) * len(parameters)
            if not any(action == "with gradient" for _, action in change.calls):
                return torch.autograd.grad(loss, parameters, allow_unused=True)
            self.replica.zero_grad()
            loss.backward()  # functions that hold modules go backward through them by themselves
        found = tuple(each.grad for each in parameters)
        self.replica.zero_grad()
        return found

    def _update(self, named: dict[str, nn.Parameter], watched: list[str], gradients: tuple) -> None:
        limit = FAINT[self.dtype] * self.scale
        with torch.no_grad():
            for name, gradient in zip(watched, gradients, strict=True):
                if gradient is not None and float(gradient.abs().max() if gradient.numel() else 0) > limit:
                    inputs = max(1, named[name][0].numel()) if named[name].dim() > 1 else 100
                    size = (gradient.abs() + limit).clamp_min(1e-300 if self.dtype == torch.float64 else 1e-30)
                    named[name].sub_(STEP / inputs**0.5 * gradient / size)

    @contextmanager
    def _changed(self, change: Change) -> Iterator[None]:
        """Change parameters; afterwards all that can have changed is as before."""
        named = dict(self.replica.named_parameters())
        copier = copier_of(self.replica)
        touched = {
            *change.draw,
            *change.rows,
            *change.zero,
            *change.ones,
            *change.shrink,
            *change.moved,
            *self.watched,
        } & set(named)
        saved = {name: (named[name].data, named[name].detach().clone()) for name in touched}
        generator = torch.Generator("cpu").manual_seed(derive_seed(self.seed, "trials"))
        counters = _counters(self.replica)
        try:
            for name in touched:
                if copier is not None and named[name].untyped_storage().data_ptr() in copier.shared:
                    named[name].data = saved[name][1].to(self.dtype)  # memory of the model itself, which stays as it is
            with torch.no_grad():
                for name in change.draw:
                    named[name].add_(drawn(named[name], len(change.draw), generator))
                for name in change.rows:
                    empty = empty_rows(named[name], self.parts[name].axis if name in self.parts else 0)
                    named[name].add_(drawn(named[name], 1, generator) * empty)
                for name in (*change.zero, *change.ones):
                    named[name].fill_(float(name in change.ones))
                for name in change.shrink:
                    named[name].div_(change.distance or SHRUNK)
                for name in change.moved:
                    named[name].add_(change.distance * signs(named[name], generator))
            yield
        finally:
            with torch.no_grad():
                for name, (memory, value) in saved.items():
                    if named[name].data_ptr() == memory.data_ptr():
                        named[name].copy_(value)
                    else:
                        named[name].data = memory
                for module, (numbers, buffers) in counters.items():
                    module.__dict__.update(numbers)
                    for buffer, before in buffers:
                        buffer.copy_(before)

    @contextmanager
    def _hooks_off(self, named: dict[str, nn.Parameter]) -> Iterator[None]:
        """Take off what rewrites gradients."""
        owners: list[Any] = [*named.values(), *self.replica.modules()]
        saved = [(each, each._backward_hooks) for each in owners if getattr(each, "_backward_hooks", None)]
        for each, hooks in saved:
            each._backward_hooks = type(hooks)()
        try:
            yield
        finally:
            for each, hooks in saved:
                each._backward_hooks = hooks


def _counters(model: nn.Module) -> dict[nn.Module, tuple[dict[str, Any], list[tuple[Tensor, Tensor]]]]:
    """Keep everything that may count passes: numbers among the attributes of modules, and small buffers."""
    return {
        each: (
            {name: value for name, value in vars(each).items() if type(value) in (int, float, bool)},
            [
                (b, b.clone())
                for b in nn.Module.buffers(each, recurse=False)
                if b.numel() <= SMALL and b.layout == torch.strided
            ],
        )
        for each in model.modules()
    }


def _dangling(calls: Calls, loss: Tensor) -> Tensor:
    """Sum what was computed with a gradient and does not lead to the loss."""
    seen = nodes_behind([loss.grad_fn])
    loose = [
        each
        for call in calls.calls
        for each, node in zip(call.out, call.nodes, strict=True)
        if node is not None and node not in seen and each.is_floating_point() and each.numel()
    ]
    return sum((1e-3 * each.square().mean() for each in loose), torch.zeros_like(loss))
