"""Every figure of the stored results: no text is cut, none lies on another, and one start has one color everywhere."""

import re
import sys
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.labels import NORMAL, PYTORCH, ZERO_START, split_label
from zeroinit.bench.plots import color_of, new_figure
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.reporting.views.view import Heading

DOCS = Path(__file__).parents[2] / "docs"
SLACK = 1.0
"""Pixels, at 100 to the inch."""
QUICK = (
    *("recommended", "full_width", "transfer", "gap", "plateau"),
    *("remaining", "three_starts", "large_bias", "first_gradients"),
)
SLOW = ("corrected", "published", "residual", "large_bias_grid", "large_bias_cnn", "precision", "gpu_corrected")
CASES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@cache
def drawings(name: str) -> dict[str, Figure]:
    """The drawings of one stored report, by the name of the figure; details have ``-details`` behind it."""
    sys.path.insert(0, str(DOCS))
    import tables

    report, found = tables.read_report(name), {}
    for summary in report.summaries:
        if summary.can_be_drawn:
            view, heading = VIEWS[summary.figure.view], Heading(summary.figure.title, "8x8 digits.")
            found[summary.figure.name] = view.draw(summary, heading, report.profile)
            if view.details is not None:
                found[f"{summary.figure.name}-details"] = view.details(summary, heading, report.profile)
    for figure in found.values():
        figure.draw_without_rendering()
    return found


def texts(figure: Figure) -> list[Text]:
    """What can be read: texts with words, on axes that are there, at ticks within their axis."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            pad = 1e-9 * (high - low)
            ticks = [*axis.majorTicks, *axis.minorTicks]
            shown = {tick for tick in ticks if low - pad <= tick.get_loc() <= high + pad} if axes.axison else set()
            hidden |= {label for tick in ticks for label in (tick.label1, tick.label2) if tick not in shown}
            if not (axes.axison and axes.get_visible()):
                hidden |= {axis.label, axis.offsetText}
        if not axes.get_visible():
            hidden |= set(axes.findobj(Text))
    return [
        each for each in figure.findobj(Text) if each.get_visible() and each.get_text().strip() and each not in hidden
    ]


def faults(figure: Figure) -> list[str]:
    """Texts that leave the figure, and pairs that lie on each other."""
    figure.draw_without_rendering()
    boxes = {each: each.get_window_extent() for each in texts(figure)}
    page = figure.bbox
    found = [
        f"{each.get_text()!r} leaves the figure"
        for each, box in boxes.items()
        if box.x0 < page.x0 - SLACK or box.y0 < page.y0 - SLACK or box.x1 > page.x1 + SLACK or box.y1 > page.y1 + SLACK
    ]
    for (one, first), (other, second) in combinations(boxes.items(), 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        if width > SLACK and height > SLACK + 1:
            found.append(f"{one.get_text()!r} lies on {other.get_text()!r}")
    return found


@pytest.mark.parametrize("name", CASES)
def test_no_text_is_cut_or_lies_on_another(name):
    for figure, drawing in drawings(name).items():
        assert len(texts(drawing)) > 5, figure
        assert faults(drawing) == [], figure


def test_a_cut_title_and_a_name_on_another_are_found():
    figure, axes = new_figure(2.0, 2.0)
    axes.set_title("A title that is far too long for two inches")
    axes.set_xticks([0, 1e-3, 1], ["zero", "a thousandth", "one"])
    found = faults(figure)
    assert any(each.endswith("leaves the figure") for each in found)
    assert "'zero' lies on 'a thousandth'" in found


def test_a_long_title_is_broken_into_lines():
    words = "A title that is far too long for the six inches of one line in the middle of a page, and goes on"
    figure, _ = new_figure(6.0, 2.0, words, "A note below it. " * 8)
    assert figure.get_suptitle().split() == words.split()
    assert figure.get_suptitle().count("\n") >= 1
    assert faults(figure) == []


@pytest.mark.parametrize("name", QUICK)
def test_one_start_has_one_color_everywhere(name):
    """Dots, lines and names of PyTorch's default, normal biases and the zero start."""
    fixed = {label: color_of(label, [label]).lower() for label in (PYTORCH, NORMAL, ZERO_START)}
    for drawing in drawings(name).values():
        for axes in drawing.axes:
            for artist in [*axes.lines, *axes.texts]:
                label = artist.get_text() if isinstance(artist, Text) else str(artist.get_label())
                if label in fixed and axes.get_visible():
                    assert to_hex(artist.get_color()) == fixed[label], (axes, label)


def test_no_curve_has_a_bare_label():
    """ "Normal" alone could be weights or biases."""
    labels = {split_label(curve.label)[1] or curve.label for figure in FIGURES.values() for curve in figure.curves}
    assert PYTORCH in labels
    assert not {label for label in labels if label.lower() in ("normal", "uniform", "zero")}


def test_a_figure_is_drawn_once_most_of_its_curves_were_run():
    """Figure 9's title names PyTorch's default, which has no stored run here; figure 10 lacks one of three curves."""
    sys.path.insert(0, str(DOCS))
    import tables

    summaries = {each.figure.name: each for each in tables.read_report("corrected").summaries}
    assert summaries["fig9"].curves
    assert summaries["fig10"].absent
    assert {name for name, each in summaries.items() if not each.can_be_drawn} == {"fig9", "fig11"}


@pytest.mark.parametrize("page", sorted((DOCS / "results").glob("*/index.html")), ids=lambda page: page.parent.name)
def test_a_stored_report_is_small_and_asks_for_nothing(page):
    content = page.read_text(encoding="utf-8")
    assert page.stat().st_size <= 3_000_000
    assert not re.search(r"<(link|img|iframe|object|embed|base|source)\b|@import|url\((?!#)", content)
    targets = re.findall(r"""\b(?:src|href)\s*=\s*["']?([^"'\s>]+)""", content.partition("<script>\n")[0])
    assert targets
    assert all(target.startswith("#") for target in targets)
    assert "fetch(" not in content
