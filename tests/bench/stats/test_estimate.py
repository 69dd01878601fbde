import json
import math
from typing import get_args

import numpy as np
import pytest

from zeroinit._common import InputError
from zeroinit.bench.stats import Estimate, mean_interval
from zeroinit.bench.stats.estimate import Values, check_level, checked_values, standard_errors


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.971, 0.9694, 0.9726, 5), "0.9710 [0.9694, 0.9726]"),
        (Estimate(0.5, 0.5, 0.5, 3), "0.5000 [0.5000, 0.5000]"),
        (Estimate(0.5, math.nan, math.nan, 1), "0.5000 (one seed, no interval)"),
        (Estimate(0.5, -math.inf, math.inf, 3), "0.5000 [-inf, inf]"),
        (Estimate(-1e-9, -3e-7, 3e-7, 5), "0.00000000 [-0.00000030, 0.00000030]"),
        (Estimate(250.0, 230.0, 270.0, 5), "250.0000 [230.0000, 270.0000]"),
    ],
)
def test_text_shows_two_digits_of_the_half_width_and_at_least_four_decimals(estimate: Estimate, text: str):
    assert str(estimate) == text


def test_dict_is_strict_json():
    bounded = Estimate(0.971, 0.9694, 0.9726, 5).to_dict()
    assert bounded == {
        "value": 0.971,
        "low": 0.9694,
        "high": 0.9726,
        "num_seeds": 5,
        "level": 0.95,
        "method": "t",
    }
    for end in (math.nan, math.inf):
        fields = json.loads(json.dumps(Estimate(0.5, -end, end, 1).to_dict(), allow_nan=False))
        assert fields["low"] is None
        assert fields["high"] is None


def test_estimate_is_frozen():
    with pytest.raises(AttributeError):
        mean_interval([1.0, 2.0]).value = 0.0  # type: ignore[misc]


def test_integers_single_precision_and_lists_give_the_same_estimate():
    values = [1, 2, 4]
    assert len(get_args(Values)) >= 2
    expected = mean_interval(np.array(values, dtype=float))
    assert mean_interval(values) == expected
    assert mean_interval(np.array(values)) == expected
    assert mean_interval(np.array(values, dtype=np.float32)) == expected
    assert mean_interval([1, 2, 5]) != expected


def test_standard_error_ignores_rounding_and_nothing_else():
    columns = np.array([[0.1 + 0.2, 1.0, 0.0], [0.3, 1.0 + 1e-9, 0.0]])
    rounding, small, zero = standard_errors(columns)
    assert rounding == 0.0
    assert small == pytest.approx(0.5e-9, rel=1e-6)
    assert zero == 0.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"accuracies has shape \(0,\): must have shape \(seeds,\)"),
        ([[1.0, 2.0]], r"accuracies has shape \(1, 2\): must .* select one metric at one epoch"),
        (0.5, r"accuracies has shape \(\)"),
        (["high"], r"accuracies=\['high'\]: must hold numbers"),
        ([[1.0], [1.0, 2.0]], "must hold numbers, one per seed"),
        ([1.0, math.nan, math.inf], r"accuracies has nan at position 1 \(2 of 3 not finite\): must be finite; report"),
    ],
)
def test_values_that_cannot_be_used_are_named(values: object, message: str):
    with pytest.raises(InputError, match=message):
        checked_values(values, "accuracies")
    assert checked_values([1, 2], "accuracies").tolist() == [1.0, 2.0]


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -0.1, math.nan])
def test_level_outside_its_range_is_named(level: float):
    with pytest.raises(InputError, match=rf"level={level}: must lie between 0 and 1, such as 0.95"):
        check_level(level)
    check_level(0.5)
