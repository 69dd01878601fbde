"""Gradients are told from rounding, and rounding only where they are faint."""

import numpy as np
import pytest

from zeroinit.symmetry.measures.rounding import is_rounding, told_from_course, told_from_rounding

from ..zoo import drawn


def test_a_difference_between_precisions_is_rounding_only_where_it_is_faint():
    double, single = np.array([1e-3, 1e-12]), np.array([1e3, 1e-3])
    assert is_rounding(double, single, largest=1.0).tolist() == [False, True]
    assert is_rounding(double, single, largest=1e9).tolist() == [True, True]


def test_rows_that_differ_in_kind_are_open():
    double, single = np.array([1e-3, 1e-17]), np.array([1e-3, 1e-9], dtype=np.float32)
    assert told_from_rounding(double, single, 1.0) == ""


@pytest.mark.parametrize(
    ("gradients", "kind"),
    [
        ([drawn(40)] * 3, "signal"),
        ([drawn(40), drawn(40) + 0.1, drawn(40) + 0.2], "signal"),
        ([drawn(40, seed=seed) for seed in range(3)], "rounding"),
        ([drawn(4, seed=seed) for seed in range(3)], ""),  # so few values may point anywhere
        ([drawn(40)] * 2, ""),
        ([drawn(40), None, drawn(40)], ""),
        ([drawn(40), drawn(40), -drawn(40)], ""),
    ],
)
def test_a_signal_keeps_its_direction_and_rounding_does_not(gradients, kind):
    assert told_from_course(gradients) == kind
