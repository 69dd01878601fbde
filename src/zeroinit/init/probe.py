"""One forward pass that shows which norms of a model get constant channels."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from zeroinit._common import InputError
from zeroinit._modules.batch import Batch, call_model, describe, failed_pass, map_tensors, take_batch, tensors_in
from zeroinit._modules.copying import Copier
from zeroinit._modules.state import random_state_kept
from zeroinit._shapes import Bool, Float

__all__ = ["ConstantChannels", "constant_channels", "copy_model", "probe_norms", "take_probe"]

ROUNDING = 16
"""A channel is constant if its spread is at most so many machine epsilons of the input's largest magnitude."""


@dataclass
class ConstantChannels:
    """Which channels of a norm's input were constant in at least one call (channels,)."""

    found: Bool[Tensor, " channels"] | None = None

    def note(self, constant: Bool[Tensor, " channels"]) -> None:
        """Add the channels of one more call."""
        self.found = constant if self.found is None else self.found | constant

    def any(self) -> bool:
        """Whether the norm was called and cancels at least one channel."""
        return self.found is not None and bool(self.found.any())

    def __str__(self) -> str:
        if self.found is None:
            return "not reached by the probe"
        return f"{int(self.found.sum())} of {len(self.found)} channels constant"


def constant_channels(norm: nn.Module, inputs: Float[Tensor, "..."]) -> Bool[Tensor, " channels"]:
    """Tell which channels are constant over the axes that a norm averages over.

    Batch norm averages over batch and positions, the other norms over positions only. Constant means constant up to
    rounding: the spread (largest minus smallest value) is at most ``ROUNDING`` machine epsilons of the input's largest
    magnitude. After another norm, a constant channel may carry the rounding of this norm's mean.

    Args:
        norm: A batch, instance or group norm.
        inputs: Its input, (batch, channels, ...), or (channels, ...) for an instance norm.

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


def take_probe(probe: Any, model: nn.Module) -> Batch:
    """Return the batch of a probe; a loader may use random numbers.

    Raises:
        InputError: There is no example in it, or values that are not finite.

    Example:
        >>> take_probe(torch.zeros(2, 3), nn.Linear(3, 1)).shape
        torch.Size([2, 3])
    """
    with random_state_kept(model):
        batch, _ = take_batch(probe, None, model, "probe")
    floats = [each for each in tensors_in(batch) if each.is_floating_point() and each.layout == torch.strided]
    if not all(each.is_meta or each.is_nested or each.float().isfinite().all() for each in floats):
        raise InputError(f"probe={describe(batch)}: holds NaN or infinite values; hand over a batch without them")
    return batch


def probe_norms(replica: nn.Module, paths: list[str], probe: Batch) -> dict[str, ConstantChannels]:
    """Run a model forward once in train mode and see which channels of its norms' inputs are constant.

    Args:
        replica: A copy of the model that you discard afterwards. Its mode and its buffers change. Torch's random state
            changes too if the model draws numbers.
        paths: The norms to watch.
        probe: A batch. The model gets a copy, because it may change its inputs in place.

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
            call_model(replica.train(), map_tensors(probe, torch.clone))
    except Exception as error:
        raise InputError(
            f"probe={describe(probe)}: {failed_pass(replica, error)}; pass inputs with "
            "which model(*probe), model(**probe) or model(probe) runs in train mode, or leave probe out"
        ) from error
    return seen


def copy_model(model: nn.Module) -> nn.Module:
    """Copy a model for a probe.

    Raises:
        InputError: The model, or something that it holds, cannot be copied.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> model.kept = model(torch.ones(1, 2))
        >>> copy_model(model).kept is model.kept
        False
    """
    copier, cause = Copier(None), None
    try:
        replica = copier.model(model)
        if not copier.by_reference:
            return replica
        why = ", ".join(f"{place} is a {kind}" for place, kind in copier.by_reference.items())
    except Exception as error:
        cause, why = error, f"{type(error).__name__}: {error}"
    raise InputError(
        f"model={type(model).__name__}: cannot be copied for the probe ({why}); leave probe out; beta is then drawn in "
        "every norm that cancels constant channels"
    ) from cause
