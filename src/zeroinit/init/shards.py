"""Parameters of which a process holds a part: DTensors of FSDP2 and tensor parallelism."""

import sys

from torch import Tensor

from zeroinit._common import InputError
from zeroinit.init.sources import Box

__all__ = ["check_placements", "is_sharded", "local_part"]


def is_sharded(tensor: Tensor) -> bool:
    """Tell whether a tensor, or the tensor in a parameter, is a DTensor; this imports nothing.

    Example:
        >>> import torch
        >>> is_sharded(torch.zeros(2))
        False
    """
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(getattr(tensor, "data", tensor), module.DTensor)


def check_placements(tensor: Tensor, name: str) -> None:
    """Refuse a DTensor whose part is no box of the whole.

    Raises:
        InputError: A placement is neither ``Shard`` nor ``Replicate``.
    """
    from torch.distributed.tensor import Replicate, Shard

    placements = tensor.data.placements  # type: ignore[attr-defined]
    if other := [each for each in placements if type(each) not in (Replicate, Shard)]:
        raise InputError(f"{name}: is placed as {other[0]}, which is no part of the whole; redistribute it first")


def local_part(tensor: Tensor) -> tuple[Tensor, Box]:
    """Return the values that this process holds, and which part of the whole tensor they are.

    Example:
        >>> import torch
        >>> local_part(torch.zeros(2, 3))[1]
        ((0, 2), (0, 3))
    """
    if not is_sharded(tensor):
        return tensor.detach(), tuple((0, size) for size in tensor.shape)
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    data = tensor.data
    shape, offset = compute_local_shape_and_global_offset(
        data.shape,
        data.device_mesh,  # type: ignore[attr-defined]
        data.placements,  # type: ignore[attr-defined]
    )
    local = data._local_tensor  # type: ignore[attr-defined]
    return local, tuple((start, start + size) for start, size in zip(offset, shape, strict=True))
