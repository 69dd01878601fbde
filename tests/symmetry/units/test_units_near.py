"""What is told from one pass or one partition alone: gradients that are absent, units that started equal."""

import numpy as np
import pytest
import torch
from torch import nn

from zeroinit.symmetry.units.doubts import kinds_of
from zeroinit.symmetry.units.tracking import Tracker


def test_a_gradient_that_is_absent_from_a_pass_shows_nothing():
    """A layer may be left out at random in the pass that compares the precisions."""
    exact = nn.Linear(3, 2).double()
    exact.weight.grad = torch.full_like(exact.weight, 1e-7)
    single = {name: np.full(2, 1e-7) for name in ("weight", "bias")}
    assert kinds_of(exact, {"weight", "bias"}, single) == {"weight": "signal", "bias": ""}


@pytest.mark.parametrize(
    ("start", "groups"),
    [
        ([0, 0, 0, 0], [0, 0, 1, 2]),  # exactly equal at the start: those that parted are three groups
        ([0, 1, 2, 3], [0, 0, 0, 0]),  # equal up to rounding alone: one group to the end
    ],
    ids=["equal", "apart"],
)
@pytest.mark.usefixtures("without_type_checks")
def test_units_that_started_equal_are_not_called_near(start, groups):
    tracker = Tracker(layer=None, num_units=4)
    tracker.at_start = (np.array(start), *[None] * 4)
    tracker.nearly, tracker.labels = np.zeros(4, dtype=np.int64), np.array([0, 0, 1, 2])
    near = tracker.near()
    assert [list(near).index(each) for each in near] == [groups.index(each) for each in groups]
