"""One forward pass that tells which norms of a model get constant channels."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from zeroinit._common import InputError

__all__ = ["ConstantChannels", "Probe", "constant_channels", "copy_model", "probe_norms", "random_state_kept"]

Probe = Tensor | tuple | dict

ROUNDING = 16
"""A channel counts as constant if it spreads by at most so many machine epsilons of the input's largest magnitude."""


@dataclass
class ConstantChannels:
    """Which channels of a norm's input were constant in at least one call (channels,); none before the first."""

    found: Bool[Tensor, " channels"] | None = None

    def note(self, constant: Bool[Tensor, " channels"]) -> None:
        """Count one more call in."""
        self.found = constant if self.found is None else self.found | constant

    def any(self) -> bool:
        """Whether the norm was reached and cancels at least one channel."""
        return self.found is not None and bool(self.found.any())

    def __str__(self) -> str:
        if self.found is None:
            return "not reached by the probe"
        return f"{int(self.found.sum())} of {len(self.found)} channels constant"


def constant_channels(norm: nn.Module, inputs: Float[Tensor, "..."]) -> Bool[Tensor, " channels"]:
    """Tell which channels are constant over the axes that a norm averages over.

    Batch norm averages over batch and positions, the others over positions only. Constant means up to rounding: the
    spread (largest minus smallest value) is at most ``ROUNDING`` machine epsilons of the largest magnitude in the
    input, because downstream of another norm a constant channel may carry the rounding of that norm's mean.

    Args:
        norm: A batch, instance or group norm.
        inputs: What it gets, (batch, channels, ...), or (channels, ...) for an instance norm.

    Example:
        >>> images = torch.tensor([[[1.0, 1.0], [1.0, 2.0]], [[3.0, 3.0], [1.0, 2.0]]])
        >>> constant_channels(nn.BatchNorm1d(2), images).tolist()
        [False, False]
        >>> constant_channels(nn.InstanceNorm1d(2), images).tolist()
        [True, False]
    """
    if isinstance(norm, _InstanceNorm) and inputs.dim() == norm._get_no_batch_dim():
        inputs = inputs[None]
    by_example = inputs.detach().flatten(2) if inputs.dim() > 2 else inputs.detach()[..., None]
    groups = by_example.transpose(0, 1).flatten(1)[None] if isinstance(norm, _BatchNorm) else by_example
    spread = groups.amax(dim=-1) - groups.amin(dim=-1)
    tolerance = ROUNDING * torch.finfo(inputs.dtype).eps * inputs.detach().abs().amax()
    return (spread <= tolerance).all(dim=0)


def probe_norms(replica: nn.Module, paths: list[str], probe: Probe) -> dict[str, ConstantChannels]:
    """Run a model forward once in train mode and see which channels of its norms' inputs are constant.

    Args:
        replica: A copy of the model that nobody needs afterwards: its mode and its buffers change; so does torch's
            random state where the model draws numbers.
        paths: The norms to watch.
        probe: Inputs: a tensor, positional arguments as a tuple or named ones as a dictionary.

    Returns:
        What was seen, by path.

    Raises:
        InputError: The forward pass failed; the error is chained.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> _ = nn.init.zeros_(model[0].weight)
        >>> print(probe_norms(model, ["1"], torch.randn(4, 2))["1"])
        3 of 3 channels constant
    """
    seen = {path: ConstantChannels() for path in paths}

    def watch(path: str, norm: nn.Module) -> None:
        def note(module: nn.Module, arguments: tuple, named: dict) -> None:
            seen[path].note(constant_channels(module, arguments[0] if arguments else named["input"]))

        norm.register_forward_pre_hook(note, with_kwargs=True)

    for path in paths:
        watch(path, replica.get_submodule(path))
    try:
        with torch.no_grad():
            _call(replica.train(), probe)
    except Exception as error:
        raise InputError(
            f"probe={_shown(probe)}: the forward pass failed ({type(error).__name__}: {error}); hand over inputs for "
            "which model(*probe), model(**probe) or model(probe) runs in train mode, or leave probe out"
        ) from error
    return seen


@contextmanager
def random_state_kept(model: nn.Module) -> Iterator[None]:
    """Restore torch's random state, on the CPU and on the devices of a model, on leaving."""
    tensors = [*model.parameters(), *model.buffers()]
    with torch.random.fork_rng(devices=sorted({each.device.index for each in tensors if each.is_cuda})):
        yield


def copy_model(model: nn.Module) -> nn.Module:
    """Copy a model for a probe.

    Raises:
        InputError: It cannot be copied; the error is chained.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InputError(
            f"model={type(model).__name__}: cannot be copied for the probe ({type(error).__name__}: {error}); "
            "leave probe out, and every norm that cancels constant channels is changed"
        ) from error


def _call(model: nn.Module, probe: Probe) -> None:
    """Hand copies over, since a model may change its inputs in place."""
    if isinstance(probe, dict):
        model(**{name: _copied(value) for name, value in probe.items()})
    elif isinstance(probe, tuple):
        model(*map(_copied, probe))
    else:
        model(_copied(probe))


def _copied(value):
    return value.clone() if isinstance(value, Tensor) else value


def _shown(probe: Probe) -> str:
    if isinstance(probe, Tensor):
        return f"Tensor{tuple(probe.shape)}"
    return f"{type(probe).__name__} of {len(probe)}"
