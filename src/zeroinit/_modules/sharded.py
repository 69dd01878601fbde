"""Training in several processes: how many there are, and whether a model lies in pieces on them."""

import torch
from torch import nn

__all__ = ["is_sharded", "num_processes"]


def is_sharded(model: nn.Module) -> str:
    """Return the name of a parameter that lies in pieces on several processes; an empty string if there is none.

    Example:
        >>> is_sharded(nn.Linear(2, 2))
        ''
    """
    for name, each in model.named_parameters():
        kinds = {kind.__name__ for kind in type(each).__mro__} | {type(each.data).__name__}
        if kinds & {"DTensor", "FlatParameter"} or hasattr(each, "ds_id"):
            return name
    return ""


def num_processes() -> int:
    """Return how many processes train together; 1 without ``torch.distributed``.

    Example:
        >>> num_processes()
        1
    """
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
