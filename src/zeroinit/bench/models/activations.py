"""Activations by name."""

from collections.abc import Callable

from torch import nn

from zeroinit._common import lookup

__all__ = ["ACTIVATIONS", "make_activation"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def make_activation(name: str) -> nn.Module:
    """Return a fresh activation module.

    Args:
        name: A key of ``ACTIVATIONS``.

    Raises:
        InputError: ``name`` is unknown.

    Example:
        >>> make_activation("elu")
        ELU(alpha=1.0)
    """
    return lookup(ACTIVATIONS, name, "activation")()
