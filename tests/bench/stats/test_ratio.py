"""The ratio of two means: against the delta method, its coverage, and what cannot be bounded."""

import math

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.stats import ratio_interval


def delta_half_width(above: np.ndarray, below: np.ndarray) -> float:
    ratio = above.mean() / below.mean()
    error = np.std(above - ratio * below, ddof=1) / math.sqrt(len(above)) / abs(below.mean())
    return stats.t.ppf(0.975, df=len(above) - 1) * error


def test_close_to_the_delta_method():
    rng = np.random.default_rng(0)
    below = rng.normal(5.0, 0.2, 10)
    above = 0.4 * below + rng.normal(0.0, 0.1, 10)
    estimate = ratio_interval(above, below)
    assert estimate.value == pytest.approx(above.mean() / below.mean())
    assert (estimate.high - estimate.low) / 2 == pytest.approx(delta_half_width(above, below), rel=0.05)


@pytest.mark.parametrize("num_seeds", [4, 10])
def test_it_covers_and_is_not_too_wide(num_seeds):
    rng, rounds = np.random.default_rng(1), 2000
    hits = narrow = 0
    for _ in range(rounds):
        below = rng.normal(1.0, 0.1, num_seeds)
        above = 0.3 + rng.normal(0.0, 0.1, num_seeds)
        estimate = ratio_interval(above, below)
        hits += estimate.low <= 0.3 <= estimate.high
        narrow += estimate.low <= 0.3 + 0.5 / math.sqrt(num_seeds) <= estimate.high
    assert hits / rounds == pytest.approx(0.95, abs=0.02)
    assert narrow / rounds < 0.5


def test_an_outlier_with_a_denominator_near_zero_does_no_harm():
    estimate = ratio_interval([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 1e-9])
    assert estimate.value == pytest.approx(4 / 6)


def test_a_denominator_that_may_be_zero_bounds_nothing():
    estimate = ratio_interval([1.0, 1.0], [3.0, -1.0])
    assert (estimate.low, estimate.high) == (-math.inf, math.inf)
    assert "unbounded" in estimate.method


def test_one_seed_has_no_interval():
    assert math.isnan(ratio_interval([1.0], [2.0]).low)


@pytest.mark.parametrize(("above", "below"), [([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, -1.0])])
def test_what_has_no_ratio_is_refused(above, below):
    with pytest.raises(
        InputError,
        match=r"^denominators: \d with mean [\d.]+; must be as many as the \d numerators, w",
    ):
        ratio_interval(above, below)
