"""Pictures of a report: saved as files, and made ready to stand in its page."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.text import Text

from zeroinit.bench.plots import boxes_for_missing_glyphs, chart_data, save_figure
from zeroinit.bench.profiles import PROFILES
from zeroinit.bench.reporting.analysis import FigureSummary
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.reporting.views.view import Draw, Heading
from zeroinit.bench.spec import Figure as Spec

__all__ = ["Picture", "draw_summary", "inline", "other_data", "pictures_of"]


@dataclass(frozen=True)
class Picture:
    """One picture of a page.

    Attributes:
        svg: The picture.
        chart: What it shows, as numbers; see ``chart_data``.
    """

    svg: Markup
    chart: dict[str, Any]

    @property
    def starts(self) -> dict[int, str]:
        """Names of the curves by their number; none unless they are curves by epoch."""
        found = {curve["start"]: curve["label"] for panel in self.chart["panels"] for curve in panel["curves"]}
        return dict(sorted(found.items()))

    @property
    def num_steps(self) -> int:
        """Update steps of the grids; 0 without one."""
        return max((len(grid["received"]) for grid in self.chart["grids"]), default=0)


def draw_summary(summary: FigureSummary, profile: str, protocol: str, folder: Path) -> list[Picture]:
    """Save a figure's drawing, and its details if the view has some, and return both; none if too few curves were run.

    Args:
        summary: What to draw.
        profile: A key of ``PROFILES``.
        protocol: Part of the files' names.
        folder: Where the files are written.

    Raises:
        InputError: The folder cannot be written to.
    """
    notes = []
    if replaced := other_data(summary.figure, profile, protocol):
        notes.append(f"8x8 digits, {replaced}.")
    if summary.absent:
        notes.append(f"Not run yet: {'; '.join(summary.absent)}.")
    heading, found = Heading(summary.figure.title, " ".join(notes)), []
    for stem, draw in pictures_of(summary, profile, protocol).items():
        figure, name = draw(summary, heading, profile), stem.removesuffix(f"-{profile}-{protocol}")
        path, _ = save_figure(figure, folder, stem)
        svg = inline(path.read_text(encoding="utf-8"), name, heading.title, _title_height(figure))
        found.append(Picture(Markup(svg), chart_data(figure)))
    return found


def pictures_of(summary: FigureSummary, profile: str, protocol: str) -> dict[str, Draw]:
    """Return what draws each picture of a figure, by the name of its files; empty if too few curves were run."""
    view, name = VIEWS[summary.figure.view], summary.figure.name
    found = {f"{name}-{profile}-{protocol}": view.draw, f"{name}-details-{profile}-{protocol}": view.details}
    return {stem: draw for stem, draw in found.items() if draw is not None and summary.can_be_drawn}


def _title_height(figure: Figure) -> float:
    """Return how much of the height the title takes, in the file's units; the page has the title as a heading."""
    with boxes_for_missing_glyphs():
        figure.draw_without_rendering()
    title = figure.findobj(lambda each: isinstance(each, Text) and each.get_text() == figure.get_suptitle() != "")
    if not title:
        return 0.0
    return round(72 * (figure.get_figheight() - title[0].get_window_extent().y0 / figure.dpi), 2)


def other_data(figure: Spec, profile: str, protocol: str) -> str:
    """Say whose data a profile replaces, in words for a note; an empty text if nobody's.

    Example:
        >>> from zeroinit.bench.catalogue import FIGURES
        >>> other_data(FIGURES["fig3"], "quick", "corrected"), other_data(FIGURES["fig3"], "paper", "corrected")
        ("not the paper's data", '')
    """
    if PROFILES[profile].is_paper or figure.in_paper:
        return "" if PROFILES[profile].is_paper else "not the paper's data"
    given = {curve.label: curve.run.dataset for curve in figure.curves}
    is_own = all(curve.run.dataset == given[curve.label] for curve in figure.at(profile, protocol))
    return "" if is_own else "not the study's data"


def inline(svg: str, name: str, title: str, cut: float = 0.0) -> str:
    """Return an SVG for the middle of a page, without so much of its top.

    It loses its head and its dark form, which the page has itself. Identifiers get a prefix. Those of curves and steps
    become attributes, because several parts of a drawing share them.

    Example:
        >>> inline('<?xml?><svg a="b"><g id="x"/><use href="#x"/><g id="curve-2-mean"/></svg>', "fig3", "A & B")
        '<svg role="img" aria-label="A &amp; B" a="b"><g id="fig3-x"/><use href="#fig3-x"/><g data-curve="2" data-part="mean"/></svg>'
    """  # noqa: E501
    svg = re.sub(r"\s*<style>@media.*?</style>", "", svg[svg.index("<svg") :])
    svg = re.sub(r'id="curve-(\d+)-(\w+)"', r'data-curve="\1" data-part="\2"', svg)
    svg = re.sub(r'id="step-(\d+)"', r'data-step="\1"', svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)
    size = re.search(r'width="[^"]*" height="[^"]*" viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if size:
        width, height = float(size[1]), float(size[2]) - cut
        svg = svg.replace(
            size[0], f'width="{width:g}pt" height="{height:g}pt" viewBox="0 {cut:g} {width:g} {height:g}"', 1
        )
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
