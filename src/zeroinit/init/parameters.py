"""One parameter at a time: check that it can be set in place, set it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit.init.laws import Law
from zeroinit.init.layers import Slot

__all__ = ["check_settable", "set_parameter"]


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
    if (
        hasattr(parameter, "__tensor_flatten__")
        or parameter.dim() != slot.num_axes
        or parameter.shape[0] % len(slot.fans)
    ):
        raise InputError(
            f"{name}: {type(parameter).__name__} of shape {tuple(parameter.shape)} is not a whole {slot.part} of its "
            "layer; is the model sharded, flattened or quantized (FSDP, DeepSpeed ZeRO-3, torchao, ...)? Call "
            "initialize_ before that, or exclude the layer"
        )
    if any(size > 1 and stride == 0 for size, stride in zip(parameter.shape, parameter.stride(), strict=True)):
        raise InputError(
            f"{name}: is expanded, so that several values are one place in memory; replace it by nn.Parameter(its "
            ".clone()) first, or exclude the layer"
        )


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
