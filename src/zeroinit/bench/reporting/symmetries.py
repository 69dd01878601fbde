"""Numbers from the recorded symmetries of one run: how far units and positions differ, by step and at the end."""

from math import prod
from typing import Any

import numpy as np

from zeroinit.bench.store import Result
from zeroinit.symmetry.units.features import MOST

__all__ = [
    "activation_rank",
    "distinct_share",
    "has_no_identical_units",
    "has_positions",
    "mean_position_spread",
    "position_spread_at",
    "weight_rank_at",
]


def number(stored: float | None) -> float:
    """Return a stored number; NaN where it was not finite, which is stored as ``None``."""
    return float("nan") if stored is None else stored


def has_positions(recorded: dict[str, Any] | None) -> bool:
    """Whether symmetries were recorded for a network whose weights have positions."""
    return recorded is not None and any("position_spread" in each for each in recorded["parameters"].values())


def has_no_identical_units(result: Result) -> bool:
    """Whether the inspector has no warning of a trained network, and no two units of a layer are identical."""
    recorded = result.recorded or {}
    return "layers" in recorded and not recorded["warnings"] and distinct_share(recorded) == 1


def mean_position_spread(result: Result) -> float:
    """Return the position spread after training, mean over the weights that have positions."""
    assert result.recorded is not None
    return position_spread_at(result.recorded, -1)


def distinct_share(recorded: dict[str, Any]) -> float:
    """Return the share of units that are identical to no other unit of their layer, at the end."""
    return sum(each["distinct"] for each in recorded["layers"]) / sum(each["units"] for each in recorded["layers"])


def weight_rank_at(recorded: dict[str, Any], place: int) -> float:
    """Return the effective rank of weights over the largest that their shapes allow, mean over layers.

    Args:
        recorded: What a recorder of ranks stored.
        place: Which of the recorded steps; -1 is the end.

    Example:
        >>> weight_rank_at({"parameters": {"weight": {"shape": [4, 2, 3, 3], "weight_rank": [1.0]}}}, -1)
        0.25
    """
    shares = [
        number(each["weight_rank"][place]) / min(each["shape"][0], prod(each["shape"][1:]))
        for each in recorded["parameters"].values()
    ]
    return float(np.mean(shares))


def activation_rank(recorded: dict[str, Any]) -> float:
    """Return the effective rank of activations over the largest possible, at the end."""
    ranks = ((each["effective_rank_activations"], min(each["units"], MOST)) for each in recorded["layers"])
    return float(np.mean([rank / most for rank, most in ranks if rank is not None]))


def position_spread_at(recorded: dict[str, Any], place: int) -> float:
    """Return the position spread at one of the recorded steps, mean over the weights with positions; NaN if none."""
    entries = recorded["parameters"].values()
    spreads = [number(each["position_spread"][place]) for each in entries if "position_spread" in each]
    return float(np.mean(spreads)) if spreads else float("nan")
