"""View: what does each mechanism of large biases cost, alone and with the others?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from matplotlib.figure import Figure

from zeroinit.bench.catalogue.mechanisms import MECHANISMS, Cell, all_cells, cell_label, cell_of
from zeroinit.bench.plots import final_accuracies, new_panels
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views.accuracies import final_frame
from zeroinit.bench.reporting.views.view import Cell as TableCell
from zeroinit.bench.reporting.views.view import Heading, Table, View, estimate_frame, text
from zeroinit.bench.reporting.wording import write_difference, write_share
from zeroinit.bench.stats import Estimate, mean_interval, ratio_interval

__all__ = ["VIEW", "MechanismLoss", "draw", "mechanism_losses", "shapley_values", "table"]


def shapley_values(worth: Mapping[Cell, np.ndarray], players: Sequence[str]) -> dict[str, np.ndarray]:
    """Divide the worth of all players among them: each gets its mean contribution over all orders of joining.

    The values add up to ``worth[all] - worth[none]`` for each seed.

    Args:
        worth: The worth of each set of players, by seed (seeds,).
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
        share: Its Shapley value as a share of the loss of all together.
        alone: The loss with this mechanism alone.
        removed: The gain if this mechanism alone is removed from all together.
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


def draw(summary: FigureSummary, heading: Heading, profile: str) -> Figure:
    """Draw the final accuracies of all combinations and cures, and the loss that each mechanism is charged with."""
    figure, (left, right) = new_panels([3, 2], 9.6, 5.0, heading.title, heading.note)
    final_accuracies(final_frame(summary, with_published=False), left)
    losses = mechanism_losses(summary)
    if losses:
        frame = estimate_frame((name, each.loss) for name, each in losses.items())
        final_accuracies(frame, right, xlabel="Loss charged to it (Shapley, points)", bounded=False)
        right.set_xlim(left=min(0.0, right.get_xlim()[0]))
    return figure


def table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per mechanism: its Shapley value, its share, and the losses with it alone and without it."""
    names = ("Loss (Shapley), points", "Share of the loss", "Loss with it alone", "Gained without it alone", "Seeds")
    rows = []
    for name, each in mechanism_losses(summary).items():
        loss, alone, removed = map(write_difference, (each.loss, each.alone, each.removed))
        cells = map(TableCell, (loss, write_share(each.share), alone, removed, str(each.loss.num_seeds)))
        rows.append((text(f"{name}: {MECHANISMS[name]}"), *cells))
    return Table((text("Mechanism"), *(TableCell(name) for name in names)), tuple(rows))


VIEW = View(
    draw,
    table,
    "Each mechanism is switched on and off on its own; the loss of all three together is divided among them by "
    "Shapley values, whose sum it is. Intervals over the seeds that all eight combinations have.",
)
