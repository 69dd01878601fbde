"""Initializers whose weights form a matrix of a certain kind: orthogonal, identity, sparse."""

import math

import torch
from torch import Tensor

from zeroinit._common import InputError
from zeroinit.init.distributions import ZERO, Distribution
from zeroinit.init.gains import gain
from zeroinit.init.initializers import STANDARD, Initializer
from zeroinit.init.places import Place

__all__ = ["at_center", "delta_orthogonal", "identity", "orthogonal", "sparse"]


def orthogonal(activation: str = "linear") -> Initializer:
    """Rows, or columns, that are orthonormal, times the activation's gain; zero biases.

    A kernel counts as one long row. The signs make the matrix uniform over all orthogonal ones (Mezzadri 2007).

    Args:
        activation: What the layer's inputs went through, by name.

    Source:
        Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear networks", section 3.
    """
    factor = gain(activation)

    def draw(place: Place) -> Tensor:
        return _orthonormal(place, place.block.shape).mul_(factor)

    text = f"orthonormal rows or columns{_times(factor)}"
    weight = Distribution(text, draw, by_matrix=True, whole=True)
    return Initializer(weight, ZERO, "orthogonal weights", "Saxe et al. 2014, section 3", STANDARD)


def delta_orthogonal(activation: str = "linear") -> Initializer:
    """An orthogonal matrix at the center of each kernel, and zeros around it; zero biases.

    A convolution then maps each position by an isometry, if it has at least as many units as inputs. Dense layers get
    the orthogonal matrix.

    Args:
        activation: What the layer's inputs went through, by name.

    Source:
        Xiao et al. 2018, "Dynamical isometry and a mean field theory of CNNs", algorithm 1.
    """
    factor = gain(activation)

    def draw(place: Place) -> Tensor:
        shape = place.block.shape
        return at_center(shape, _orthonormal(place, shape[:2]).mul_(factor))

    text = f"orthonormal at the kernel's center{_times(factor)}, else 0"
    weight = Distribution(text, draw, by_matrix=True, whole=True)
    return Initializer(weight, ZERO, "orthogonal at the center of kernels", "Xiao et al. 2018, algorithm 1", STANDARD)


def _times(factor: float) -> str:
    return "" if factor == 1 else f" * {factor:.4g}"


@torch.no_grad()
def _orthonormal(place: Place, shape: tuple[int, ...]) -> Tensor:
    rows, columns = shape[0], math.prod(shape[1:])
    if not rows * columns:
        return torch.empty(shape)
    device = place.empty().device
    drawn = torch.empty(max(rows, columns), min(rows, columns), device=device).normal_(generator=place.generator)
    q, r = torch.linalg.qr(drawn)
    q *= r.diagonal().sign().where(r.diagonal() != 0, torch.ones((), device=device))
    return (q.t() if rows < columns else q).reshape(shape)


def at_center(shape: tuple[int, ...], matrix: Tensor) -> Tensor:
    """Return zeros with a matrix at the center of the kernel."""
    values = torch.zeros(shape, device=matrix.device)
    center = values
    for size in shape[2:]:
        center = center.select(2, size // 2)
    center.copy_(matrix)
    return values


def is_center(place: Place) -> Tensor:
    """Tell for each value of a place whether it is at the center of the kernel."""
    found = torch.ones([1] * len(place.shape), dtype=torch.bool)
    for axis in range(2, len(place.shape)):
        found = found & (place.index(axis) == place.block.shape[axis] // 2)
    return found


def identity(scale: float = 1.0) -> Initializer:
    """The identity: unit i reads input i, at the center of a kernel; zero biases.

    With more units than inputs, the other units are zero. Each group of a convolution is an identity of its own.

    Source:
        Le et al. 2015, "A simple way to initialize recurrent networks of rectified linear units", section 3; for
        convolutions Zagoruyko and Komodakis 2017, "DiracNets", equation 2 (Dirac delta).
    """

    def draw(place: Place) -> Tensor:
        hit = (place.index(0) == place.index(1)) & is_center(place)
        return (hit * scale).float().expand(place.shape)

    weight = Distribution("identity at the kernel's center, else 0", draw, by_matrix=True)
    source = "Le et al. 2015, section 3; Zagoruyko and Komodakis 2017, equation 2"
    return Initializer(weight, ZERO, "identity (Dirac in convolutions)", source, STANDARD, is_random=False)


def sparse(sparsity: float = 0.9, std: float | None = None) -> Initializer:
    """Weights of which a share is exactly zero in every unit; zero biases.

    Args:
        sparsity: The share of zeros among the inputs of each unit, rounded up as in ``torch.nn.init.sparse_``, but at
            least one weight stays.
        std: Standard deviation of the others; ``None`` keeps the variance of signals: 1 / sqrt(weights that stay).

    Raises:
        InputError: The share is not in [0, 1), or the standard deviation is negative.

    Source:
        Martens 2010, "Deep learning via Hessian-free optimization", section 5: 15 weights a unit, std 1.
        ``torch.nn.init.sparse_`` has std 0.01 and zeros by column: the inputs of a layer, not of a unit.
    """
    if not 0 <= sparsity < 1:
        raise InputError(f"sparsity={sparsity!r}: must be at least 0 and below 1")
    if std is not None and std < 0:
        raise InputError(f"std={std!r}: must be at least 0")

    def draw(place: Place) -> Tensor:
        shape = place.block.shape
        rows, columns = shape[0], math.prod(shape[1:])
        kept = max(columns - int(-(-sparsity * columns // 1)), 1)
        order = torch.rand(rows, columns, generator=place.generator).argsort(dim=1)
        size = kept**-0.5 if std is None else std
        values = torch.empty(rows, columns).normal_(0.0, size, generator=place.generator)
        return values.masked_fill_(order >= kept, 0.0).reshape(shape)

    weight = Distribution(f"N(0, std^2), {sparsity:.0%} of each unit zero", draw, by_matrix=True, whole=True)
    return Initializer(weight, ZERO, "sparse weights", "Martens 2010, section 5", STANDARD)
