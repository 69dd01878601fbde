"""Remedies: what a network gets during its first steps so that zero weights are left behind by a true signal.

A remedy attaches hooks to a model and takes them off again; the training loop does not change. Use it as a context
manager or as an observer of ``fit``. To add one: a factory ``(model, steps)`` in its own file and one line in
``REMEDIES``. The contract tests then try it on several models.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from zeroinit.remedies.affine_norms import AffineNorms, affine_norms

__all__ = ["REMEDIES", "AffineNorms", "Remedy", "affine_norms"]


@dataclass(frozen=True)
class Remedy:
    """How a remedy is made from a model and a number of steps, what it does, and where it comes from."""

    factory: Callable[[nn.Module, int], AffineNorms]
    summary: str
    source: str


REMEDIES: dict[str, Remedy] = {
    "affine_norms": Remedy(
        affine_norms,
        "norms act as gamma * x + beta at first, so that they do not cancel constant channels",
        "this package; Ioffe and Szegedy 2015, algorithm 2 (a norm with fixed statistics)",
    ),
}
