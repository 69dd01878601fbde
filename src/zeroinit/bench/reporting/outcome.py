"""What results say first: one row a start, and sentences with numbers in the place of labels."""

import re
from dataclasses import dataclass

from zeroinit._common import lookup
from zeroinit.bench.labels import split_label
from zeroinit.bench.network import sizes_of
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views.gradients import first_nonzero
from zeroinit.bench.reporting.views.wake_up import gradient_sizes
from zeroinit.bench.reporting.wording import write_share
from zeroinit.bench.store import Result

__all__ = ["Row", "check_sentences", "first_steps", "outcome_rows", "outcome_sentences"]

ONE_CLASS = "one class"
"""Stands in a sentence for the share of the most frequent class among the test images."""

LABEL = re.compile(r"\{([^}]*)\}")
"""The label of a curve, in a sentence."""

MOST_CURVES = 4
"""A sentence that lists curves names so many."""

MOST_LAYERS = 8
"""Networks with more layers have their steps written as a range."""


@dataclass(frozen=True)
class Row:
    """One start.

    Attributes:
        label: Its curve's.
        accuracy: Final test accuracy in percent; empty for runs that end after a few updates.
        steps: At which update step each weight first has a gradient, from input to output; empty if not recorded.
        num_seeds: Seeds behind both.
    """

    label: str
    accuracy: str
    steps: str
    num_seeds: int


def outcome_rows(summary: FigureSummary) -> list[Row]:
    """Return one row per curve that has results."""
    return [
        Row(
            entry.curve.label,
            "" if entry.curve.run.max_steps is not None else write_share(entry.estimate),
            first_steps(list(entry.results.values())),
            len(entry.results),
        )
        for entry in summary.curves
    ]


def first_steps(results: list[Result]) -> str:
    """Write at which update step each weight first has a gradient, from input to output, over all seeds.

    Returns:
        As ``"3, 2, 1"``; ``"2-3"`` where seeds differ, ``"never"`` where no recorded step has one, and one range for a
        network of many layers. Empty if no gradients were recorded.
    """
    if not all(_has_sizes(result) for result in results):
        return ""
    by_seed = [[first_nonzero(sizes) for sizes in gradient_sizes(result)[1]] for result in results]
    steps = [sorted(set(of_weight)) for of_weight in zip(*by_seed, strict=True)]
    if len(steps) > MOST_LAYERS:
        return f"{_span(sorted({step for each in steps for step in each}))} ({len(steps)} layers)"
    written = [_span(each) for each in steps]
    return written[0] if set(written) == {"never"} else ", ".join(written)


def _has_sizes(result: Result) -> bool:
    parameters = (result.recorded or {}).get("parameters", {})
    return any("max_abs" in entry for entry in parameters.values())


def _span(steps: list[int]) -> str:
    """Write the distinct first steps of one weight, ascending; 0 stands for never."""
    reached = [str(step) for step in steps if step]
    text = "-".join(dict.fromkeys((reached[0], reached[-1]))) if reached else ""
    return " or ".join(filter(None, (text, "never" if 0 in steps else "")))


def outcome_sentences(summary: FigureSummary) -> list[str]:
    """Return a figure's sentences with accuracies in the place of labels; those that lack a curve are left out.

    A figure without sentences of its own has one that lists its first curves.
    """
    values = {entry.curve.label: write_share(entry.estimate) for entry in summary.curves}
    if summary.curves:
        values[ONE_CLASS] = f"{100 * sizes_of(summary.curves[0].curve.run.dataset).majority_share:.1f} %"
    if not summary.figure.sentences:
        return _list_of_curves(summary, values)
    return [
        LABEL.sub(lambda match: values[match[1]], sentence)
        for sentence in summary.figure.sentences
        if set(labels_in(sentence)) <= set(values)
    ]


def _list_of_curves(summary: FigureSummary, values: dict[str, str]) -> list[str]:
    """Return one sentence with the accuracies of the first curves; none where runs end after a few updates."""
    ended = [entry.curve.label for entry in summary.curves if entry.curve.run.max_steps is None]
    if not ended:
        return []
    network = split_label(ended[0])[0] if ": " in ended[0] else ""
    same = [label for label in ended if label.startswith(f"{network}: ")] if network else ended
    shown = same[:MOST_CURVES]
    rest = f" and {len(ended) - len(shown)} more below" if len(ended) > len(shown) else ""
    listed = "; ".join(f"{split_label(label)[1] if network else label} {values[label]}" for label in shown)
    return [f"{summary.figure.title}: {f'on the {network} ' if network else ''}{listed}{rest}."]


def check_sentences(name: str, sentences: tuple[str, ...], labels: set[str]) -> None:
    """Check that what stands in braces is a label.

    Raises:
        InputError: There is no such curve.
    """
    for sentence in sentences:
        for label in labels_in(sentence):
            lookup(dict.fromkeys((*labels, ONE_CLASS)), label, f"{name}: sentence")


def labels_in(sentence: str) -> list[str]:
    """List what stands in braces.

    Example:
        >>> labels_in("Zero: {All zero}; {one class}.")
        ['All zero', 'one class']
    """
    return LABEL.findall(sentence)
