"""The zero family: starts without random weights."""

import math

import torch
from torch import Tensor

from zeroinit._common import lookup
from zeroinit.init.distributions import ZERO, Distribution
from zeroinit.init.initializers import STANDARD, Initializer
from zeroinit.init.places import Place
from zeroinit.init.schemes.structured import is_center

__all__ = ["idinit", "sinusoidal", "zer_o", "zeros"]


def zeros() -> Initializer:
    """Zeros in every weight and bias, also of embeddings; norms as built. For a read-out, and for nothing else.

    Source:
        Zhang et al. 2019, "Fixup initialization", rule 1 (read-out); Karpathy 2025, nanochat (``lm_head``).
    """
    others = {**STANDARD, "embedding": ZERO}
    limits = "all units of a layer are identical, and no update makes them differ; it is for a read-out alone"
    source = "Zhang et al. 2019, rule 1"
    return Initializer(ZERO, ZERO, "zeros in every kind of layer", source, others, limits=limits, is_random=False)


def zer_o(scale: str = "paper") -> Initializer:
    """ZerO: a partial identity where a layer does not grow, a Hadamard matrix where it does; zero biases.

    With inputs P and outputs Q, P >= Q gives a partial identity. P < Q gives c I H I with the Hadamard matrix H of size
    2^m, m = ceil(log2 Q). A convolution has this matrix at the center of its kernel. Everything is 0, 1 or +-c, so
    nothing is drawn. Without the Hadamard matrix, the rank of W - I never exceeds the number of inputs (theorem 1).

    Args:
        scale: c is 2^(-(m - 1)/2) with ``"paper"`` (algorithm 1), and 2^(-m/2) with ``"code"`` (the authors' notebook
            ``example_mnist.ipynb``). With ``"code"`` H c is orthonormal.

    Source:
        Zhao et al. 2022, "ZerO initialization: initializing neural networks with only zeros and ones", algorithms 1, 2.
    """
    less = lookup({"paper": 1, "code": 0}, scale, "scale")

    def draw(place: Place) -> Tensor:
        outputs, inputs = place.block.shape[:2]
        rows, columns = place.index(0), place.index(1)
        if outputs <= inputs:
            matrix = (rows == columns).float()
        else:
            power = max(math.ceil(math.log2(outputs)), 0)
            matrix = _parity(rows & columns) * 2.0 ** (-(power - less) / 2)
        return torch.where(is_center(place), matrix, torch.zeros(())).expand(place.shape)

    weight = Distribution("identity, or c * Hadamard where units > inputs", draw, by_matrix=True)
    source = "Zhao et al. 2022, algorithms 1 and 2"
    return Initializer(weight, ZERO, "ZerO: identity and Hadamard matrices", source, STANDARD, is_random=False)


def _parity(numbers: Tensor) -> Tensor:
    """Return 1 where a number has an even count of binary ones, else -1: entries of Sylvester's Hadamard matrix."""
    found = numbers
    for shift in (32, 16, 8, 4, 2, 1):
        found = found ^ (found >> shift)
    return 1.0 - 2.0 * (found & 1).float()


