"""One parameter at a time: find it, check that it can be set in place, set it."""

import sys
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit.init.laws import Law
from zeroinit.init.layers import Slot

__all__ = ["behind", "check_settable", "find_parameter", "is_computed", "set_parameter"]

OLD_STYLE = {"_g": "weight_norm", "_v": "weight_norm", "_orig": "spectral_norm or prune"}
"""Suffixes under which ``torch.nn.utils``' older functions keep what a weight is computed from."""


def is_computed(layer: nn.Module, name: str) -> bool:
    """Tell whether an attribute is computed from other parameters by a parametrization.

    It is looked up without ``getattr``, which would run a parametrization and change its buffers.

    Args:
        layer: The module that owns the parameter.
        name: The attribute.

    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> is_computed(layer, "weight"), is_computed(layer, "bias")
        (True, False)
    """
    if name in layer._parameters:
        return False
    return vars(layer).get(name) is not None or getattr(type(layer), name, None) is not None


def behind(layer: nn.Module, name: str) -> list[nn.Parameter]:
    """Return the parameters from which an attribute is computed.

    Args:
        layer: The module that owns the attribute.
        name: The attribute.

    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> [tuple(parameter.shape) for parameter in behind(layer, "weight")]
        [(3, 1), (3, 2)]
    """
    parametrizations = layer._modules.get("parametrizations")
    if isinstance(parametrizations, nn.ModuleDict) and name in parametrizations:
        return list(parametrizations[name].parameters())
    found = (layer._parameters.get(f"{name}{suffix}") for suffix in OLD_STYLE)
    return [parameter for parameter in found if parameter is not None]


def find_parameter(layer: nn.Module, slot: Slot, name: str) -> nn.Parameter | None:
    """Return a parameter of a layer, ``None`` where it has none.

    Args:
        layer: The module that owns the parameter.
        slot: Which one.
        name: The parameter's full name, for messages.

    Raises:
        InputError: It is computed by a parametrization.

    Example:
        >>> find_parameter(nn.Linear(2, 3, bias=False), Slot("bias", "bias", (2,), 1), "dense.bias") is None
        True
    """
    if is_computed(layer, slot.name):
        raise InputError(
            f"{name}: is computed by a parametrization (weight norm, spectral norm, pruning, ...) and cannot be set "
            "in place; call initialize_ before you parametrize, remove the parametrization first or exclude the layer"
        )
    return layer._parameters.get(slot.name)


def check_settable(parameter: nn.Parameter, slot: Slot, name: str) -> None:
    """Check that the values of a parameter can be changed in place.

    Args:
        parameter: What will be set.
        slot: What it is.
        name: Its full name, for messages.

    Raises:
        InputError: It has no values, or they cannot be changed.

    Example:
        >>> check_settable(nn.Linear(2, 3).weight, Slot("weight", "weight", (2,), 2), "dense.weight")
    """
    if isinstance(parameter, UninitializedParameter):
        raise InputError(f"{name}: is lazy and has no shape yet; run one forward pass first")
    if parameter.is_meta:
        raise InputError(f"{name}: is on the meta device and has no values; call model.to_empty(device=...) first")
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        raise InputError(f"{name}: was made under torch.inference_mode and is frozen; build the model outside of it")
    if not parameter.is_floating_point():
        raise InputError(f"{name}: has dtype {parameter.dtype}, which is not floating point; exclude the layer")
    if parameter.layout != torch.strided or parameter.is_quantized:
        raise InputError(f"{name}: has layout {parameter.layout}, which is not strided; exclude the layer")
    if _is_sharded(parameter) or parameter.dim() != slot.num_axes or parameter.shape[0] % len(slot.fans):
        raise InputError(
            f"{name}: {type(parameter).__name__} of shape {tuple(parameter.shape)} is not a whole {slot.part} of its "
            "layer; is the model sharded or flattened (FSDP, DeepSpeed ZeRO-3, ...)? Call initialize_ before that, or "
            "exclude the layer"
        )
    if any(size > 1 and stride == 0 for size, stride in zip(parameter.shape, parameter.stride(), strict=True)):
        raise InputError(
            f"{name}: is expanded, so that several values are one place in memory; replace it by nn.Parameter(its "
            ".clone()) first, or exclude the layer"
        )


def _is_sharded(parameter: nn.Parameter) -> bool:
    sharded = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    return sharded is not None and isinstance(parameter, sharded)


@torch.no_grad()
def set_parameter(parameter: Tensor, slot: Slot, law: Law, scale: float, generator: torch.Generator | None) -> Tensor:
    """Draw the values of one parameter, in place.

    A packed parameter is drawn matrix by matrix, a transposed one as if units came first: whatever the storage, a layer
    gets the values of a dense layer with the same units and inputs.

    Args:
        parameter: What is set.
        slot: How it is stored, and the fan-in.
        law: How values are drawn.
        scale: Factor on what is drawn.
        generator: Source of randomness; torch's global one if ``None``.

    Returns:
        The parameter.

    Example:
        >>> from zeroinit.init.laws import CONSTANT
        >>> set_parameter(torch.zeros(2), Slot("bias", "bias", (3,), 1), CONSTANT, 0.5, None).tolist()
        [0.5, 0.5]
    """
    for whole, fan in zip(_matrices(parameter, slot), slot.fans, strict=True):
        target = whole.t() if slot.is_transposed else whole
        device = generator.device if generator is not None else target.device
        values = law.draw(fan, torch.empty(target.shape, dtype=torch.float32, device=device), generator)
        if law.scaled and scale != 1.0:
            values = values.to(torch.promote_types(target.dtype, torch.float32)) * scale
        target.copy_(values)
    return parameter


def _matrices(parameter: Tensor, slot: Slot) -> Iterable[Tensor]:
    return parameter.chunk(len(slot.fans)) if len(slot.fans) > 1 else (parameter,)
