"""Curves and final accuracies: what is in the frame is what is drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from zeroinit._common import InputError
from zeroinit.bench.plots import (
    accuracy_curves,
    color_of,
    final_accuracies,
    name_curves,
    new_figure,
    new_panels,
    reach_of,
)
from zeroinit.bench.plots.curves import CURVE_COLUMNS
from zeroinit.bench.plots.finals import FINAL_COLUMNS

LABELS = ["Uniform", "Logistic regression", "Normal"]


def curve(label: str, means=(0.5, 0.8, 0.9), half_width: float = 0.05) -> pd.DataFrame:
    means = np.array(means)
    return pd.DataFrame(
        {
            "label": label,
            "epoch": np.arange(1, len(means) + 1),
            "mean": means,
            "low": means - half_width,
            "high": means + half_width,
        }
    )


@pytest.fixture
def axes():
    return new_figure()[1]


@pytest.fixture
def three() -> pd.DataFrame:
    return pd.concat([curve(label, np.array([0.5, 0.8, 0.9]) - i / 10) for i, label in enumerate(LABELS)])


def bands(axes) -> list[PolyCollection]:
    return [artist for artist in axes.collections if isinstance(artist, PolyCollection)]


def test_one_line_per_label_in_the_order_of_appearance(three, axes):
    assert accuracy_curves(three, axes) is axes
    assert [line.get_label() for line in axes.lines] == LABELS


def test_lines_go_through_the_means(three, axes):
    accuracy_curves(three.sample(frac=1, random_state=0).sort_values("label", kind="stable"), axes)
    for line in axes.lines:
        rows = three[three["label"] == line.get_label()]
        assert line.get_xdata().tolist() == [1, 2, 3]
        assert line.get_ydata().tolist() == rows["mean"].tolist()


def test_bands_reach_from_low_to_high(axes):
    frame = curve("Normal", half_width=0.03)
    accuracy_curves(frame, axes)
    (band,) = bands(axes)
    corners = {(round(x, 6), round(y, 6)) for x, y in band.get_paths()[0].vertices}
    for side in ("low", "high"):
        assert {(epoch, round(value, 6)) for epoch, value in zip(frame["epoch"], frame[side], strict=True)} <= corners


def test_bands_stay_among_possible_accuracies(axes):
    accuracy_curves(curve("Normal", half_width=2.0), axes)
    heights = bands(axes)[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, 1)


def test_line_and_band_have_the_labels_color(three, axes):
    accuracy_curves(three, axes)
    for line, band in zip(axes.lines, bands(axes), strict=True):
        color = color_of(line.get_label(), LABELS).lower()
        assert to_hex(line.get_color()) == color
        assert to_hex(band.get_facecolor()[0]) == color
        assert band.get_alpha() < 0.5


def test_one_seed_draws_no_band(axes):
    accuracy_curves(curve("Normal", half_width=np.nan), axes)
    assert len(axes.lines) == 1
    assert bands(axes) == []


def test_a_shorter_curve_stands_beside_a_longer_one(axes):
    accuracy_curves(pd.concat([curve("Normal", [0.1] * 15), curve("Logistic regression", [0.2] * 10)]), axes)
    assert [len(line.get_xdata()) for line in axes.lines] == [15, 10]


def test_words_around_the_curves(axes):
    accuracy_curves(curve("Normal"), axes, title="Figure 3", ylabel="Validation accuracy")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Validation accuracy")
    assert axes.get_title(loc="left") == "Figure 3"
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_the_style_holds_for_what_is_drawn(axes):
    accuracy_curves(curve("Normal"), axes, title="Figure 3")
    assert axes.get_legend() is None  # names stand beside the curves
    assert axes.lines[0].get_linewidth() == 1.8
    assert axes.lines[0].get_markersize() == 4


def test_seeds_are_thin_lines_in_their_curves_color(three, axes):
    seeds = pd.DataFrame([("Normal", seed, epoch, 0.8) for seed in (0, 1) for epoch in (1, 2, 3)])
    accuracy_curves(three, axes, seeds=seeds.set_axis(["label", "seed", "epoch", "accuracy"], axis=1))
    (thin,) = [drawn for drawn in axes.collections if drawn.get_label() == "_seed"]
    assert [each.tolist() for each in thin.get_segments()] == [[[epoch, 0.8] for epoch in (1, 2, 3)]] * 2
    assert {to_hex(color) for color in thin.get_color()} == {color_of("Normal", LABELS).lower()}
    assert max(thin.get_linewidth()) < 1 < min(line.get_linewidth() for line in axes.lines)


def test_seeds_far_from_the_means_are_in_sight(three, axes):
    seeds = pd.DataFrame([("Normal", 0, epoch, 0.05) for epoch in (1, 2, 40)])
    accuracy_curves(three, axes, seeds=seeds.set_axis(["label", "seed", "epoch", "accuracy"], axis=1))
    assert axes.get_ylim()[0] < 0.05
    assert axes.get_xlim()[1] > 40


def test_a_curve_that_lies_on_another_is_drawn_beside_it(axes):
    accuracy_curves(pd.concat([curve("Normal"), curve("Uniform"), curve("Other", (0.1, 0.2, 0.3))]), axes)
    axes.figure.draw_without_rendering()
    first, second, other = [line.get_transform().transform((1, 0.5))[1] for line in axes.lines]
    assert second - first == pytest.approx(2.4 / 72 * axes.figure.dpi)
    assert other == first
    assert [line.get_ydata()[0] for line in axes.lines] == [0.5, 0.5, 0.1]  # what is stored stays what it was


def test_names_stand_beside_the_ends_of_their_curves_and_apart(three):
    _, (left, right) = new_panels([3, 2])
    accuracy_curves(three, left)
    ends = {"Uniform": 0.9, "Logistic regression": 0.899, "Normal": 0.7}
    name_curves(right, left, ends, labels=LABELS)
    places = {text.get_text(): text.get_position()[1] for text in right.texts}
    assert sorted(places, key=lambda label: -places[label]) == list(ends)
    assert places["Uniform"] - places["Logistic regression"] > 0.05
    assert [to_hex(text.get_color()) for text in right.texts] == [color_of(label, LABELS).lower() for label in ends]
    starts = [line.get_ydata()[0] for line in right.lines]
    assert starts[0] == pytest.approx(left.transLimits.transform((0, 0.9))[1])


def test_the_frame_is_left_as_it_was(three, axes):
    before = three.copy()
    accuracy_curves(three, axes)
    pd.testing.assert_frame_equal(three, before)


@pytest.mark.parametrize("column", CURVE_COLUMNS)
def test_a_missing_column_is_named(axes, column):
    with pytest.raises(InputError) as caught:
        accuracy_curves(curve("Normal").drop(columns=column), axes)
    assert str(caught.value) == (
        f"frame: has 3 rows and lacks the columns ['{column}']; needs ['label', 'epoch', 'mean', 'low', 'high']"
    )
    assert not axes.lines


def test_an_empty_frame(axes):
    with pytest.raises(InputError, match=r"^frame: has 0 rows and lacks the columns \[\]; needs"):
        accuracy_curves(curve("Normal")[:0], axes)
    with pytest.raises(InputError, match="frame: has 0 rows"):
        accuracy_curves(pd.DataFrame(), axes)


FINALS = pd.DataFrame(
    [
        ("Logistic regression", 0.92, 0.91, 0.93, 0.925, 5),
        ("Normal", 0.97, np.nan, np.nan, np.nan, 1),
        ("Uniform", 0.96, 0.5, 1.4, 0.972, 10),
    ],
    columns=list(FINAL_COLUMNS),
)


def points(axes, marker: str) -> list[tuple[float, float]]:
    """Positions of the markers, rounded."""
    return [
        (round(float(x), 6), round(float(y), 6))
        for line in axes.lines
        if line.get_marker() == marker
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_final_accuracies_stand_in_order_from_the_top(axes):
    assert final_accuracies(FINALS, axes, xlabel="Accuracy") is axes
    assert [label.get_text() for label in axes.get_yticklabels()] == FINALS["label"].tolist()
    assert axes.yaxis_inverted()
    assert points(axes, "o") == [(0.92, 0), (0.97, 1), (0.96, 2)]
    assert axes.get_xlabel() == "Accuracy"


def test_intervals_of_final_accuracies(axes):
    final_accuracies(FINALS, axes)
    intervals = [list(map(float, line.get_xdata())) for line in axes.lines if len(line.get_xdata()) == 2]
    assert intervals == [[0.91, 0.93], [0.5, 1.0]]


def test_published_values_stand_beside_ours_and_in_the_legend_once(axes):
    final_accuracies(FINALS, axes)
    assert [x for x, _ in points(axes, "D")] == [0.925, 0.972]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["the paper's"]


def test_without_published_values_there_is_no_legend(axes):
    final_accuracies(FINALS.assign(published=np.nan), axes)
    assert points(axes, "D") == []
    assert axes.get_legend() is None


def test_final_accuracies_have_the_colors_of_the_curves(axes):
    final_accuracies(FINALS, axes)
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    labels = FINALS["label"].tolist()
    assert [to_hex(dot.get_color()) for dot in dots] == [color_of(label, labels).lower() for label in labels]


@pytest.mark.parametrize("column", FINAL_COLUMNS)
def test_a_missing_column_of_the_final_accuracies_is_named(axes, column):
    with pytest.raises(InputError) as caught:
        final_accuracies(FINALS.drop(columns=column), axes)
    assert str(caught.value) == (f"frame: has 3 rows and lacks the columns ['{column}']; needs {list(FINAL_COLUMNS)}")
    with pytest.raises(InputError, match="frame: has 0 rows"):
        final_accuracies(FINALS[:0], axes)


def test_few_seeds_are_hollow_and_every_number_of_seeds_is_written(axes):
    final_accuracies(FINALS, axes)
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [to_hex(dot.get_markerfacecolor()) == "#ffffff" for dot in dots] == [False, True, False]
    assert [text.get_text() for text in axes.texts] == ["5", "1", "10", "seeds"]


def test_what_leaves_the_axis_is_an_arrow_with_numbers(axes):
    rows = [("A", 0.0, -0.01, 0.01), ("B", -0.02, -0.3, 0.0), ("C", -0.5, -0.6, -0.4)]
    frame = pd.DataFrame(rows, columns=["label", "mean", "low", "high"]).assign(published=np.nan, seeds=5)
    final_accuracies(frame, axes, bounded=False, reach=(-0.1, 0.05))
    assert axes.get_xlim() == (-0.1, 0.05)
    assert [text.get_text() for text in axes.texts if "±" in text.get_text()] == ["−50.0 ± 10.0"]
    assert points(axes, "o") == [(0.0, 0), (-0.02, 1)]
    assert points(axes, "<") == [(-0.1, 1), (-0.1, 2)]


def test_rows_hold_several_starts_one_above_the_other(axes):
    frame = pd.DataFrame({"label": ["A", "B", "A"], "row": ["one", "one", "two"], "mean": 0.1, "low": 0.0, "high": 0.2})
    final_accuracies(frame.assign(published=np.nan, seeds=5), axes)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]
    (_, first), (_, second), (_, third) = points(axes, "o")
    assert first < 0 < second < third == 1
    assert first + second == pytest.approx(0)


def test_an_axis_is_cut_only_where_outliers_are_far_away():
    frame = pd.DataFrame({"mean": [0.0, 0.01, -0.01, 0.02], "low": -0.03, "high": 0.03})
    assert reach_of(frame) is None
    far = pd.concat([frame, pd.DataFrame({"mean": [-0.9], "low": [-1.0], "high": [-0.8]})])
    low, high = reach_of(far)
    assert -0.1 < low < -0.01 < 0 < high
