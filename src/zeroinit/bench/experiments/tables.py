"""Tables of a report: rows of texts, the same for the page and for Markdown."""

from dataclasses import dataclass

from zeroinit.bench.experiments.analysis import FigureSummary
from zeroinit.bench.experiments.labels import PYTORCH
from zeroinit.bench.experiments.readings.bias_grid import read_grid, seed_agreement
from zeroinit.bench.experiments.readings.gaps import Gap, gaps
from zeroinit.bench.experiments.readings.gradient_frames import wake_frame
from zeroinit.bench.experiments.readings.gradients import gradient_sizes
from zeroinit.bench.experiments.readings.mechanisms import MECHANISMS, mechanism_losses
from zeroinit.bench.experiments.readings.symmetry_frames import remaining
from zeroinit.bench.experiments.spec import PROFILES, PROTOCOLS

__all__ = [
    "NOTABLE",
    "Cell",
    "Table",
    "accuracy_table",
    "gap_table",
    "gradient_table",
    "grid_table",
    "mechanism_table",
    "symmetry_table",
    "wake_table",
]

NOTABLE = 0.01
"""A difference from the published accuracy that the report has to explain."""


@dataclass(frozen=True)
class Cell:
    """A text; a number stands on the right, and what is notable is marked."""

    text: str
    is_number: bool = True
    is_notable: bool = False


@dataclass(frozen=True)
class Table:
    """Headings and rows of as many cells."""

    headings: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text(content: object) -> Cell:
    """Return a cell that stands on the left."""
    return Cell(str(content), is_number=False)


def accuracy_table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: the paper's final accuracy, ours with its interval, the difference, the first epoch."""
    is_paper = PROFILES[profile].is_paper
    headings = (
        text("Final test accuracy"),
        Cell("Paper" if is_paper else "Paper (other data)"),
        Cell("Ours"),
        text(f"95 % interval ({PROTOCOLS[protocol].interval})"),
        *(Cell(name) for name in ("Ours − paper", "Epoch 1", "Seeds")),
    )
    rows = []
    for entry in summary.curves:
        estimate, difference = entry.estimate, entry.difference if is_paper else None
        is_single = estimate.low != estimate.low
        rows.append(
            (
                text(entry.curve.label),
                Cell("–" if entry.published is None else f"{entry.published:.3f}"),
                Cell(f"{estimate.value:.4f}"),
                text("one seed" if is_single else f"[{estimate.low:.4f}, {estimate.high:.4f}]"),
                Cell("–") if difference is None else Cell(signed(difference), is_notable=abs(difference) > NOTABLE),
                Cell(f"{entry.first:.3f}"),
                Cell(f"{len(entry.results)}" + (f", {entry.num_diverged} diverged" if entry.num_diverged else "")),
            )
        )
    return Table(headings, tuple(rows))


def signed(value: float) -> str:
    """Write a difference with its sign; no minus zero.

    Example:
        >>> signed(0.0214), signed(-0.0001)
        ('+0.021', '+0.000')
    """
    return f"{round(value, 3) + 0.0:+.3f}"


def gradient_table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve and weight: the first step with a gradient, by how many seeds, and how large it is."""
    headings = (text("Curve"), text("Weight"), *(Cell(name) for name in ("First step", "Largest entry then", "Seeds")))
    rows = []
    for entry in summary.curves:
        names = gradient_sizes(next(iter(entry.results.values())))[0]
        sizes = [gradient_sizes(result)[1] for result in entry.results.values()]
        for layer, name in enumerate(names):
            firsts = [first_nonzero(of_seed[layer]) for of_seed in sizes]
            then = [of_seed[layer][first - 1] for of_seed, first in zip(sizes, firsts, strict=True) if first]
            rows.append(
                (
                    text(entry.curve.label),
                    text(f"{name}, layer {layer + 1}"),
                    Cell(", ".join(sorted({str(first or "never") for first in firsts}))),
                    Cell(span(then)),
                    Cell(str(len(sizes))),
                )
            )
    return Table(headings, tuple(rows))


def first_nonzero(sizes) -> int:
    """Return the first step, from 1, with a size other than zero; 0 if there is none."""
    return next((step for step, size in enumerate(sizes, start=1) if size != 0), 0)


def span(values: list[float]) -> str:
    """Write the smallest and the largest value.

    Example:
        >>> span([0.5, 0.25]), span([2.0]), span([])
        ('0.25 to 0.5', '2', '–')
    """
    if not values:
        return "–"
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def wake_table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per variant and seed: how many weights wake up by what, and when the last one does."""
    causes = ("signal", "rounding", "unclear", "never")
    names = ("Seed", *(f"By {cause}" if cause != "never" else "Never" for cause in causes), "Last one at step")
    rows = []
    for (variant, seed), layers in wake_frame(summary).groupby(["variant", "seed"], sort=False):
        counts = [int((layers["cause"] == cause).sum()) for cause in causes]
        last = layers["step"].max()
        numbers = [seed, *counts, "–" if last != last else int(last)]
        rows.append((text(variant), *(Cell(str(number)) for number in numbers)))
    return Table((text("Variant"), *(Cell(name) for name in names)), tuple(rows))


