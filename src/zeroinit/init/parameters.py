"""Check the arguments, check that a parameter can be set in place, and set it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit._modules.layers import Slot
from zeroinit.init.distributions import Distribution

__all__ = ["SCRIPTED", "check_generator", "check_model", "check_settable", "check_values", "set_parameter"]

SCRIPTED = "TorchScript hides the kind of a layer"


def check_model(model: Any) -> None:
    """Check that the model is a module.

    Raises:
        InputError: ``model`` is no ``nn.Module``.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model={type(model).__name__}: must be an nn.Module; put several into an nn.ModuleList")


def check_generator(generator: Any) -> None:
    """Check that the generator is one.

    Raises:
        InputError: ``generator`` is neither a ``torch.Generator`` nor ``None``.
    """
    if generator is not None and not isinstance(generator, torch.Generator):
        raise InputError(f"generator={generator!r}: must be a torch.Generator: torch.Generator().manual_seed(0)")


def check_values(parameter: nn.Parameter, name: str) -> None:
    """Refuse a parameter without values, or whose values nobody may change.

    Raises:
        InputError: The parameter is lazy, on the meta device, or made in inference mode.
    """
    if isinstance(parameter, UninitializedParameter):
        raise InputError(f"{name}: is lazy and has no shape yet; run one forward pass first")
    if parameter.is_meta:
        raise InputError(f"{name}: is on the meta device and has no values; call model.to_empty(device=...) first")
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        raise InputError(
            f"{name}: was made under torch.inference_mode and cannot be changed; build the model outside of this mode"
        )


def check_settable(parameter: nn.Parameter, slot: Slot, name: str) -> None:
    """Check that the values of a parameter can be changed in place.

    Args:
        parameter: The parameter that will be set.
        slot: Its place in the layer.
        name: Its full name, for messages.

    Raises:
        InputError: The parameter has no values, or its values cannot be changed.

    Example:
        >>> check_settable(nn.Linear(2, 3).weight, Slot("weight", "weight", (2,), 2), "dense.weight")
    """
    check_values(parameter, name)
    if not parameter.is_floating_point():
        raise InputError(f"{name}: has dtype {parameter.dtype}, which is not floating point; exclude the layer")
    if parameter.layout != torch.strided or parameter.is_quantized:
        raise InputError(f"{name}: has layout {parameter.layout}, which is not strided; exclude the layer")
    if (
        hasattr(parameter, "__tensor_flatten__")
        or parameter.dim() != slot.num_axes
        or parameter.shape[0] % len(slot.fans)
    ):
        raise InputError(
            f"{name}: {type(parameter).__name__} of shape {tuple(parameter.shape)} is not a whole {slot.part} of its "
            "layer; is the model sharded, flattened or quantized (FSDP, DeepSpeed ZeRO-3, torchao, ...)? Call "
            "initialize_ before you shard, flatten or quantize, or exclude the layer"
        )
    if any(size > 1 and stride == 0 for size, stride in zip(parameter.shape, parameter.stride(), strict=True)):
        raise InputError(
            f"{name}: is expanded, so that several values are one place in memory; replace the parameter by "
            "nn.Parameter(parameter.clone()) first, or exclude the layer"
        )
    if type(parameter.data) is not Tensor:
        _check_own_class(parameter, name)


@torch.no_grad()
def _check_own_class(parameter: nn.Parameter, name: str) -> None:
    """Write the values of a tensor of a class of its own over themselves, because such a class may refuse this."""
    try:
        parameter.detach().copy_(parameter.detach())
    except Exception as error:
        raise InputError(
            f"{name}: {type(parameter.data).__name__} cannot be written in place ({type(error).__name__}: {error}); "
            "exclude the layer"
        ) from error


@torch.no_grad()
def set_parameter(
    parameter: Tensor, slot: Slot, distribution: Distribution, scale: float, generator: torch.Generator | None
) -> Tensor:
    """Draw the values of one parameter, in place.

    A packed parameter is drawn matrix by matrix. A transposed parameter is drawn as if units came first. So a layer
    gets the values of a dense layer with the same units and inputs, however it stores them.

    Args:
        parameter: The parameter that is set.
        slot: How it is stored, and the fan-in.
        distribution: How values are drawn.
        scale: Factor on the drawn values.
        generator: Source of randomness; torch's global generator if ``None``.

    Returns:
        The parameter.

    Example:
        >>> from zeroinit.init.distributions import CONSTANT
        >>> set_parameter(torch.zeros(2), Slot("bias", "bias", (3,), 1), CONSTANT, 0.5, None).tolist()
        [0.5, 0.5]
    """
    for whole, fan in zip(_matrices(parameter, slot), slot.fans, strict=True):
        target = whole.t() if slot.is_transposed else whole
        device = generator.device if generator is not None else target.device
        values = distribution.draw(fan, torch.empty(target.shape, dtype=torch.float32, device=device), generator)
        if distribution.scaled and scale != 1.0:
            values = values.to(torch.promote_types(target.dtype, torch.float32)) * scale
        target.copy_(values)
    return parameter


def _matrices(parameter: Tensor, slot: Slot) -> Iterable[Tensor]:
    return parameter.chunk(len(slot.fans)) if len(slot.fans) > 1 else (parameter,)
