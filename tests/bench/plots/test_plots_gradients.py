"""Marks of quantiles: what is in the frame is what is drawn, and zero is a place on the scale."""

import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from zeroinit._common import InputError
from zeroinit.bench.plots import color_of, gradient_quantiles, new_figure, new_grid
from zeroinit.bench.plots.gradients import QUANTILE_COLUMNS

LABELS = ["PyTorch's default", "Normal"]
VALUES = dict(zip(QUANTILE_COLUMNS[3:], (-2.0, -0.5, -1e-3, 1e-9, 1e-3, 0.5, 1.0), strict=True))


def row(label: str, step: int, is_zero: bool = False, **values) -> dict:
    quantiles = dict.fromkeys(VALUES, 0.0) if is_zero else VALUES | values
    return {"label": label, "step": step, "is_zero": is_zero, **quantiles}


@pytest.fixture
def axes():
    return new_figure()[1]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        [row(LABELS[0], 1), row(LABELS[0], 2), row(LABELS[1], 1, is_zero=True), row(LABELS[1], 2, q50=-0.25)]
    )


def reaches(axes, color: str) -> set[tuple[float, float, float]]:
    """Lower end, upper end and width of every line of one color."""
    return {
        (low[1], high[1], collection.get_linewidth()[0])
        for collection in axes.collections
        if isinstance(collection, LineCollection) and to_hex(collection.get_color()[0]) == color.lower()
        for low, high in collection.get_segments()
    }


def test_a_box_and_two_lines_for_each_step(frame, axes):
    assert gradient_quantiles(frame, axes) is axes
    for label in LABELS:
        found = reaches(axes, color_of(label, LABELS))
        assert {(low, high) for low, high, _ in found} == {(-2.0, 1.0), (-0.5, 0.5), (-1e-3, 1e-3)}
        widths = [width for low, high, width in sorted(found)]
        assert widths == sorted(widths)  # the wider the share, the thinner the line
        assert len(set(widths)) == 3


def line(axes, label: str):
    (found,) = [entry for entry in axes.lines if entry.get_label() == label]
    return found


def test_medians_and_zeros_stand_where_they_belong(frame, axes):
    gradient_quantiles(frame, axes)
    assert line(axes, "_Normal: median").get_ydata().tolist() == [-0.25]
    assert line(axes, "_PyTorch's default: median").get_ydata().tolist() == [1e-9, 1e-9]
    circle = line(axes, "Normal: exactly 0")
    assert circle.get_ydata().tolist() == [0.0]
    assert to_hex(circle.get_markerfacecolor()) == "#ffffff"
    assert "PyTorch's default: exactly 0" not in [entry.get_label() for entry in axes.lines]


def test_labels_stand_side_by_side_around_the_step(frame, axes):
    gradient_quantiles(frame, axes)
    left, right = line(axes, "_PyTorch's default: median").get_xdata(), line(axes, "_Normal: median").get_xdata()
    assert left[-1] < 2 < right[-1]
    assert left[-1] + right[-1] == pytest.approx(4)
    assert 2 - left[-1] < 0.5


def test_a_label_has_its_place_in_every_panel(frame):
    """A panel without the first label draws the second where the others have it."""
    _, ((first, second),) = new_grid(1, 2, 6, 3)
    gradient_quantiles(frame, first, labels=LABELS)
    gradient_quantiles(frame[frame["label"] == "Normal"], second, labels=LABELS)
    places = [line(axes, "_Normal: median").get_xdata().tolist() for axes in (first, second)]
    assert places[0] == places[1]


def test_the_scale_is_signed_and_has_zero(frame, axes):
    gradient_quantiles(frame, axes, smallest=1e-4)
    assert axes.get_yscale() == "symlog"
    place = axes.transData.transform
    heights = [place((1, value))[1] for value in (-1, -1e-2, 0, 1e-2, 1)]
    assert heights == sorted(heights)
    assert heights[2] - heights[1] == pytest.approx(heights[3] - heights[2])
    write = axes.yaxis.get_major_formatter()
    assert [write(value) for value in (0, 1e-2, -1e-2, 1e-3, 1e-4)] == ["0", "$10^{-2}$", "$-10^{-2}$", "", ""]


def test_values_that_are_missing_are_left_out(frame, axes):
    frame.loc[0, list(VALUES)] = float("nan")
    gradient_quantiles(frame, axes)
    assert line(axes, "_PyTorch's default: median").get_xdata().tolist() == [2 - 0.17]


@pytest.mark.parametrize("column", QUANTILE_COLUMNS)
def test_a_missing_column_is_named(frame, axes, column):
    with pytest.raises(InputError, match=rf"frame: has 4 rows and lacks the columns \['{column}'\]"):
        gradient_quantiles(frame.drop(columns=column), axes)


def test_an_empty_frame(frame, axes):
    with pytest.raises(InputError, match="frame: has 0 rows"):
        gradient_quantiles(frame[:0], axes)


def test_a_grid_shares_its_scales():
    figure, grid = new_grid(2, 3, 9.6, 5.0, "Above all")
    assert figure.get_suptitle() == "Above all"
    assert [len(row) for row in grid] == [3, 3]
    grid[0][0].set_xlim(0, 7)
    grid[1][2].set_ylim(-3, 3)
    assert grid[1][1].get_xlim() == (0, 7)
    assert grid[0][0].get_ylim() == (-3, 3)
