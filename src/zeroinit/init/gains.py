"""The gain of any activation: the factor on weights that keeps the second moment of its outputs at 1."""

import copy
import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeroinit._common import InputError, unknown
from zeroinit._modules.arguments import check_function

__all__ = ["ACTIVATIONS", "gain"]

REACH, STEP, NODES = 12.0, 0.125, 8
"""Intervals of the quadrature: kinks at multiples of the step, as in ReLU6 or hardswish, cost no precision."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu_squared": lambda x: F.relu(x).square(),
    "sin": torch.sin,
}
"""Activations by name."""


def gain(activation: str | nn.Module | Callable[[Tensor], Tensor]) -> float:
    """Return 1 / sqrt(E[f(z)^2]) for a standard normal z, by Gauss quadrature.

    Take a layer after this activation, with weights of variance gain^2 / fan_in. If the inputs of the activation have
    variance 1, so have the outputs of the layer. ``torch.nn.init.calculate_gain`` has no value for GELU, SiLU or ELU.
    For tanh it has the rule of thumb 5/3.

    Args:
        activation: A name of ``ACTIVATIONS``, a module, or a function of a tensor that acts on each value alone.

    Raises:
        InputError: An unknown name, or a function that is zero, not finite or not defined for each value alone.

    Source:
        He et al. 2015, "Delving deep into rectifiers", equation 10, for any activation. Poole et al. 2016, equation 3.

    Example:
        >>> round(gain("relu"), 6), gain("linear"), round(gain(torch.tanh), 4)
        (1.414214, 1.0, 1.5925)
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise InputError(unknown(activation, ACTIVATIONS, "activation"))
        return _named(activation)
    check_function(activation, "activation", f"of a tensor, a module, or one of {', '.join(ACTIVATIONS)}")
    return _gain(activation)


@lru_cache
def _named(name: str) -> float:
    return 1.0 if name == "linear" else _gain(ACTIVATIONS[name])


@torch.no_grad()
def _gain(function: Callable[[Tensor], Tensor]) -> float:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    starts = np.arange(-REACH, REACH, STEP)
    points = torch.from_numpy((starts[:, None] + STEP * (nodes + 1) / 2).reshape(-1))
    density = np.exp(-(points.numpy() ** 2) / 2) / math.sqrt(2 * math.pi)
    shares = torch.from_numpy(density * np.tile(weights, len(starts)) * STEP / 2)
    apply = copy.deepcopy(function).double().eval() if isinstance(function, nn.Module) else function
    try:
        values, half = apply(points.clone()), apply(points[::2].clone())
    except Exception as error:
        raise InputError(f"activation={function!r}: cannot be applied to a tensor ({error})") from error
    keeps = isinstance(values, Tensor) and values.shape == points.shape
    if not keeps or not torch.allclose(values[::2], half, equal_nan=True):  # a softmax looks at all values
        raise InputError(f"activation={function!r}: must map each value of a tensor alone, and keep its shape")
    moment = float((shares * values.double().square()).sum())
    if not 0 < moment < math.inf:
        raise InputError(f"activation={function!r}: E[f(z)^2] = {moment:g}; a gain needs a finite value above 0")
    return moment**-0.5
