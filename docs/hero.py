"""The README's picture, in a light and a dark form: who gets a gradient when, and what each start costs.

Left, the five layers of the CIFAR-10 dense net during the first five updates, from three starts (study
``three_starts``). Right, test accuracy minus that of PyTorch's default (study ``recommended``). ``make readme`` draws
it from the stored runs. The text for those who do not see it holds the same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zeroinit.bench.catalogue.parts import UPSCALED
from zeroinit.bench.labels import ALL_ZERO, NORMAL, PYTORCH, ZERO_START
from zeroinit.bench.plots.style import EMPTY, FEW, INK, SOFT, STYLE, color_of, in_dark
from zeroinit.bench.plots.ticks import points
from zeroinit.bench.reporting.report import Report
from zeroinit.bench.reporting.verdicts import VERDICTS, WORDS
from zeroinit.bench.reporting.views.gaps import Gap, gaps
from zeroinit.bench.reporting.views.wake_up import has_gradient
from zeroinit.bench.reporting.wording import write_share
from zeroinit.bench.stats import Estimate, mean_interval

IMAGES = Path(__file__).parent / "images"
STARTS = {ALL_ZERO: "all zero", NORMAL: "zero weights,\nrandom biases", PYTORCH: "PyTorch's default"}
RIGHT = {NORMAL: "zero weights, normal biases", ZERO_START: "zero start"}
REACH = (-8.0, 4.0)
"""Ends of the right axis in points; what lies beyond is an arrow with its number."""


@dataclass(frozen=True)
class Theme:
    """The colors of one form of the picture."""

    text: str
    faint: str
    empty: str
    starts: dict[str, str]


_COLORS = {start: color_of(start, []) for start in (ALL_ZERO, NORMAL, PYTORCH, ZERO_START)}
THEMES = {
    "light": Theme(INK, SOFT, EMPTY, _COLORS),
    "dark": Theme(*map(in_dark, (INK, SOFT, EMPTY)), {start: in_dark(color) for start, color in _COLORS.items()}),
}


def verdict_counts(report: Report) -> dict[str, int]:
    """Count the verdicts on whether a zero start is not worse than PyTorch's default, one a network."""
    (decisions,) = report.decisions.values()
    verdicts = [each.verdict for each in decisions if each.claim.id.startswith("R1")]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def title(report: Report) -> str:
    """Return the picture's headline, made of the verdicts."""
    counts = verdict_counts(report)
    total = sum(counts.values())
    rest = [
        f"{words} {counts[name]}"
        for name, words in (("refuted", "worse on"), ("inconclusive", "undecided on"))
        if counts[name]
    ]
    return ", ".join(
        [f"A zero start trains as well as PyTorch's default on {counts['supported']} of {total} networks", *rest]
    )


def shown(report: Report) -> dict[str, dict[str, Gap]]:
    """Return for each network its settings that the right side shows, by start."""
    found: dict[str, dict[str, Gap]] = {}
    (summary,) = report.summaries
    for gap in gaps(summary):
        if gap.name in RIGHT:
            found.setdefault(gap.network, {})[gap.name] = gap
    return found


def first_gradients(report: Report) -> dict[str, np.ndarray]:
    """Return for each start which layers (from input to output) have a gradient at which update, in every seed."""
    (summary,) = report.summaries
    return {
        entry.curve.label: np.all([has_gradient(result) for result in entry.results.values()], axis=0)
        for entry in summary.curves
    }


def steps_in_words(received: np.ndarray) -> str:
    """Return the first step with a gradient of each layer, from the output to the input.

    Example:
        >>> steps_in_words(np.array([[False, True], [True, True]])), steps_in_words(np.zeros((1, 2), bool))
        ('1, 2', 'never')
    """
    firsts = [int(row.argmax()) + 1 if row.any() else None for row in received[::-1]]
    if not any(firsts):
        return "never"
    return ", ".join("never" if first is None else str(first) for first in firsts)


def alt_text(starts: Report, costs: Report, corrected: Report) -> str:
    """Return the text that stands for the picture, with its numbers."""
    received, reached = first_gradients(starts), accuracies(costs, corrected)
    left = [
        f"{name}: {steps_in_words(received[label])}, accuracy {reached[label]}".replace("\n", " ")
        for label, name in STARTS.items()
    ]
    right = []
    for network, settings in shown(costs).items():
        values = [f"{RIGHT[name]} {_spread(gap)} ({gap.difference.num_seeds} seeds)" for name, gap in settings.items()]
        right.append(f"{network}: {', '.join(values)}")
    return (
        f"{title(costs)}. Left: update at which each layer of the CIFAR-10 dense net gets its first gradient, output "
        f"first: {'; '.join(left)}. Right: test accuracy minus PyTorch's default, in points: {'; '.join(right)}."
    )


