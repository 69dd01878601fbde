"""Drawings and tables of figures that show gradients: figure 12 on digits from end to end, and made-up layers."""

import json
import re
from dataclasses import replace

import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.labels import NORMAL
from zeroinit.bench.plots.wakeup import CAUSE_COLORS
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.report import build_report, claim_records, write_report
from zeroinit.bench.reporting.views import VIEWS, accuracies
from zeroinit.bench.reporting.views.accuracies import signed
from zeroinit.bench.reporting.views.gradients import span
from zeroinit.bench.reporting.views.view import Heading, Table
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Curve, Figure, Run
from zeroinit.bench.store import Store

FIG12 = FIGURES["fig12"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Figure 12's quick version, run with two seeds and written up: its report and its folder."""
    folder = tmp_path_factory.mktemp("fig12")
    store = Store(folder / "results")
    for curve in FIG12.at("quick", "corrected"):
        for seed in (0, 1):
            store.save(execute(curve.run, seed))
    report = build_report([FIG12], store, range(5), "quick", "corrected")
    write_report(report, folder)
    return report, folder


def cells(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_figure_12_on_digits_supports_claim_10(digits):
    report, folder = digits
    (record,) = claim_records(report)
    assert (record["verdict"], record["estimate"], record["num_seeds"]) == ("supported", 1.0, 2)
    assert record["interval"] == pytest.approx([0.1581, 1.0], abs=1e-4)
    assert json.loads((folder / "claims.json").read_text()) == [record]


def test_the_table_of_figure_12_shows_the_staircase(digits):
    report, _ = digits
    rows = cells(VIEWS["gradients"].table(report.summaries[0], "quick", "corrected"))
    assert [(row[0], row[2]) for row in rows] == [
        *[("PyTorch's default", "1")] * 4,
        *[(NORMAL, step) for step in ("4", "3", "2", "1")],
    ]
    assert {row[4] for row in rows} == {"2"}


def test_the_report_of_figure_12(digits):
    _, folder = digits
    page, text = (folder / "index.html").read_text(), (folder / "report.md").read_text()
    for content in (page, text):
        assert "Largest entry then" in content
        assert "every entry is exactly zero" in content
        assert "dense_1.weight, layer 1" in content
        assert "Final test accuracy" not in content
    assert f"| {NORMAL} | dense_1.weight, layer 1 | 4 |" in text
    for name in ("fig12", "fig12-details"):
        assert "8x8 digits, not the paper's data" in (folder / "figures" / f"{name}-quick-corrected.svg").read_text()


def zeros(axes) -> list[int]:
    """The steps at which normal biases leave a gradient that is exactly zero."""
    return [
        int(place) for line in axes.lines if line.get_label() == f"{NORMAL}: exactly 0" for place in line.get_xdata()
    ]


def test_the_drawing_of_figure_12(digits):
    report, _ = digits
    figure = VIEWS["gradients"].draw(report.summaries[0], Heading("Title"), "quick")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["PyTorch's default", NORMAL]
    pale = figure.axes[1].patches[0].get_facecolor()
    filled = [sum(cell.get_facecolor() != pale for cell in axes.patches) for axes in figure.axes]
    assert filled == [20, 14]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["input 1", "2", "3", "output 4"]


def test_the_details_of_figure_12(digits):
    report, _ = digits
    figure = VIEWS["gradients"].details(report.summaries[0], Heading("Title"), "quick")
    assert figure.get_suptitle() == "Title"
    assert len(figure.axes) == 8
    above = figure.axes[:4]
    assert [axes.get_title(loc="left") for axes in above] == [
        "Layer 1 (input)",
        "Layer 2",
        "Layer 3",
        "Layer 4 (output)",
    ]
    for row in (figure.axes[:4], figure.axes[4:]):
        assert [zeros(axes) for axes in row] == [[1, 2, 3], [1, 2], [1], []]
    assert figure.axes[0].get_ylabel() != figure.axes[4].get_ylabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["PyTorch's default", NORMAL, f"{NORMAL}: exactly 0"]


SINGLE = Run(epochs=1, max_steps=3, recorder="gradient_sizes")
STUDY = Figure(
    "study",
    "Layers that wake up",
    tuple(
        Curve(f"{label}{suffix}", replace(SINGLE, scale=scale, precision=precision))
        for label, scale in (("A", 1.0), ("B", 2.0))
        for suffix, precision in (("", "float32"), (", float64", "float64"))
    ),
    in_paper=False,
    view="wake_up",
)
SIZES = {
    "A": [[0, 0, 0], [0, 1, 1], [1, 1, 1]],
    "A, float64": [[0, 0, 0], [0, 1e-9, 1], [1, 1, 1]],
    "B": [[0, 0, 1], [0, 1, 1], [1, 1, 1]],
    "B, float64": [[0, 0, 1], [0, 0.3, 1], [1, 1, 1]],
}


@pytest.fixture
def woken(store, make_result):
    """The summary of a study with three layers."""
    for curve in STUDY.curves:
        parameters = {
            f"layer_{number}.weight": {"shape": [2, 2], "max_abs": [float(size) for size in row]}
            for number, row in enumerate(SIZES[curve.label], start=1)
        }
        recorded = {"losses": [1.0, 1.0, 1.0], "parameters": parameters}
        store.save(replace(make_result(curve.run, 0, [0.1]), recorded=recorded))
    return summarize(STUDY, store, [0], "paper", "corrected")


def test_the_table_of_layers_that_wake_up(woken):
    table = VIEWS["wake_up"].table(woken, "paper", "corrected")
    assert [cell.text for cell in table.headings] == [
        *("Variant", "Seed", "By signal", "By rounding", "Unclear", "Never", "Last one at step")
    ]
    assert cells(table) == [["A", "0", "1", "1", "0", "1", "2"], ["B", "0", "2", "0", "1", "0", "3"]]


def test_the_drawing_of_layers_that_wake_up(woken):
    figure = VIEWS["wake_up"].draw(woken, Heading("Title"), "paper")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["A", "B"]
    colors = [{bar.get_facecolor() for bar in axes.patches if bar.get_width() > 0} for axes in shown]
    assert len(colors[0]) == len(colors[1]) == 3
    assert colors[0] != colors[1]
    assert all(axes.xaxis.label.get_visible() for axes in shown)  # nothing stands below either
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(CAUSE_COLORS)


def test_the_report_of_a_study_of_gradients(woken, store, tmp_path):
    write_report(build_report([STUDY], store, [0], "paper", "corrected"), tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert re.search(r"\| A \| 0 \| 1 \| 1 \| 0 \| 1 \| 2 \|", text)
    assert "within a factor of 2" in text


def test_a_study_with_a_precision_missing_is_drawn_without_it(woken, store):
    store.path(STUDY.curves[1].run, 0).unlink()
    summary = summarize(STUDY, store, [0], "paper", "corrected")
    assert [row[0] for row in cells(VIEWS["wake_up"].table(summary, "paper", "corrected"))] == ["B"]
    assert len(VIEWS["wake_up"].draw(summary, Heading("Title"), "paper").axes) == 1


def test_a_study_with_no_pair_at_all(woken, store):
    for curve in STUDY.curves[1::2]:
        store.path(curve.run, 0).unlink()
    summary = summarize(STUDY, store, [0], "paper", "corrected")
    assert cells(VIEWS["wake_up"].table(summary, "paper", "corrected")) == []
    figure = VIEWS["wake_up"].draw(summary, Heading("Title"), "paper")
    assert not any(axes.get_visible() for axes in figure.axes)


def test_every_view_is_used_and_explained():
    assert {figure.view for figure in FIGURES.values()} == set(VIEWS)
    for name, view in VIEWS.items():
        assert bool(view.note) == (name != "accuracies")


@pytest.mark.parametrize(("value", "text"), [(0.0214, "+2.1"), (-0.0004, "+0.0"), (-0.5, "-50.0")])
def test_differences_have_a_sign(value, text):
    assert signed(value) == text


def test_spans():
    assert (span([]), span([0.5]), span([0.5, 0.5001]), span([1.0, 0.01])) == ("–", "0.5", "0.5", "0.01 to 1")


def test_a_crowd_of_single_runs_is_not_drawn_and_the_drawing_says_so(store, run, fill, monkeypatch):
    figure = Figure("study", "A study", (Curve("A", run), Curve("B", replace(run, scale=2.0))))
    fill(figure, {"A": [0.7, 0.8, 0.9], "B": [0.5, 0.6, 0.7]})
    summary = summarize(figure, store, range(3), "paper", "corrected")
    said = "A note. 6 single runs would hide each other; only means and intervals are drawn."
    for most, num_crowds in ((6, 2), (5, 0)):
        monkeypatch.setattr(accuracies, "MOST_LINES", most)
        drawn = VIEWS["accuracies"].draw(summary, Heading("A study", "A note."), "paper")
        left = drawn.axes[0]
        assert len([each for each in left.collections if each.get_label() == "_seed"]) == num_crowds
        assert [line.get_label() for line in left.lines] == ["A", "B"]
        assert (said in [" ".join(text.get_text().split()) for text in drawn.texts]) == (most == 5)