def mechanism_table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per mechanism: its Shapley value, its share, and the loss with it alone and all but it."""
    names = ("Loss (Shapley)", "Share of the loss", "Loss with it alone", "Gained without it alone", "Seeds")
    rows = []
    for name, each in mechanism_losses(summary).items():
        estimates = (each.loss, each.share, each.alone, each.removed)
        cells = (Cell(str(estimate)) for estimate in estimates)
        rows.append((text(f"{name}: {MECHANISMS[name]}"), *cells, Cell(str(each.loss.num_seeds))))
    return Table((text("Mechanism"), *(Cell(name) for name in names)), tuple(rows))


def grid_table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per predictor with its rank correlations, and one per fixed start that ``auto`` is set against."""
    headings = (text("Part"), text("What"), text("Measure"), Cell("Value"), Cell("Contexts"))
    reading, rows = read_grid(summary), []
    if reading is None:
        return Table(headings, ())
    agreement = seed_agreement(summary)
    for part, found in reading.correlations.items():
        entries = [(f"{name}", "rank correlation with the loss", each) for name, each in found.items()]
        entries.insert(1, ("predictor", "R²", reading.explained[part]))
        entries += [
            (f"auto minus {name}", "accuracy", each) for name, each in reading.differences.get(part, {}).items()
        ]
        if part in agreement:
            entries.append(("another seed", "rank correlation of losses", agreement[part]))
        for what, measure, estimate in entries:
            rows.append((text(part), text(what), text(measure), Cell(str(estimate)), Cell(str(estimate.num_seeds))))
    return Table(headings, tuple(rows))


def gap_table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: accuracy, difference from the default, share of the gap that is closed, ranks."""
    names = ("Accuracy", "Minus default", "Gap closed", "Rank, step 2", "10", "100", "End", "Seeds")
    rows = []
    for gap in gaps(summary):
        cells = (
            f"{gap.summary.estimate.value:.4f}",
            "–" if gap.name == PYTORCH else str(gap.difference),
            _share_closed(gap),
            *(_rank_at(gap, step) for step in (2, 10, 100, None)),
            str(gap.difference.num_seeds),
        )
        rows.append((text(gap.network), text(gap.name), *(Cell(cell) for cell in cells)))
    return Table((text("Network"), text("Start"), *(Cell(name) for name in names)), tuple(rows))


def _share_closed(gap: Gap) -> str:
    if gap.closed is None:
        return "–"
    is_single = gap.closed.low != gap.closed.low
    interval = "(one seed, no interval)" if is_single else f"[{gap.closed.low:.2f}, {gap.closed.high:.2f}]"
    return f"{gap.closed.value:.2f} {interval}"


def _rank_at(gap: Gap, step: int | None) -> str:
    """Return the mean effective rank of the first weight at a step, or at the end; a dash if it was not recorded."""
    found = []
    for result in gap.summary.results.values():
        recorded = result.recorded or {}
        if step in recorded.get("steps", []) or (step is None and "steps" in recorded):
            ranks = next(iter(recorded["parameters"].values()))["weight_rank"]
            found.append(ranks[-1] if step is None else ranks[recorded["steps"].index(step)])
    return f"{sum(found) / len(found):.1f}" if found else "–"


def symmetry_table(summary: FigureSummary, profile: str, protocol: str) -> Table:
    """Return one row per curve: what is alike after training."""
    names = ("Units distinct", "Rank of weights", "Rank of activations", "Position spread", "Least of a layer", "Seeds")
    rows = []
    for each in remaining(summary):
        least = each.least_spread
        cells = (
            ", ".join(each.warnings) or "none",
            *(str(estimate) for estimate in (each.distinct, each.weight_rank, each.activation_rank)),
            f"{each.mean_spread:.3f}",
            "–" if least is None else f"{least[0].removesuffix('.weight')}: {least[1]}",
            str(each.distinct.num_seeds),
        )
        rows.append((text(each.network), text(each.name), *(Cell(cell) for cell in cells)))
    headings = (text("Network"), text("Start"), Cell("Warnings"), *(Cell(name) for name in names))
    return Table(headings, tuple(rows))