def _spread(gap: Gap) -> str:
    return points(gap.difference.value, gap.difference.low, gap.difference.high)


def draw(starts: Report, costs: Report, corrected: Report, theme: Theme) -> Figure:
    """Draw the picture, 1600 x 600 at 100 dots per inch."""
    with _look(theme):
        figure = Figure(figsize=(16, 6), dpi=100, facecolor="none")
        figure.text(0.02, 0.93, title(costs), fontsize=19, fontweight="bold", va="center")
        _draw_left(figure, first_gradients(starts), accuracies(costs, corrected), theme)
        _draw_right(figure, shown(costs), theme)
        return figure


@contextmanager
def _look(theme: Theme) -> Iterator[None]:
    context = {
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "xtick.color": theme.faint,
        "ytick.color": theme.text,
        "axes.edgecolor": theme.faint,
        "axes.facecolor": "none",
        "grid.color": theme.empty,
        "savefig.bbox": None,
        "savefig.dpi": 100,
        "font.size": 12,
    }
    with plt.style.context(STYLE), matplotlib.rc_context(context):
        yield


def accuracies(costs: Report, corrected: Report) -> dict[str, str]:
    """Return the test accuracy that the dense net on CIFAR-10 reaches from each start."""
    curves = {entry.curve.label: entry for summary in costs.summaries for entry in summary.curves}
    curves |= {entry.curve.label: entry for each in corrected.summaries if each.figure.name == "fig10"
               for entry in each.curves}  # fmt: skip
    labels = {ALL_ZERO: "FNN zero", NORMAL: f"CIFAR-10 FNN: {NORMAL}", PYTORCH: f"CIFAR-10 FNN: {PYTORCH}"}
    return {start: write_share(mean_interval(list(curves[label].final.values()))) for start, label in labels.items()}


def _draw_left(figure: Figure, received: dict[str, np.ndarray], reached: dict[str, str], theme: Theme) -> None:
    figure.text(0.02, 0.845, "Which layer has a gradient at which update", fontsize=14, fontweight="bold")
    figure.text(0.02, 0.795, "CIFAR-10 dense net, every seed of five", fontsize=12, color=theme.faint)
    for place, (label, name) in enumerate(STARTS.items()):
        axes = figure.add_axes((0.065 + 0.125 * place, 0.30, 0.105, 0.42))
        cells = received[label]
        num_layers, num_steps = cells.shape
        for layer in range(num_layers):
            for step in range(num_steps):
                color = theme.starts[label] if cells[layer, step] else theme.empty
                axes.add_patch(plt.Rectangle((step + 0.56, layer + 0.56), 0.88, 0.88, color=color, linewidth=0))
        axes.set(xlim=(0.5, num_steps + 0.5), ylim=(0.5, num_layers + 0.5))
        axes.set_xticks(range(1, num_steps + 1))
        axes.set_yticks([1, num_layers], ["input", "output"] if place == 0 else ["", ""])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.text(0.5, -0.17, name, transform=axes.transAxes, ha="center", va="top", fontsize=12.5, fontweight="bold")
        axes.text(
            0.5,
            -0.42,
            f"ends at {reached[label]}",
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=11.5,
            color=theme.faint,
        )
    figure.text(0.02, 0.035, "updates 1 to 5, filled: has a gradient", fontsize=11, color=theme.faint)


def _draw_right(figure: Figure, networks: dict[str, dict[str, Gap]], theme: Theme) -> None:
    figure.text(0.47, 0.845, "What it costs: test accuracy minus PyTorch's default, in points", fontsize=14,
                fontweight="bold")  # fmt: skip
    axes = figure.add_axes((0.605, 0.115, 0.335, 0.655))
    axes.set(xlim=REACH, ylim=(len(networks) - 0.45, -0.55))
    axes.set_yticks([])
    axes.set_xticks(range(-8, 5, 2), [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in range(-8, 5, 2)])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=theme.text, linewidth=1)
    for row, (network, settings) in enumerate(networks.items()):
        axes.text(-0.03, row, network, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=12.5)
        for label, gap in settings.items():
            _mark(axes, row + (0.16 if label == ZERO_START else -0.16), gap, theme.starts[label])
    for place, (label, name) in enumerate(RIGHT.items()):
        figure.text(0.47 + 0.19 * place, 0.795, name, fontsize=12.5, fontweight="bold", color=theme.starts[label])
    axes.text(1.02, 1.04, "seeds", transform=axes.transAxes, fontsize=11, color=theme.faint, va="center")
    figure.text(0.47, 0.035, f"lines: 95 % intervals; hollow: fewer than {FEW} seeds", fontsize=11, color=theme.faint)


