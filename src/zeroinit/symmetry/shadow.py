"""Short shadow training of a copy: which gradients are there, when, and whether they are signal or rounding.

Source: a gradient that exists only through rounding shrinks with machine epsilon, so float32 and float64 are compared.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Variable

from zeroinit._common import InputError
from zeroinit._modules.batch import describe
from zeroinit._modules.copying import Copier, copier_of
from zeroinit.symmetry.memory import frugal, give_back, is_large
from zeroinit.symmetry.objective import Objective
from zeroinit.symmetry.precision import ShadowMode
from zeroinit.symmetry.replaced import parts_kept
from zeroinit.symmetry.sharing import WriteGuard, WrittenError, is_shared
from zeroinit.symmetry.undisturbed import reseed
from zeroinit.symmetry.updates import (
    build_updates,
    held_by,
    options_of,
    rebind,
    scale_rates,
    sparse_by_choice,
    take_step,
)

__all__ = [
    "Settings", "Trace", "backward", "copy_of", "forward_loss", "is_rounding", "one_pass", "row_sizes", "run_shadow",
]  # fmt: skip

APART = 1e4
"""A float32 gradient so many times larger than the float64 one is rounding."""
FAINT = 1e-9
"""Rounding in float64 is smaller than this share of the largest gradient of the model."""
SMALL = 1e-5
"""A float32 gradient below this share of the largest gradient of the model may be rounding."""
UNDERFLOW = 1e-30
"""Below this a float64 gradient may have no counterpart in float32."""
FEWEST_STEPS, MOST_STEPS, PATIENCE = 4, 64, 2


@dataclass(frozen=True)
class Settings:
    """How a shadow trains.

    Attributes:
        optimizer: See ``build_updates``, as ``learning_rate``.
        steps: Number of updates; ``None`` for as many as there is news, at least 4 and at most 64.
        seed: For dropout and other draws inside the model.
        dropout: ``False`` switches every dropout off.
        equal_biases: Set every bias of a layer to the layer's mean bias before training.
        exact: Set gradients that are rounding to zero, as exact arithmetic would.
        rate_factor: What every learning rate is multiplied with.
    """

    optimizer: str | Callable = "adam"
    learning_rate: float | None = None
    steps: int | None = None
    seed: int = 0
    dropout: bool = True
    equal_biases: bool = False
    exact: bool = True
    rate_factor: float = 1.0


@dataclass
class Trace:
    """What one shadow showed.

    Attributes:
        sizes: For each step, the largest absolute gradient of each parameter; NaN without a gradient.
        rows: For each step, the same for each entry of a parameter's first axis.
        rounding: For each step, the parameters with a gradient that was rounding alone.
        losses: Loss before each update.
        used: Parameters that took part in the forward pass.
        drops: Whether a dropout acted.
        lowered: Operations that were done in float32, for want of a float64 kernel.
        vectors: For each step without reference, the gradients of vectors that are faint beside the model's largest.
        coarse: Whether the model computes in 16 bits by its own will.
        flat: Whether a norm had constant channels in the first step.
        options: What else the optimizer's groups say in numbers, by name of a parameter.
        held: Learning rates by name of what the user's own optimizer holds; ``None`` where that is not known.
        broadcast: Shapes of an output and of targets that the loss compares each with each.
        made: Places of the model that a forward pass assigned a new layer or parameter to.
        broken: The first step with a gradient that is not finite; training ends there.
    """

    sizes: list[dict[str, float]] = field(default_factory=list)
    rows: list[dict[str, np.ndarray]] = field(default_factory=list)
    rounding: list[set[str]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    drops: bool = False
    lowered: set[str] = field(default_factory=set)
    vectors: list[dict[str, Tensor]] = field(default_factory=list)
    coarse: bool = False
    flat: bool = False
    broken: int | None = None
    held: dict[str, float] | None = None
    options: dict[str, dict[str, float]] = field(default_factory=dict)
    broadcast: tuple[torch.Size, torch.Size] | None = None
    made: set[str] = field(default_factory=set)

    def first_step(self, name: str) -> int | None:
        """The step, from 1, of a parameter's first gradient that is not zero; ``None`` if there is none."""
        return next((step for step, of in enumerate(self.sizes, 1) if of.get(name, math.nan) > 0), None)

    def rounding_step(self, name: str) -> int | None:
        """The step, from 1, at which a parameter first had a gradient that was rounding alone."""
        return next((step for step, names in enumerate(self.rounding, 1) if name in names), None)


