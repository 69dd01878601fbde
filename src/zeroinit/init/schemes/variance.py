"""Initializers that choose the variance of independent weights by fan-in and fan-out."""

from dataclasses import replace

from torch import Tensor

from zeroinit._common import InputError, lookup
from zeroinit.init.distributions import ZERO, Distribution
from zeroinit.init.gains import gain
from zeroinit.init.initializers import STANDARD, Initializer
from zeroinit.init.places import Place

__all__ = ["kaiming_normal", "kaiming_uniform", "lecun_normal", "variance_scaling", "xavier_normal", "xavier_uniform"]

MODES = {
    "fan_in": lambda block: block.fan_in,
    "fan_out": lambda block: block.fan_out,
    "fan_avg": lambda block: (block.fan_in + block.fan_out) / 2,
    "fan_geo": lambda block: (block.fan_in * block.fan_out) ** 0.5,
}
TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut at 2."""
SHAPES = {
    "normal": ("N(0, {})", lambda place, std: place.normal(std)),
    "truncated_normal": ("N(0, {}) cut at 2 std", lambda place, std: place.truncated(std / TRUNCATED)),
    "uniform": ("U(-a, a), a^2 = 3 * {}", lambda place, std: place.uniform(-(3**0.5) * std, 3**0.5 * std)),
}


def variance_scaling(
    scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", activation: str = "linear"
) -> Initializer:
    """Weights of variance scale * gain^2 / fan; zero biases.

    Args:
        scale: The factor s of the variance.
        mode: ``"fan_in"`` keeps the variance of signals, ``"fan_out"`` that of gradients; ``"fan_avg"`` and
            ``"fan_geo"`` are the arithmetic and the geometric mean.
        distribution: ``"normal"``, ``"truncated_normal"`` (cut at 2 standard deviations, then of the same variance) or
            ``"uniform"``.
        activation: What the layer's inputs went through, by name; see ``gain``.

    Raises:
        InputError: An unknown word, or a negative scale.

    Source:
        The common form of Glorot and Bengio 2010 (equation 16), He et al. 2015 (equations 10 and 14) and LeCun et al.
        1998 (section 4.6).

    Example:
        >>> variance_scaling(mode="fan_out", distribution="normal").weight.text
        'N(0, 1/fan_out)'
    """
    fan_of, (form, draw_with) = lookup(MODES, mode, "mode"), lookup(SHAPES, distribution, "distribution")
    if not scale >= 0:
        raise InputError(f"scale={scale!r}: must be at least 0")
    variance = scale * gain(activation) ** 2

    def draw(place: Place) -> Tensor:
        return draw_with(place, (variance / max(fan_of(place.block), 1)) ** 0.5)

    weight = Distribution(form.format(f"{variance:.6g}/{mode}"), draw, uses_fan_in=True)
    summary = "weights of variance scale / fan, in any of three distributions"
    return Initializer(weight, ZERO, summary, "Glorot and Bengio 2010; He et al. 2015", STANDARD)


def xavier_uniform(activation: str = "linear") -> Initializer:
    """Uniform weights of variance 2 / (fan_in + fan_out); zero biases.

    Source:
        Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward networks", equation 16.
    """
    return _named(variance_scaling(1.0, "fan_avg", "uniform", activation), "Glorot and Bengio 2010, equation 16")


def xavier_normal(activation: str = "linear") -> Initializer:
    """Normal weights of variance 2 / (fan_in + fan_out); zero biases.

    Source:
        Glorot and Bengio 2010, equation 12, with a normal distribution.
    """
    return _named(variance_scaling(1.0, "fan_avg", "normal", activation), "Glorot and Bengio 2010, equation 12")


def kaiming_uniform(mode: str = "fan_in", activation: str = "relu") -> Initializer:
    """Uniform weights of variance gain^2 / fan_in; zero biases.

    Source:
        He et al. 2015, "Delving deep into rectifiers", equations 10 and 14, with a uniform distribution.
    """
    return _named(variance_scaling(1.0, mode, "uniform", activation), "He et al. 2015, equations 10 and 14, uniform")


def kaiming_normal(mode: str = "fan_in", activation: str = "relu") -> Initializer:
    """Normal weights of variance gain^2 / fan_in; zero biases.

    Source:
        He et al. 2015, equations 10 (``fan_in``) and 14 (``fan_out``).
    """
    return _named(variance_scaling(1.0, mode, "normal", activation), "He et al. 2015, equations 10 and 14")


def lecun_normal(distribution: str = "normal") -> Initializer:
    """Weights of variance 1 / fan_in; zero biases.

    Args:
        distribution: ``"normal"``, ``"truncated_normal"`` or ``"uniform"``.

    Source:
        LeCun et al. 1998, "Efficient BackProp", section 4.6, equation 16. SELU networks need it: Klambauer et al. 2017.
    """
    return _named(variance_scaling(1.0, "fan_in", distribution), "LeCun et al. 1998, section 4.6")


def _named(made: Initializer, source: str) -> Initializer:
    return replace(made, summary=f"weights {made.weight.text}, zero biases", source=source)
