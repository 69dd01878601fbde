"""Copies of a model: the only place where an inspection makes one."""

import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit._modules.copying import Copier
from zeroinit.symmetry.shadow.memory.sharing import is_shared

__all__ = ["copy_of"]


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
