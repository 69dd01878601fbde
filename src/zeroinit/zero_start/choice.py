"""The parts of a zero start: which remedies act, for how many updates, and why."""

from collections.abc import Sequence

from zeroinit.remedies.until_moved import FEWEST_STEPS

__all__ = ["DEEP", "PARTS", "SCALE", "choose_parts", "num_affine_steps", "num_first_steps"]

SCALE = 0.1
"""Factor of the biases."""
MOST_STEPS = 100
DEEP, DEEP_WITH_NORMS = 4, 20
"""With more layers than this, small weights lose signals, so weights also become orthonormal half-way."""

PARTS = {
    "affine_norms": "norms act as γx + β and so do not cancel constant channels",
    "position_signs": "random signs on the gradient per example, unit and position make units and positions differ",
    "moment_reset": "at the end the optimizer's moments and step count are cleared",
    "weight_orthogonal": "at the end each weight becomes orthogonal, in the size of PyTorch's default",
    "weight_orthonormal": "each weight becomes orthonormal half-way and at the end, so signals cross a deep network",
}
"""Remedies that a zero start may use, and why; keys of ``REMEDIES``. ``choose_parts`` chooses among them."""


def num_first_steps(num_layers: int) -> int:
    """Return the number of updates of a zero start on a chain of ``num_layers`` layers: 2 (n + 1), from 10 to 100.

    A model with paths around its layers needs fewer updates; ``until_moved`` then ends the zero start earlier.

    Example:
        >>> [num_first_steps(count) for count in (2, 9, 200)]
        [10, 20, 100]
    """
    return min(max(FEWEST_STEPS, 2 * (num_layers + 1)), MOST_STEPS)


def choose_parts(num_layers: int, has_norms: bool) -> list[str]:
    """Return which of ``PARTS`` act on a network with ``num_layers`` dense and convolutional layers.

    Example:
        >>> choose_parts(4, has_norms=False)
        ['position_signs', 'moment_reset', 'weight_orthogonal']
        >>> choose_parts(8, has_norms=False)[-1], choose_parts(8, has_norms=True)[-1]
        ('weight_orthonormal', 'weight_orthogonal')
    """
    is_deep = num_layers > (DEEP_WITH_NORMS if has_norms else DEEP)
    last = "weight_orthonormal" if is_deep else "weight_orthogonal"
    return [*(["affine_norms"] if has_norms else []), "position_signs", "moment_reset", last]


def num_affine_steps(parts: Sequence[str], steps: int) -> int:
    """Return for how many updates norms are affine: until the weights become orthonormal for the first time.

    Example:
        >>> num_affine_steps(["affine_norms", "weight_orthonormal"], 16)
        8
    """
    return steps // 2 if "weight_orthonormal" in parts else steps
