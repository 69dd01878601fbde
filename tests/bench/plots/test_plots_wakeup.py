"""The wake-up chart: each layer's bar changes color at its first gradient."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from zeroinit._common import InputError
from zeroinit.bench.plots import first_gradient_grid, new_figure, wake_up_chart, wake_up_legend
from zeroinit.bench.plots.style import EMPTY
from zeroinit.bench.plots.wakeup import CAUSE_COLORS, WAKE_COLUMNS

ROWS = [(1, "stem", float("nan"), "never", 8), (2, "conv", 3, "rounding", 8), (3, "head", 1, "signal", 8)]


@pytest.fixture
def axes():
    return new_figure()[1]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=WAKE_COLUMNS)


def bars(axes) -> dict[int, list[tuple[float, float, str]]]:
    """By layer: begin, end and color of each bar that can be seen."""
    found: dict[int, list[tuple[float, float, str]]] = {}
    for patch in axes.patches:
        if patch.get_width() > 0:
            layer = round(patch.get_y() + patch.get_height() / 2)
            end = patch.get_x() + patch.get_width()
            found.setdefault(layer, []).append((patch.get_x(), end, to_hex(patch.get_facecolor())))
    return found


def test_bars_change_color_at_the_first_gradient(frame, axes):
    assert wake_up_chart(frame, axes) is axes
    pale = EMPTY.lower()
    assert bars(axes) == {
        1: [(0.5, 8.5, pale)],
        2: [(0.5, 2.5, pale), (2.5, 8.5, CAUSE_COLORS["rounding"].lower())],
        3: [(0.5, 8.5, CAUSE_COLORS["signal"].lower())],
    }


def test_another_step_is_another_picture(frame, axes):
    wake_up_chart(frame.replace({"step": {3: 4}}), axes)
    assert bars(axes)[2][0][1] == 3.5


def test_all_steps_and_layers_are_seen(frame, axes):
    wake_up_chart(frame, axes, title="Variant")
    assert axes.get_xlim() == (0.5, 8.5)
    low, high = axes.get_ylim()
    assert low < 1 - 0.43
    assert high > 3 + 0.43
    assert axes.get_title(loc="left") == "Variant"


def test_the_legend_names_every_color():
    colors = {to_hex(patch.get_facecolor()) for patch in wake_up_legend()}
    assert colors == {CAUSE_COLORS[cause].lower() for cause in ("signal", "rounding", "unclear")} | {EMPTY.lower()}
    assert len({patch.get_label() for patch in wake_up_legend()}) == 4


def test_an_unknown_cause(frame, axes):
    with pytest.raises(InputError, match=r"frame: has the causes \['luck'\]; must be of \['signal', 'rounding'"):
        wake_up_chart(frame.replace({"cause": {"signal": "luck"}}), axes)


@pytest.mark.parametrize("column", WAKE_COLUMNS)
def test_a_missing_column_is_named(frame, axes, column):
    with pytest.raises(InputError, match=rf"frame: has 3 rows and lacks the columns \['{column}'\]"):
        wake_up_chart(frame.drop(columns=column), axes)


def test_an_empty_frame(frame, axes):
    with pytest.raises(InputError, match="frame: has 0 rows"):
        wake_up_chart(frame[:0], axes)


def test_the_grid_fills_the_cells_that_have_a_gradient(axes):
    received = np.array([[False, True], [True, True], [False, False]])
    assert first_gradient_grid(received, axes, color="#0072B2", title="Start") is axes
    filled = {
        (round(cell.get_y() + 0.45), round(cell.get_x() + 0.45))
        for cell in axes.patches
        if to_hex(cell.get_facecolor()) == "#0072b2"
    }
    assert filled == {(1, 2), (2, 1), (2, 2)}
    assert len(axes.patches) == received.size
    assert axes.get_title(loc="left") == "Start"
    assert axes.get_ylim() == (0.5, 3.5)
