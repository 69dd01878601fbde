"""The three mechanisms of large biases, each alone and in every combination, as settings of runs."""

from collections.abc import Mapping
from itertools import combinations

__all__ = ["MECHANISMS", "Cell", "all_cells", "cell_label", "cell_of", "cell_settings"]

MECHANISMS = {
    "units": "where units work: dead or linear",
    "features": "large constant features: an ill-conditioned next layer",
    "outputs": "offsets of the logits that have to be unlearned",
}
"""The mechanisms, and what each one does to training."""

Cell = frozenset[str]
"""The mechanisms that act as with large biases. The others act as with biases ×1."""


def all_cells() -> list[Cell]:
    """List the eight combinations, the fewest mechanisms first.

    Example:
        >>> [len(cell) for cell in all_cells()]
        [0, 1, 1, 1, 2, 2, 2, 3]
    """
    return [frozenset(chosen) for size in range(len(MECHANISMS) + 1) for chosen in combinations(MECHANISMS, size)]


def cell_label(cell: Cell, scale: float) -> str:
    """Name a combination.

    Example:
        >>> cell_label(frozenset(), 100), cell_label(frozenset({"outputs", "units"}), 100)
        ('Biases ×1', 'Units and outputs ×100')
    """
    if not cell:
        return "Biases ×1"
    if len(cell) == len(MECHANISMS):
        return f"Biases ×{scale:g}"
    return f"{' and '.join(name for name in MECHANISMS if name in cell).capitalize()} ×{scale:g}"


def cell_settings(cell: Cell, scale: float) -> dict[str, float | None]:
    """Return the settings of a run that has large biases' effect on these mechanisms alone.

    Example:
        >>> cell_settings(frozenset({"features"}), 100.0)
        {'scale': 1.0, 'offset_scale': 100.0, 'output_scale': None}
    """
    sizes = {name: scale if name in cell else 1.0 for name in MECHANISMS}
    return {
        "scale": sizes["units"],
        "offset_scale": None if sizes["features"] == sizes["units"] else sizes["features"],
        "output_scale": None if sizes["outputs"] == sizes["units"] else sizes["outputs"],
    }


def cell_of(settings: Mapping[str, float | None]) -> Cell:
    """Return the combination of some settings: the inverse of ``cell_settings``.

    Example:
        >>> cell = frozenset({"units", "outputs"})
        >>> cell_of(cell_settings(cell, 100.0)) == cell
        True
    """
    scale = settings["scale"]
    sizes = (settings[name] if settings[name] is not None else scale for name in ("offset_scale", "output_scale"))
    return frozenset(name for name, size in zip(MECHANISMS, (scale, *sizes), strict=True) if size != 1.0)
