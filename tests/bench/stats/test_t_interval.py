import math

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.stats import mean_interval


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_interval_is_scipys(num_seeds: int, level: float):
    values = np.random.default_rng(num_seeds).normal(3.0, 2.0, size=num_seeds)
    estimate = mean_interval(values, level)
    expected = stats.t.interval(level, num_seeds - 1, loc=values.mean(), scale=stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected, rel=1e-12)
    assert estimate.value == pytest.approx(values.mean())
    assert (estimate.num_seeds, estimate.level, estimate.method) == (num_seeds, level, "t")
    normal = stats.norm.interval(level, loc=values.mean(), scale=stats.sem(values))
    assert estimate.high - estimate.low > normal[1] - normal[0], "the normal interval is too narrow for few seeds"


def test_interval_moves_and_stretches_with_the_values():
    values = np.array([0.1, 0.4, 0.2, 0.9])
    plain, moved = mean_interval(values), mean_interval(3 - 2 * values)
    assert (moved.low, moved.high) == pytest.approx((3 - 2 * plain.high, 3 - 2 * plain.low))


def test_higher_level_is_wider():
    values = [0.1, 0.4, 0.2]
    narrow, wide = mean_interval(values, 0.9), mean_interval(values, 0.95)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_seed_has_no_interval_and_says_so():
    estimate = mean_interval([0.5])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert estimate.method == "t (no interval: one seed)"
    assert "no interval" not in mean_interval([0.5, 0.6]).method


def test_no_spread_gives_no_width():
    estimate = mean_interval([0.1, 0.1, 0.1])
    assert estimate.low == estimate.value == estimate.high == pytest.approx(0.1)


def test_a_run_that_diverged_is_refused():
    with pytest.raises(InputError, match=r"values has nan at position 0 \(1 of 2 not finite\)"):
        mean_interval([math.nan, 1.0])


def test_level_in_percent_is_refused():
    with pytest.raises(InputError, match=r"level=95\.0: must lie between 0 and 1"):
        mean_interval([1.0, 2.0], 95.0)
