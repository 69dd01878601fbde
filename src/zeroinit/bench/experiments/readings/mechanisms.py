"""What large biases do, taken apart: three mechanisms, each alone and in every combination."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from zeroinit.bench.experiments.analysis import FigureSummary
from zeroinit.bench.stats import Estimate, mean_interval, ratio_interval

__all__ = [
    "MECHANISMS",
    "Cell",
    "MechanismLoss",
    "all_cells",
    "cell_label",
    "cell_of",
    "cell_settings",
    "mechanism_losses",
    "shapley_values",
]

MECHANISMS = {
    "units": "where units work: dead or linear",
    "features": "large constant features: an ill-conditioned next layer",
    "outputs": "offsets of the logits that have to be unlearned",
}
"""What each does to the training."""

Cell = frozenset[str]
"""The mechanisms that are as with large biases; the others are as with biases ×1."""


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
    """Return the combination that settings stand for: the inverse of ``cell_settings``.

    Example:
        >>> cell = frozenset({"units", "outputs"})
        >>> cell_of(cell_settings(cell, 100.0)) == cell
        True
    """
    scale = settings["scale"]
    sizes = (settings[name] if settings[name] is not None else scale for name in ("offset_scale", "output_scale"))
    return frozenset(name for name, size in zip(MECHANISMS, (scale, *sizes), strict=True) if size != 1.0)


def shapley_values(worth: Mapping[Cell, np.ndarray], players: Sequence[str]) -> dict[str, np.ndarray]:
    """Divide what all players do together among them: each one's mean contribution over all orders of joining.

    The values add up to ``worth[all] - worth[none]`` for each seed.

    Args:
        worth: For each set of players what they do, by seed (seeds,).
        players: Their names.

    Returns:
        For each player its share (seeds,), in the unit of ``worth``.

    Source:
        Shapley 1953, "A value for n-person games".

    Example:
        >>> worth = {frozenset(): np.zeros(1), frozenset("a"): np.ones(1), frozenset("b"): np.zeros(1)}
        >>> worth[frozenset("ab")] = np.full(1, 3.0)
        >>> {player: value.tolist() for player, value in shapley_values(worth, "ab").items()}
        {'a': [2.0], 'b': [1.0]}
    """
    values = {}
    for player in players:
        others = [other for other in players if other != player]
        total = np.zeros_like(next(iter(worth.values())), dtype=float)
        for size in range(len(others) + 1):
            for chosen in combinations(others, size):
                before = frozenset(chosen)
                weight = 1 / (len(players) * comb(len(others), size))
                total = total + weight * (worth[before | {player}] - worth[before])
        values[player] = total
    return values


@dataclass(frozen=True)
class MechanismLoss:
    """What one mechanism costs, in accuracy.

    Attributes:
        loss: Its Shapley value.
        share: The same as a share of the loss of all together.
        alone: The loss with it alone.
        removed: What is gained if it alone is taken away from all together.
    """

    loss: Estimate
    share: Estimate
    alone: Estimate
    removed: Estimate


def mechanism_losses(summary: FigureSummary) -> dict[str, MechanismLoss]:
    """Divide the loss of accuracy among the mechanisms; empty where a combination is missing."""
    found = {}
    for entry in summary.curves:
        run = entry.curve.run
        settings = {"scale": run.scale, "offset_scale": run.offset_scale, "output_scale": run.output_scale}
        label = cell_label(cell_of(settings), max(run.scale, run.offset_scale or 0.0, run.output_scale or 0.0))
        if label == entry.curve.label:
            found[cell_of(settings)] = entry.final
    if len(found) < len(all_cells()):
        return {}
    seeds = sorted(set.intersection(*(set(final) for final in found.values())))
    if not seeds:
        return {}
    none, everything = frozenset[str](), frozenset(MECHANISMS)
    start = np.array([found[none][seed] for seed in seeds])
    losses = {cell: start - np.array([final[seed] for seed in seeds]) for cell, final in found.items()}
    return {
        name: MechanismLoss(
            mean_interval(value),
            ratio_interval(value, losses[everything]),
            mean_interval(losses[frozenset({name})]),
            mean_interval(losses[everything] - losses[everything - {name}]),
        )
        for name, value in shapley_values(losses, list(MECHANISMS)).items()
    }
