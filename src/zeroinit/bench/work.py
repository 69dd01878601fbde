"""The work of a run: images, updates and floating-point operations, known without its data."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zeroinit.bench.data import DATASETS
from zeroinit.bench.network import network, sizes_of
from zeroinit.bench.spec import Run

__all__ = ["Work", "flops", "flops_per_image", "is_dense", "memory_of", "rough_seconds", "work_of"]

TRAINING = 3
"""A training step costs as much as three forward passes: one forward, one for each of the two gradients."""


@dataclass(frozen=True)
class Work:
    """The updates and images of a run.

    Attributes:
        num_steps: Updates.
        num_trained: Images in them, counted each time.
        num_evaluated: Evaluated images, counted each time.
    """

    num_steps: int
    num_trained: int
    num_evaluated: int


def work_of(run: Run) -> Work:
    """Count the updates and images of a run that does not diverge.

    Example:
        >>> work_of(Run(epochs=2))
        Work(num_steps=830, num_trained=106000, num_evaluated=34000)
    """
    sizes = sizes_of(run.dataset)
    held_out = DATASETS[run.dataset].num_validation if run.num_validation is None else run.num_validation
    num_train = sizes.num_train - held_out if run.num_train is None else run.num_train
    epochs, steps_per_epoch = run.epochs, -(-num_train // run.batch_size)
    num_steps, num_trained = epochs * steps_per_epoch, epochs * num_train
    if run.max_steps is not None and run.max_steps < num_steps:
        num_steps = run.max_steps
        whole, rest = divmod(num_steps, steps_per_epoch)
        epochs, num_trained = whole + (rest > 0), whole * num_train + rest * run.batch_size
    num_test = sizes.num_test if run.num_test is None else run.num_test
    return Work(num_steps, num_trained, epochs * (held_out + num_test))


def flops_per_image(run: Run) -> int:
    """Count the floating-point operations of one image's forward pass."""
    return _anatomy(_architecture(run)).flops


def flops(run: Run) -> int:
    """Estimate the floating-point operations of a run: forward and backward in training, forward in evaluation."""
    work = work_of(run)
    return flops_per_image(run) * (TRAINING * work.num_trained + work.num_evaluated)


FAST_CORE, SLOW_CORE = 2e10, 2e9
"""Operations per second of a core, from large matrices to small convolutions; a step takes half a millisecond more."""


def rough_seconds(run: Run, core: float = FAST_CORE) -> float:
    """Guess the seconds of a run on one core without timing anything: good to tell runs from each other, no more.

    Example:
        >>> rough_seconds(Run(epochs=2)) == 2 * rough_seconds(Run(epochs=1))
        True
    """
    return flops(run) / core + 5e-4 * work_of(run).num_steps


def is_dense(run: Run) -> bool:
    """Whether all layers with weights are dense: such networks are stacked at little cost."""
    return _anatomy(_architecture(run)).is_dense


def _architecture(run: Run) -> Run:
    """Return only the settings that determine the layers: one key for all runs that share them."""
    return Run(dataset=run.dataset, model=run.model, activation=run.activation, hidden=run.hidden)


def memory_of(run: Run) -> int:
    """Estimate the bytes of a run: images, weights with gradients and optimizer state, and activations of one batch.

    Example:
        >>> memory_of(Run(batch_size=256)) > memory_of(Run(batch_size=128)) > 0
        True
    """
    anatomy, sizes = _anatomy(_architecture(run)), sizes_of(run.dataset)
    images = (sizes.num_train + sizes.num_test) * math.prod(sizes.input_shape)
    return 4 * (images + 4 * anatomy.num_parameters + 2 * run.batch_size * anatomy.num_activations)


class _Anatomy(NamedTuple):
    flops: int
    is_dense: bool
    num_parameters: int
    num_activations: int


@lru_cache(maxsize=1024)
def _anatomy(run: Run) -> _Anatomy:
    model, activations = network(run).eval(), 0  # batch norm cannot train on one image

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal activations
        activations += output.numel()

    parts = [module for module in model.modules() if not any(module.children())]
    handles = [module.register_forward_hook(count) for module in parts]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *sizes_of(run.dataset).input_shape))
    for handle in handles:
        handle.remove()
    is_dense = all(isinstance(module, nn.Linear) for module in parts if any(True for _ in module.parameters()))
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    return _Anatomy(counter.get_total_flops(), is_dense, num_parameters, activations)
