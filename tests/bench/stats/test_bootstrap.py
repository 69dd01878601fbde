import math

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.stats import INTERVALS, Estimate, bootstrap_t_interval, percentile_bootstrap
from zeroinit.bench.stats.bootstrap import bootstrap_t_bounds, percentile_bounds

SKEWED = np.array([0.91, 0.97, 0.96, 0.98, 0.975])


def resampled(values: np.ndarray, seed: int, num_resamples: int) -> list[np.ndarray]:
    """The slow twin's resamples, one by one, from the same draws: how often each seed is in each of them."""
    counts = np.random.default_rng(seed).multinomial(len(values), [1 / len(values)] * len(values), size=num_resamples)
    return [np.repeat(values, count) for count in counts]


def slow_t_statistic(sample: np.ndarray, mean: float) -> float:
    if np.ptp(sample) == 0:
        distance = sample[0] - mean
        return 0.0 if abs(distance) < 1e-12 else math.copysign(math.inf, distance)
    return float((sample.mean() - mean) / stats.sem(sample))


def slow_bootstrap_t(values: np.ndarray, seed: int, level: float, num_resamples: int) -> tuple[float, float]:
    statistics = sorted(slow_t_statistic(sample, values.mean()) for sample in resampled(values, seed, num_resamples))
    low_t, high_t = (
        statistics[math.ceil(round(tail * num_resamples, 6)) - 1] for tail in ((1 - level) / 2, (1 + level) / 2)
    )
    return values.mean() - high_t * stats.sem(values), values.mean() - low_t * stats.sem(values)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
@pytest.mark.parametrize(
    "values",
    [SKEWED, SKEWED[:4], np.array([3.0, -1.0]), np.array([-1.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.5, 0.7, 0.9])],
    ids=["skewed", "four", "two", "constant-at-the-mean", "ties"],
)
def test_studentised_is_its_double_loop(values: np.ndarray, level: float):
    fast = bootstrap_t_interval(values, np.random.default_rng(7), level, num_resamples=200)
    slow = slow_bootstrap_t(values, 7, level, 200)
    assert (fast.low, fast.high) == pytest.approx(slow, rel=1e-9)
    if values is SKEWED:
        flipped = 2 * values.mean() - slow[1], 2 * values.mean() - slow[0]
        assert (fast.low, fast.high) != pytest.approx(flipped, rel=1e-9), "the tails trade places"


def test_percentile_is_its_loop():
    fast = percentile_bootstrap(SKEWED, np.random.default_rng(7), 0.9, num_resamples=400)
    means = [sample.mean() for sample in resampled(SKEWED, 7, 400)]
    assert (fast.low, fast.high) == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])), rel=1e-12)


def test_percentile_agrees_with_scipy_up_to_the_draws():
    values = np.random.default_rng(0).normal(size=30)
    ours = percentile_bootstrap(values, np.random.default_rng(1))
    drawn = np.random.default_rng(2)
    scipys = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=drawn).confidence_interval
    tolerance = 0.03 * (scipys.high - scipys.low)
    assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), abs=tolerance)
    studentised = bootstrap_t_interval(values, np.random.default_rng(1))
    assert (studentised.low, studentised.high) != pytest.approx((scipys.low, scipys.high), abs=tolerance)


def test_studentised_reaches_further_to_where_the_values_are_sparse():
    estimate = bootstrap_t_interval(SKEWED, np.random.default_rng(0))
    assert estimate.value - estimate.low > 2 * (estimate.high - estimate.value)
    mirrored = bootstrap_t_interval(-SKEWED, np.random.default_rng(0))
    assert mirrored.high - mirrored.value > 2 * (mirrored.value - mirrored.low)


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, 0.2, 0.3], [0.1, 0.25, 0.3], [0.5, 0.5, 0.5, 0.9]])
def test_studentised_is_unbounded_where_too_few_values_are_distinct_and_says_so(values: list[float]):
    estimate = bootstrap_t_interval(values, np.random.default_rng(0))
    assert math.inf in (-estimate.low, estimate.high)
    assert estimate.method == "bootstrap_t (unbounded: too few distinct values)"


def test_studentised_is_bounded_from_four_distinct_values_on():
    estimate = bootstrap_t_interval([0.1, 0.2, 0.3, 0.9], np.random.default_rng(0))
    assert math.isfinite(estimate.high - estimate.low)
    assert estimate.method == "bootstrap_t"


@pytest.mark.parametrize("interval", [percentile_bootstrap, bootstrap_t_interval])
def test_no_spread_gives_no_width_and_one_seed_no_interval(interval):
    constant: Estimate = interval([0.1, 0.1, 0.1], np.random.default_rng(0))
    assert (constant.low, constant.high) == pytest.approx((0.1, 0.1), rel=1e-12)
    single: Estimate = interval([0.1], np.random.default_rng(0))
    assert math.isnan(single.low)
    assert "one seed" in single.method


@pytest.mark.parametrize("interval", [percentile_bootstrap, bootstrap_t_interval])
def test_draws_come_from_the_generator_alone(interval):
    first = interval(SKEWED, np.random.default_rng(3), num_resamples=200)
    np.random.seed(0)  # noqa: NPY002
    assert interval(SKEWED, np.random.default_rng(3), num_resamples=200) == first
    assert interval(SKEWED, np.random.default_rng(4), num_resamples=200) != first


@pytest.mark.parametrize("bounds", [percentile_bounds, bootstrap_t_bounds])
def test_columns_share_the_draws_however_many_there_are(bounds):
    values = np.random.default_rng(0).normal(size=(6, 600))
    together = bounds(values, np.random.default_rng(1), 0.9, num_resamples=100)
    for column in (0, 255, 256, 599):
        alone = bounds(values[:, [column]], np.random.default_rng(1), 0.9, num_resamples=100)
        assert [end[column] for end in together] == pytest.approx([end[0] for end in alone], rel=1e-9)
    elsewhere = bounds(values[:, [0]], np.random.default_rng(2), 0.9, num_resamples=100)
    assert together[0][0] != pytest.approx(elsewhere[0][0], rel=1e-9)


@pytest.mark.parametrize("interval", [percentile_bootstrap, bootstrap_t_interval])
def test_too_few_resamples_are_refused(interval):
    with pytest.raises(InputError, match=r"num_resamples=99: must be at least 100; 10000 is the default"):
        interval(SKEWED, np.random.default_rng(0), num_resamples=99)
    assert interval(SKEWED, np.random.default_rng(0), num_resamples=100).num_seeds == 5


@pytest.mark.parametrize("method", ["percentile_bootstrap", "bootstrap_t"])
def test_a_missing_generator_is_named(method: str):
    with pytest.raises(InputError, match=r"generator=None: .* pass numpy\.random\.default_rng\(seed\)"):
        INTERVALS[method](SKEWED, None)