def copy_of(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy a model in another precision, in train mode unless parts of it are in train mode already.

    Large frozen parameters are read in place, in their own type.

    Raises:
        InputError: It cannot be copied; the error is chained.
    """
    try:
        replica = Copier(dtype, is_shared).model(model)
    except Exception as error:
        raise InputError(
            f"model={type(model).__name__}: cannot be copied ({type(error).__name__}: {error}); "
            "inspect it before anything is attached to it, or a part of it"
        ) from error
    return replica if model.training else replica.train()


def _like(tensor: Tensor, plain: Tensor) -> Tensor:
    """Let a copy require a gradient where the tensor was made of something that does."""
    return plain.requires_grad_(tensor.requires_grad and plain.is_floating_point())


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def running(replica: nn.Module, dtype: torch.dtype, mode: ShadowMode) -> Iterator[None]:
    """Settings under which a copy runs: gradients on, no autocast from outside, frozen weights read in place."""
    copier, device = copier_of(replica), next(replica.parameters()).device.type
    with ExitStack() as stack:
        stack.enter_context(_default_dtype(dtype))
        stack.enter_context(torch.enable_grad())
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
        if copier is not None and copier.shared:
            mode.shared = copier.shared
            stack.enter_context(mode.casts.kept())
            stack.enter_context(WriteGuard(copier.shared))
        yield


def forward_loss(replica: nn.Module, objective: Objective, dtype: torch.dtype, mode: ShadowMode) -> Tensor:
    """Run a copy forward and return its loss.

    Raises:
        InputError: The forward pass failed, or leads to no loss; an error of the model is chained.
    """
    with running(replica, dtype, mode), parts_kept(replica, mode.made):
        try:
            with mode:
                output = objective.output(replica, dtype)
        except WrittenError:
            raise
        except Exception as error:
            raise InputError(
                f"inputs={describe(objective.inputs)}: the forward pass failed ({type(error).__name__}: {error}); hand "
                "over inputs for which model(inputs), model(*inputs) or model(**inputs) runs in train mode"
            ) from error
        _refuse_the_original(replica, mode, "model: a hook or an attribute of it")
        with mode:
            loss = objective.loss(output, dtype, replica)
        _refuse_the_original(replica, mode, "loss_fn")
        return loss


def _refuse_the_original(replica: nn.Module, mode: ShadowMode, who: str) -> None:
    """Raise where a call went to the model that was handed over, which would get gradients by it."""
    copier = copier_of(replica)
    names = [copier.parameters[each] for each in mode.used if each in copier.parameters] if copier else []
    trained = [name for name in names if name in {n for n, p in replica.named_parameters() if p.requires_grad}]
    if trained:
        raise InputError(
            f"{who} works on {trained[0]} of the model that was handed over, and a copy is trained; have loss_fn take "
            "what it needs from the output of model, or hold the model itself in its closure, so that it gets the copy"
        )


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
    last_news = 0
    unlocked: set[str] = set()
    for step in range(1, (settings.steps or MOST_STEPS) + 1):
        mode.looks_at_norms = step == 1 and dtype == torch.float32
        loss = one_pass(replica, objective, dtype, settings, mode, step)
        trace.losses.append(float(loss))
        if not math.isfinite(trace.losses[-1]):
            break
        gradients = {name: _dense(each, id(each) in sparse) for name, each in named.items() if each.grad is not None}
        _record(trace, named, gradients, reference, settings.exact)
        if trace.broken is not None:
            break
        now = {name for name, size in trace.sizes[-1].items() if size > 0}
        news = bool(now - unlocked)
        unlocked |= now
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
    trace.broadcast, trace.made = mode.broadcast, mode.made
    trace.lowered, trace.coarse, trace.flat = mode.lowered, mode.coarse, mode.flat
    return trace


def one_pass(
    replica: nn.Module, objective: Objective, dtype: torch.dtype, settings: Settings, mode: ShadowMode, step: int
) -> Tensor:
    """Go forward and backward once, with the draws of a step; return the loss.

    Raises:
        InputError: Either pass failed.
    """
    reseed(settings.seed, step)
    for parameter in replica.parameters():
        parameter.grad = None
    with frugal(replica):
        loss = forward_loss(replica, objective, dtype, mode)
        if loss.requires_grad:
            backward(loss, replica, dtype, mode)
    return loss.detach()


def backward(loss: Tensor, replica: nn.Module, dtype: torch.dtype, mode: ShadowMode, keep: bool = False) -> None:
    """Go backward as the forward pass went: what is computed again there meets the same settings.

    Raises:
        InputError: The backward pass failed; its error is chained.
    """
    one = torch.ones_like(loss)
    with running(replica, dtype, mode), parts_kept(replica, mode.made), mode:
        try:  # the engine itself: ``loss.backward`` would leave the mode first
            Variable._execution_engine.run_backward(
                (loss,), (one,), keep, False, (), allow_unreachable=True, accumulate_grad=True
            )
        except (WrittenError, InputError):
            raise
        except Exception as error:
            raise InputError(
                f"model={type(replica).__name__}: the backward pass failed ({type(error).__name__}: {error}); "
                "loss.backward() has to run for this model and this batch"
            ) from error


def _dense(parameter: nn.Parameter, keep: bool = False) -> Tensor:
    """Return the gradient, a sparse one as a dense one, which takes its place unless it is to be kept."""
    assert parameter.grad is not None
    if parameter.grad.layout == torch.strided:
        return parameter.grad
    dense = parameter.grad.to_dense()
    if not keep:
        parameter.grad = dense
    return dense


def row_sizes(gradient: Tensor) -> Tensor:
    """Return the largest absolute value in each entry of the first axis (rows,).

    Example:
        >>> row_sizes(torch.tensor([[1.0, -2.0], [0.0, 0.5]])).tolist()
        [2.0, 0.5]
    """
    count = gradient.shape[0] if gradient.dim() else 1
    if not gradient.numel():
        return torch.zeros(count, device=gradient.device)
    rows = gradient.detach().reshape(count, -1)
    if rows.is_complex():
        return rows.abs().amax(dim=1)
    return torch.maximum(rows.amax(dim=1), -rows.amin(dim=1))


def is_rounding(double: np.ndarray, single: np.ndarray, largest: float) -> np.ndarray:
    """Tell which gradients are rounding alone, from their sizes in both precisions.

    Args:
        double: Sizes in float64 (rows,).
        single: Sizes in float32 (rows,).
        largest: The largest gradient of the model in float64.

    Example:
        >>> is_rounding(np.array([3e-14, 0.1, 1e-17, 1e-35]), np.array([2e-7, 0.1, 0.0, 0.0]), largest=1.0).tolist()
        [True, False, True, False]
    """
    faint = (double > 0) & (double < FAINT * largest)
    return faint & ((single > APART * double) | ((single == 0) & (double > UNDERFLOW)))


def _record(trace, named, gradients, reference, exact) -> None:
    rows = {name: row_sizes(gradient).double().cpu().numpy() for name, gradient in gradients.items()}
    if any(not np.isfinite(each).all() for each in rows.values()):
        trace.broken = len(trace.sizes) + 1
    finite = [float(each.max()) for each in rows.values() if len(each) and np.isfinite(each).all()]
    largest, rounding = max(finite, default=0.0), set()
    if reference is not None:
        at = reference.rows[min(len(trace.sizes), len(reference.rows) - 1)] if reference.rows else {}
        if max((float(each.max(initial=0.0)) for each in at.values()), default=0.0) > APART * largest:
            largest = math.inf  # every gradient is rounding
        for name, sizes in rows.items():
            if name not in at:
                continue
            false = is_rounding(sizes, at[name], largest)
            if false.any() and exact:
                mask = torch.from_numpy(false).to(gradients[name].device)
                gradients[name].masked_fill_(
                    mask.reshape(-1, *[1] * (gradients[name].dim() - 1)) if gradients[name].dim() else mask[0], 0.0
                )
                sizes[false] = 0.0
            if false.any() and not (sizes[~false] > 0).any():
                rounding.add(name)
    else:
        trace.rows.append({name: sizes.astype(np.float32) for name, sizes in rows.items()})
        vectors = [name for name in rows if gradients[name].dim() == 1]
        small = [name for name in vectors if rows[name].max(initial=0.0) < SMALL * largest]
        trace.vectors.append({name: gradients[name].detach().cpu().clone() for name in small})
    trace.rounding.append(rounding)
    trace.sizes.append({name: float(rows[name].max(initial=0.0)) if name in rows else math.nan for name in named})
