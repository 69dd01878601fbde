"""Check the arguments, check that a parameter can be set in place, and set it."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from zeroinit._common import InputError
from zeroinit._modules.layers import Slot
from zeroinit.init.distributions import Distribution
from zeroinit.init.places import Place, blocks_of, intersection
from zeroinit.init.shards import check_placements, is_sharded, local_part
from zeroinit.init.sources import Source

__all__ = ["SCRIPTED", "check_settable", "check_values", "set_parameter"]

SCRIPTED = "TorchScript hides the kind of a layer"


def check_values(parameter: nn.Parameter, name: str, gets_memory: bool = False) -> None:
    """Refuse a parameter without values, or whose values nobody may change.

    Args:
        parameter: The parameter.
        name: Its full name, for messages.
        gets_memory: Whether a parameter on the meta device will get memory.

    Raises:
        InputError: The parameter is lazy, on the meta device, or made in inference mode.
    """
    if isinstance(parameter, UninitializedParameter):
        raise InputError(f"{name}: is lazy and has no shape yet; run one forward pass first")
    if parameter.is_meta and not gets_memory:
        raise InputError(
            f"{name}: is on the meta device and has no values; call model.to_empty(device=...) first, or pass device="
        )
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        raise InputError(
            f"{name}: was made under torch.inference_mode and cannot be changed; build the model outside of this mode"
        )


def check_settable(
    parameter: nn.Parameter, slot: Slot, name: str, seeded: bool = False, gets_memory: bool = False
) -> None:
    """Check that the values of a parameter can be changed in place.

    Args:
        parameter: The parameter that will be set.
        slot: Its place in the layer.
        name: Its full name, for messages.
        seeded: Whether each value depends on seed, name and index alone, so that a shard may be drawn alone.
        gets_memory: Whether a parameter on the meta device will get memory.

    Raises:
        InputError: The parameter has no values, or its values cannot be changed.

    Example:
        >>> check_settable(nn.Linear(2, 3).weight, Slot("weight", "weight", (2,), 2), "dense.weight")
    """
    check_values(parameter, name, gets_memory)
    if not parameter.is_floating_point():
        raise InputError(f"{name}: has dtype {parameter.dtype}, which is not floating point; exclude the layer")
    if parameter.layout != torch.strided or parameter.is_quantized:
        raise InputError(f"{name}: has layout {parameter.layout}, which is not strided; exclude the layer")
    if seeded and is_sharded(parameter) and parameter.dim() == slot.num_axes:
        check_placements(parameter, name)
        return
    if (
        hasattr(parameter, "__tensor_flatten__")
        or parameter.dim() != slot.num_axes
        or (parameter.dim() and not slot.is_stacked and parameter.shape[0] % len(slot.fans) and not slot.sizes)
    ):
        raise InputError(
            f"{name}: {type(parameter).__name__} of shape {tuple(parameter.shape)} is not a whole {slot.part} of its "
            "layer; is the model sharded, flattened or quantized (FSDP, DeepSpeed ZeRO-3, torchao, ...)? Call "
            "initialize_ before you shard, flatten or quantize, exclude the layer, or pass seed= for a DTensor"
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
    parameter: Tensor, slot: Slot, distribution: Distribution, scale: float, source: Source, name: str = ""
) -> Tensor:
    """Draw the values of one parameter, in place; of a sharded one only the values of this process.

    A packed parameter is drawn matrix by matrix. A transposed parameter is drawn as if units came first. So a layer
    gets the values of a dense layer with the same units and inputs, however it stores them.

    Args:
        parameter: The parameter that is set.
        slot: How it is stored, and its fans.
        distribution: How values are drawn.
        scale: Factor on the drawn values.
        source: Where random values come from.
        name: The parameter's name, on which its values depend if there is a seed.

    Returns:
        The parameter.

    Example:
        >>> from zeroinit.init.distributions import CONSTANT
        >>> from zeroinit.init.sources import Stream
        >>> set_parameter(torch.zeros(2), Slot("bias", "bias", (3,), 1), CONSTANT, 0.5, Stream(None)).tolist()
        [0.5, 0.5]
    """
    local, held = local_part(parameter)
    for block in blocks_of(slot, tuple(parameter.shape), name, distribution.by_matrix):
        box = intersection(block.box, held)
        if box is None and parameter.numel():
            continue
        box = box or block.box
        target = local[tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(box, held, strict=True))]
        target = target.permute(block.order)
        values = distribution.draw(Place(block, block.box if distribution.whole else box, source, target))
        if values.shape != target.shape:
            values = values[tuple(_inside(block.box[axis], box[axis]) for axis in block.order)]
        if distribution.scaled and scale != 1.0:
            values = values.to(torch.promote_types(target.dtype, torch.float32)).mul_(scale)
        if values is not target:
            target.copy_(values)
    if slot.zero_row is not None and held[0][0] <= slot.zero_row < held[0][1]:
        local[slot.zero_row - held[0][0]] = 0
    return parameter


def _inside(whole: tuple[int, int], part: tuple[int, int]) -> slice:
    return slice(part[0] - whole[0], part[1] - whole[0])
