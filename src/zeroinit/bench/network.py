"""A run's network, built and initialized as before training; this needs no data."""

import hashlib
from dataclasses import replace

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, derive_seed, lookup
from zeroinit.bench.data import DATASETS, Sizes
from zeroinit.bench.interventions import ablate_weights, scale_output_bias, shift_features
from zeroinit.bench.models import build_model
from zeroinit.bench.spec import Run
from zeroinit.init import INITIALIZERS, hash_tensor, initialize_

__all__ = ["PROBED", "hash_model", "needs_batch", "network", "sizes_of", "start_model", "stream"]

PROBED = 64
"""Images of the batch that an initializer may look at."""


def sizes_of(dataset: str) -> Sizes:
    """Return counts and shape of a data set.

    Raises:
        InputError: An unknown name.

    Example:
        >>> sizes_of("mnist").num_train
        60000
    """
    return lookup(DATASETS, dataset, "dataset").sizes


def network(run: Run) -> nn.Module:
    """Build the network of a run, with PyTorch's default values."""
    shape, num_classes = sizes_of(run.dataset).input_shape, DATASETS[run.dataset].num_classes
    return build_model(run.model, shape, num_classes, activation=run.activation, norm=run.norm, hidden=run.hidden_units)


def stream(seed: int, purpose: str) -> torch.Generator:
    """Return the generator of one purpose of one run, on the CPU."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


def needs_batch(run: Run) -> bool:
    """Whether a run's initializer looks at the network with a batch."""
    return getattr(INITIALIZERS.get(run.initializer), "needs_batch", False)


def start_model(run: Run, seed: int, probe: Tensor | None = None) -> nn.Module:
    """Return a run's network as it is before training.

    Args:
        run: The settings.
        seed: Of its random values.
        probe: A batch as it enters the network, for initializers that need one; random values without it.

    Raises:
        InputError: A setting has an unknown value.
    """
    if run.auto_scale and (run.scale != 1.0 or run.output_scale is not None or run.offset_scale is not None):
        raise InputError("auto_scale=True: chooses the scale of every layer; leave the other scales at their defaults")
    model = _initialized(run, seed, probe)
    if run.offset_scale is not None:
        reference = _initialized(replace(run, scale=run.offset_scale), seed, probe)
        shift_features(model, reference, sizes_of(run.dataset).input_shape)
    if run.output_scale is not None:
        scale_output_bias(model, run.scale, run.output_scale)
    if run.spoiler != "none":
        ablate_weights(model, run.spoiler)
    return model


def hash_model(model: nn.Module) -> str:
    """Return sixteen hex digits of all parameters: networks with the same initial values have the same digits."""
    hashes = "".join(hash_tensor(parameter) for parameter in model.parameters())
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def _initialized(run: Run, seed: int, probe: Tensor | None) -> nn.Module:
    model = network(run)
    if probe is None and needs_batch(run):
        probe = torch.rand(PROBED, *sizes_of(run.dataset).input_shape, generator=stream(seed, "init/probe"))
    included = [pattern.strip() for pattern in run.include.split(",")] if run.include else None
    if included is not None:  # the other layers differ by seed, too
        initialize_(model, "pytorch", generator=stream(seed, "init/others"))
    initialize_(
        model,
        run.initializer,
        scale="auto" if run.auto_scale else run.scale,
        generator=stream(seed, "init"),
        include=included,
        norm_aware=run.norm_aware,
        probe=probe if needs_batch(run) else None,
    )
    return model
