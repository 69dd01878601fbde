"""A quantity by step."""

import pandas as pd
import pytest

from zeroinit._common import InputError
from zeroinit.bench.plots import new_figure, step_curves
from zeroinit.bench.plots.steps import STEP_COLUMNS
from zeroinit.bench.plots.style import color_of

ROWS = [("Normal", 1, 0.0), ("Normal", 2, 1.0), ("Normal", 10, 2.1), ("PyTorch's default", 1, 450.0)]


def test_a_line_for_each_label_without_its_zeros():
    frame, axes = pd.DataFrame(ROWS, columns=STEP_COLUMNS), new_figure()[1]
    labels = ["Normal", "PyTorch's default"]
    assert step_curves(frame, axes, labels=labels, ylabel="Rank", title="T") is axes
    assert [list(line.get_xydata().ravel()) for line in axes.lines] == [[2, 1, 10, 2.1], [1, 450]]
    assert [line.get_color() for line in axes.lines] == [color_of(label, labels) for label in labels]
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_title(loc="left")) == ("log", "log", "T")
    assert axes.get_ylabel() == "Rank"


@pytest.mark.parametrize("frame", [pd.DataFrame(columns=STEP_COLUMNS), pd.DataFrame({"label": ["a"], "step": [1]})])
def test_what_cannot_be_drawn(frame):
    with pytest.raises(InputError, match=r"^frame: has \d rows and lacks the columns"):
        step_curves(frame, new_figure()[1], labels=[], ylabel="")