def idinit(tau: float = 1.0, preserves: str = "identity") -> Initializer:
    """IDInit: an identity, repeated until it fills a matrix that is not square; zero biases.

    Unit i reads input j if i - j is a multiple of the smaller size. A convolution counts as a matrix of units times
    (inputs * kernel positions): the patch-maintain form. The read-out layers of residual branches preserve zero, with
    ``tau`` 1e-6 in the paper. Name them with a rule: ``{"*": "idinit", "*.down": {"name": "idinit", "preserves":
    "zero", "tau": 1e-6}}``.

    Args:
        tau: The factor.
        preserves: ``"identity"``, or ``"zero"``: each unit is the difference of two inputs, so that equal inputs give 0
            and each unit gets a gradient.

    Source:
        Pan et al. 2025, "IDInit: a universal and stable initialization method for neural network training", section 3
        (arXiv 2503.04626). We found no code of the authors. ``"zero"`` follows the code of a reader, who also adds
        noise of 1e-6 (the loose condition, which is missing here), and who repeats the identity over units alone.
    """
    is_zero = lookup({"identity": False, "zero": True}, preserves, "preserves")

    def draw(place: Place) -> Tensor:
        units, width, position = _as_matrix(place)
        unit = place.index(0)
        if not is_zero:
            hit = ((unit - position) % max(min(units, width), 1) == 0).float()
        elif width == 1:
            hit = 1.0 - 2.0 * (unit % 2) + 0.0 * position
        else:
            other = units + unit % (width - units) if units < width else (unit + 1) % width
            hit = (position == unit % width).float() - (position == other).float()
        return (hit * tau).float().expand(place.shape)

    text = f"{tau:g} where unit - input is a multiple of the smaller size"
    text = text if not is_zero else f"{tau:g} * (one input - another one)"
    weight = Distribution(text, draw, by_matrix=True)
    source = "Pan et al. 2025, section 3"
    return Initializer(weight, ZERO, "IDInit: padded identities", source, STANDARD, is_random=False)


def _as_matrix(place: Place) -> tuple[int, int, Tensor]:
    """Return units and inputs of a weight as a matrix, where a kernel counts as inputs, and the input of each value."""
    shape = place.block.shape
    position, width = place.index(1), shape[1]
    for axis in range(2, len(shape)):
        position, width = position * shape[axis] + place.index(axis), width * shape[axis]
    return shape[0], width, position


def sinusoidal(normalize: str = "paper") -> Initializer:
    """Each unit is a sine wave over its inputs, with its own frequency and phase; zero biases.

    W[i, j] = a sin(2 pi i (j / n + 1 / m)), with units i = 1 ... m and inputs j (a kernel counts as n inputs).

    Args:
        normalize: a gives the weights the variance 2 / (fan_in + fan_out) with ``"paper"``, which counts j from 1. The
            authors' code, ``"code"``, counts j from 0, takes m for fan_out also with a kernel, and divides the variance
            by m n - 1.

    Source:
        Fernandez-Hernandez et al. 2025, "Sinusoidal initialization, time for a new start", equations 1 to 3 (arXiv
        2505.12909). Code: ``initialize.py`` of github.com/jmiravet/Sinusoidal-Initialization, in its last form.
    """
    is_paper = lookup({"paper": True, "code": False}, normalize, "normalize")

    def draw(place: Place) -> Tensor:
        units, width, position = _as_matrix(place)
        first, total = int(is_paper), max(units * width, 2)
        phase = (place.index(0) + 1).double() * ((position + first).double() / max(width, 1) + 1 / max(units, 1))
        waves = torch.sin(2 * math.pi * (phase - phase.floor()))
        fans = place.block.fan_in + place.block.fan_out if is_paper else width + units
        variance = _variance(max(units, 1), width, first) * (1.0 if is_paper else total / (total - 1))
        return (waves * (2 / max(fans, 1) / variance) ** 0.5).float().expand(place.shape)

    weight = Distribution("a sin(2 pi i (j/n + 1/m))", draw, uses_fan_in=True, by_matrix=True)
    source = "Fernandez-Hernandez et al. 2025, equations 1 to 3"
    return Initializer(weight, ZERO, "sine waves", source, STANDARD, is_random=False)


def _variance(units: int, width: int, first: int) -> float:
    """Return the variance of the sines of a whole matrix, from sums of each row in closed form.

    Over j, sin(2 pi i j / n + phase) has mean 0 and mean square 1/2 unless n divides i (or 2 i).
    """
    index = torch.arange(1, units + 1, dtype=torch.float64)
    mean, square = torch.zeros(units, dtype=torch.float64), torch.full((units,), 0.5, dtype=torch.float64)
    phase = index * (first / max(width, 1) + 1 / units)
    flat, folded = index % width == 0, (2 * index) % width == 0
    mean[flat] = torch.sin(2 * math.pi * phase[flat])
    square[folded] = torch.sin(2 * math.pi * phase[folded]) ** 2
    total = float(square.mean() - mean.mean() ** 2)
    return total if total > 1e-12 else 1.0
