"""Optimizers by name, fused where torch offers it."""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from zeroinit._common import InputError, lookup, real_number

__all__ = ["OPTIMIZERS", "build_optimizers"]

Parameters = list[nn.Parameter]


def _on_cuda(parameters: Parameters) -> bool:
    """Whether the optimizer's step may be recorded as a CUDA graph."""
    return all(parameter.is_cuda for parameter in parameters)


def _adam(parameters: Parameters, learning_rate: float, momentum: float) -> list[Optimizer]:
    return [torch.optim.Adam(parameters, lr=learning_rate, fused=True, capturable=_on_cuda(parameters))]


def _adamw(parameters: Parameters, learning_rate: float, momentum: float) -> list[Optimizer]:
    return [torch.optim.AdamW(parameters, lr=learning_rate, fused=True, capturable=_on_cuda(parameters))]


def _sgd(parameters: Parameters, learning_rate: float, momentum: float) -> list[Optimizer]:
    return [torch.optim.SGD(parameters, lr=learning_rate, momentum=momentum, fused=True)]


def _rmsprop(parameters: Parameters, learning_rate: float, momentum: float) -> list[Optimizer]:
    return [torch.optim.RMSprop(parameters, lr=learning_rate, momentum=momentum, capturable=_on_cuda(parameters))]


def _muon(parameters: Parameters, learning_rate: float, momentum: float) -> list[Optimizer]:
    """Muon on the matrices, AdamW on the rest, at one learning rate (updates matched to AdamW's size)."""
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    optimizers: list[Optimizer] = []
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                matrices, lr=learning_rate, momentum=momentum, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
            )
        )
    if others:
        optimizers.append(torch.optim.AdamW(others, lr=learning_rate, weight_decay=0.0, fused=True))
    return optimizers


OPTIMIZERS: dict[str, Callable[[Parameters, float, float], list[Optimizer]]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    **({"muon": _muon} if hasattr(torch.optim, "Muon") else {}),  # since torch 2.9
}
_USES_MOMENTUM = {"sgd", "rmsprop", "muon"}


def build_optimizers(
    parameters: Parameters, name: str, *, learning_rate: float, momentum: float = 0.0
) -> list[Optimizer]:
    """Build the optimizer ``name`` over ``parameters``. A list, because Muon needs AdamW for all but matrices.

    Args:
        parameters: What is to be updated.
        name: A key of ``OPTIMIZERS``.
        learning_rate: Above 0 and finite.
        momentum: In [0, 1); of SGD, RMSprop and Muon only.

    Raises:
        InputError: An unknown name, a learning rate that is not above 0 and finite, a momentum that is out of range
            or without effect.

    Example:
        >>> build_optimizers(list(nn.Linear(2, 2).parameters()), "sgd", learning_rate=0.1)[0].defaults["lr"]
        0.1
    """
    factory = lookup(OPTIMIZERS, name, "optimizer")
    learning_rate = real_number(learning_rate, "learning_rate", above=0)
    momentum = real_number(momentum, "momentum", least=0, below=1)
    if momentum and name not in _USES_MOMENTUM:
        raise InputError(f"momentum={momentum}: optimizer {name!r} has none; use one of {sorted(_USES_MOMENTUM)}")
    if not all(isinstance(each, nn.Parameter) for each in parameters):
        raise InputError("parameters: must be nn.Parameters, as model.parameters() gives them")
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    if not parameters:
        raise InputError("parameters: none requires a gradient, so nothing can be trained")
    return factory(parameters, learning_rate, momentum)
