"""Short training of a copy: which gradients are there, when, and whether they are signal or rounding."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zeroinit.symmetry.shadow.memory.frugal import give_back, is_large
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import one_pass
from zeroinit.symmetry.shadow.trace import Settings, Trace, record
from zeroinit.symmetry.shadow.updates import (
    build_updates,
    held_by,
    options_of,
    rebind,
    scale_rates,
    sparse_by_choice,
    take_step,
)

__all__ = ["run_shadow"]

FEWEST_STEPS, MOST_STEPS, PATIENCE = 4, 64, 2


def run_shadow(
    replica: nn.Module,
    objective: Objective,
    dtype: torch.dtype,
    settings: Settings,
    *,
    reference: Trace | None = None,
    watch: Callable[[int, dict[str, Tensor]], bool] | None = None,
) -> Trace:
    """Train a copy in place for a few steps.

    Args:
        replica: Made by ``copy_of``.
        objective: The batch, the same at each step, and the loss.
        dtype: Of the copy.
        settings: How it trains.
        reference: The float32 trace, with which gradients are told from rounding.
        watch: Called with step and gradients, rounding set to zero, before each update; tells whether it saw news.

    Returns:
        The trace.
    """
    named = {name: parameter for name, parameter in replica.named_parameters() if parameter.requires_grad}
    updates = build_updates(settings.optimizer, settings.learning_rate, named.values())
    rebind(updates, replica)
    scale_rates(updates, settings.rate_factor)
    trace = Trace(held=held_by(updates, named), options=options_of(updates, named))
    mode = ShadowMode(dtype, settings.dropout)
    large, sparse = is_large(replica.parameters()), sparse_by_choice(replica, settings.optimizer)
    last_news, resets = 0, _Resets(named)
    with_gradient: set[str] = set()
    for step in range(1, (settings.steps or MOST_STEPS) + 1):
        mode.looks_at_norms = step == 1 and dtype == torch.float32
        resets.before_pass()
        states = {name: _state(each) for name, each in replica.named_parameters()} if step == 1 else {}
        loss = one_pass(replica, objective, dtype, settings, mode, step)
        trace.written |= {name for name, state in states.items() if _state(replica.get_parameter(name)) != state}
        resets.after_pass()
        trace.losses.append(float(loss))
        gradients = {name: _dense(each, id(each) in sparse) for name, each in named.items() if each.grad is not None}
        if not math.isfinite(trace.losses[-1]) and not _all_finite(gradients):
            break
        record(trace, named, gradients, reference)
        if trace.broken is not None:
            break
        now = {name for name, size in trace.sizes[-1].items() if size > 0}
        news = bool(now - with_gradient)
        with_gradient |= now
        if watch is not None:
            news |= watch(step, gradients)
        last_news = step if news else last_news
        if large:
            give_back()
        take_step(updates)
        del gradients  # else the old gradients would be in memory beside the new ones
        if settings.steps is None and step >= FEWEST_STEPS and step - last_news >= PATIENCE:
            break
    names = {id(parameter): name for name, parameter in replica.named_parameters()}
    trace.used, trace.drops = {names[each] for each in mode.used if each in names}, mode.drops
    trace.broadcast, trace.out_of_reach, trace.made = mode.broadcast, mode.out_of_reach, mode.made
    trace.reset, trace.activated, trace.constant_term = resets.names, mode.activated, mode.constant_term
    trace.keeps_derivative = mode.keeps_derivative
    trace.padded = {names[each]: found for each, found in mode.padded.items() if each in names}
    trace.lowered, trace.coarse, trace.flat = mode.lowered, mode.coarse, mode.flat
    return trace


def _all_finite(gradients: dict[str, Tensor]) -> bool:
    """Tell whether there are gradients, and all are finite: the loss holds a NaN that leads to no parameter."""
    found = [each for each in gradients.values() if each.any()]
    return bool(found) and all(bool(torch.isfinite(each).all()) for each in found)


def _dense(parameter: nn.Parameter, keep: bool = False) -> Tensor:
    """Return the gradient as a dense tensor. It takes the place of a sparse one, unless that is to be kept."""
    assert parameter.grad is not None
    if parameter.grad.layout == torch.strided:
        return parameter.grad
    dense = parameter.grad.to_dense()
    if not keep:
        parameter.grad = dense
    return dense


class _Resets:
    """Finds parameters that each forward pass sets to the same values, whatever an update has done to them."""

    def __init__(self, named: dict[str, nn.Parameter]):
        self.names: set[str] = set()
        self._named, self._states = named, {name: _state(each) for name, each in named.items()}
        self._values: dict[str, Tensor] = {}
        self._moved: set[str] = set()

    def before_pass(self) -> None:
        self._moved = {name for name, value in self._values.items() if not torch.equal(value, self._named[name])}
        self._states = {name: _state(each) for name, each in self._named.items()}

    def after_pass(self) -> None:
        for name in [name for name, each in self._named.items() if _state(each) != self._states[name]]:
            now = self._named[name].detach().clone()
            same = name in self._moved and torch.equal(now, self._values[name])
            self.names = self.names | {name} if same else self.names - {name}
            self._values[name] = now


def _state(parameter: nn.Parameter) -> tuple[int, int]:
    """Return what changes if a tensor is written to, or if its ``data`` is replaced."""
    return parameter._version, parameter.data_ptr() if parameter.layout == torch.strided else 0
