"""Data-parallel processes: every process starts with the same values."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from zeroinit.init.record import ParameterRecord

__all__ = ["share"]


@torch.no_grad()
def share(model: nn.Module, parameters: Sequence[ParameterRecord]) -> None:
    """Give every process the values of the first one, if a model is wrapped for data-parallel training already.

    ``DistributedDataParallel`` does the same when it wraps a model. Every process has to make this call.

    Args:
        model: The model, wrapped or not.
        parameters: What was set.
    """
    own = dict(model.named_parameters(remove_duplicate=False))
    for wrapper in [each for each in model.modules() if isinstance(each, DistributedDataParallel)]:
        inside, group = set(wrapper.parameters()), wrapper.process_group
        for parameter in [own[each.name] for each in parameters if own[each.name] in inside]:
            torch.distributed.broadcast(parameter.detach(), torch.distributed.get_global_rank(group, 0), group)