def _mark(axes: Axes, height: float, gap: Gap, color: str) -> None:
    value, low, high = (100 * each for each in (gap.difference.value, gap.difference.low, gap.difference.high))
    few = gap.difference.num_seeds < FEW
    axes.text(1.025, height, f"{gap.difference.num_seeds}", transform=axes.get_yaxis_transform(), va="center",
              fontsize=11, color=color)  # fmt: skip
    if value < REACH[0]:
        axes.annotate("", (REACH[0], height), (REACH[0] + 0.9, height),
                      arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.8})  # fmt: skip
        axes.text(REACH[0] + 1.05, height, _spread(gap), va="center", fontsize=11, color=color)
        return
    axes.plot([max(low, REACH[0]), min(high, REACH[1])], [height] * 2, color=color, linewidth=2, solid_capstyle="butt")
    for end, mark, beyond in ((REACH[0], "<", low < REACH[0]), (REACH[1], ">", high > REACH[1])):
        if beyond:
            axes.plot(end, height, mark, color=color, markersize=8, clip_on=False)
    axes.plot(value, height, "o", color=color, markersize=7, markerfacecolor="none" if few else color,
              markeredgewidth=1.8)  # fmt: skip


def write_hero(starts: Report, costs: Report, corrected: Report) -> None:
    """Write both forms as SVG, with their text as their description."""
    IMAGES.mkdir(exist_ok=True)
    told = {"Date": None, "Title": title(costs), "Description": alt_text(starts, costs, corrected)}
    for name, theme in THEMES.items():
        figure = draw(starts, costs, corrected, theme)
        with _look(theme):
            figure.savefig(IMAGES / f"hero-{name}.svg", metadata=told)


def block(alt: str) -> str:
    """Return the README's block: the form that fits the reader's theme, with the text."""
    return (
        '<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="docs/images/hero-dark.svg">\n'
        f'  <img src="docs/images/hero-light.svg" alt="{alt}">\n</picture>'
    )


def percent(of: Estimate) -> str:
    """Return an accuracy with its interval.

    Example:
        >>> percent(Estimate(0.9718, 0.9708, 0.9728, num_seeds=10))
        '97.2 ± 0.1 % (10 seeds)'
    """
    return f"{write_share(of)} ({of.num_seeds} seeds)"


def results(costs: Report, corrected: Report) -> str:
    """Return the README's table, one row a network, and the verdict on the paper."""
    return "\n".join([*_rows(costs), "", *_sentences(corrected)])


def _rows(costs: Report) -> list[str]:
    (summary,) = costs.summaries
    finals = {entry.curve.label: entry.estimate for entry in summary.curves}
    (decisions,) = costs.decisions.values()
    verdicts = {each.claim.curve: each for each in decisions if each.claim.id.startswith("R1")}
    lines = [
        "| network | PyTorch's default | zero weights, normal biases | zero start | zero start as good? |",
        "| --- | --- | --- | --- | --- |",
    ]
    for network in shown(costs):
        cells = [percent(finals[f"{network}: {name}"]) for name in (PYTORCH, NORMAL, ZERO_START)]
        verdict = ANSWERS[verdicts[f"{network}: {ZERO_START}"].verdict]
        lines.append(f"| {network} | {' | '.join(cells)} | {verdict} |")
    return lines


ANSWERS = {"supported": "yes", "refuted": "no", "inconclusive": "undecided", "not run": "not run"}


def _sentences(corrected: Report) -> list[str]:
    verdicts = [each.verdict for decisions in corrected.decisions.values() for each in decisions]
    figures = {summary.figure.name: summary for summary in corrected.summaries}
    dense = {entry.curve.label: entry.estimate for name in ("fig3", "fig4", "fig7") for entry in figures[name].curves}
    counts = ", ".join(f"{verdicts.count(name)} {WORDS.get(name, name)}" for name in VERDICTS)
    return [
        f"**The paper.** Zero weights with random biases train: {percent(dense[NORMAL])} on the MNIST dense net, where "
        f"all zero ends at {100 * dense['FNN zero'].value:.1f} %.",
        f"PyTorch's default stays ahead, with {percent(dense[PYTORCH])}, and biases ×100 do harm: "
        f"{percent(dense[UPSCALED])}.",
        f"We split the paper into {len(verdicts)} claims: {counts}.",
    ]
