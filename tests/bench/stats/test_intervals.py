"""The table, the bands and, above all, the coverage: how often an interval holds the true mean."""

import inspect
import math
from functools import cache

import numpy as np
import pytest

from zeroinit._common import InputError
from zeroinit.bench.stats import (
    INTERVALS,
    bootstrap_t_interval,
    curve_intervals,
    mean_interval,
    percentile_bootstrap,
)
from zeroinit.bench.stats.intervals import BOUNDS

NUM_SAMPLES = 4000  # the coverage's standard error is then 0.0034 at 0.95


@cache
def coverage(method: str, num_seeds: int, shape: str = "normal") -> tuple[float, float]:
    """How many of NUM_SAMPLES samples' 95 % intervals hold the true mean, and how many are finite."""
    generator = np.random.default_rng([num_seeds, len(shape)])
    size = (num_seeds, NUM_SAMPLES)
    samples = generator.normal(size=size) if shape == "normal" else generator.lognormal(size=size)
    truth = 0.0 if shape == "normal" else math.exp(0.5)
    draws = {} if method == "t" else {"num_resamples": 1000 if num_seeds > 3 else 10_000}
    if num_seeds <= 3:
        samples = samples[:, :500] if method != "t" else samples
    low, high = BOUNDS[method](samples, generator, 0.95, **draws)  # type: ignore[call-arg]
    return float(((low <= truth) & (truth <= high)).mean()), float(np.isfinite(high - low).mean())


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_t_covers_at_its_level(num_seeds: int):
    assert 0.93 <= coverage("t", num_seeds)[0] <= 0.97


@pytest.mark.parametrize("num_seeds", [4, 5, 10])
def test_studentised_bootstrap_covers_at_its_level_from_four_seeds_on(num_seeds: int):
    held, finite = coverage("bootstrap_t", num_seeds)
    assert 0.93 <= held <= 0.97
    assert finite == 1.0


def test_studentised_bootstrap_knows_nothing_with_three_seeds():
    assert coverage("bootstrap_t", 3) == (1.0, 0.0)


def test_three_seeds_without_constant_resamples_would_cover_too_little():
    """Why such resamples count as infinite: the six types of the others, in closed form, hold the mean in 81 %."""
    samples = np.sort(np.random.default_rng(0).normal(size=(3, 20_000)), axis=0)
    gaps, mean = np.diff(samples, axis=0), samples.mean(axis=0)
    error = samples.std(axis=0, ddof=1) / math.sqrt(3)
    low, high = mean - (1 + gaps[0] / gaps[1]) * error, mean + (1 + gaps[1] / gaps[0]) * error
    assert 0.79 <= ((low <= 0) & (high >= 0)).mean() <= 0.83


@pytest.mark.parametrize(("num_seeds", "least", "most"), [(3, 0.70, 0.80), (5, 0.80, 0.87), (10, 0.87, 0.93)])
def test_percentile_bootstrap_covers_too_little(num_seeds: int, least: float, most: float):
    held = coverage("percentile_bootstrap", num_seeds)[0]
    assert least <= held <= most
    assert held < coverage("t", num_seeds)[0]


def test_studentised_bootstrap_is_for_skewed_values():
    assert coverage("t", 5, "lognormal")[0] < 0.85
    assert 0.87 <= coverage("bootstrap_t", 5, "lognormal")[0] <= 0.93


def test_every_method_is_called_alike():
    values = [0.90, 0.97, 0.96, 0.98, 0.975]
    assert set(INTERVALS) == set(BOUNDS) == {"t", "bootstrap_t", "percentile_bootstrap"}
    for name, interval in INTERVALS.items():
        parameters = inspect.signature(interval).parameters
        assert list(parameters)[:3] == ["values", "generator", "level"]
        assert parameters["level"].default == 0.95
        estimate = interval(values, np.random.default_rng(0), 0.9)
        assert (estimate.method, estimate.num_seeds, estimate.level) == (name, 5, 0.9)
        assert estimate.low < estimate.value < estimate.high


def test_table_holds_the_named_functions():
    values = [0.90, 0.97, 0.96, 0.98, 0.975]
    assert INTERVALS["t"](values, None) == mean_interval(values)
    for name, function in (("bootstrap_t", bootstrap_t_interval), ("percentile_bootstrap", percentile_bootstrap)):
        assert INTERVALS[name](values, np.random.default_rng(0)) == function(values, np.random.default_rng(0))
    assert INTERVALS["t"](values, None) != INTERVALS["bootstrap_t"](values, np.random.default_rng(0))


@pytest.mark.parametrize("method", sorted(INTERVALS))
def test_band_is_the_interval_of_every_epoch(method: str):
    values = np.random.default_rng(0).normal(size=(5, 4))
    mean, low, high = curve_intervals(values, method, np.random.default_rng(1), 0.9)
    for epoch in range(4):
        estimate = INTERVALS[method](values[:, epoch], np.random.default_rng(1), 0.9)
        expected = (estimate.value, estimate.low, estimate.high)
        assert (mean[epoch], low[epoch], high[epoch]) == pytest.approx(expected, rel=1e-9)
        assert (mean[epoch - 1], low[epoch - 1], high[epoch - 1]) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("method", sorted(INTERVALS))
def test_epoch_with_a_diverged_run_is_a_gap_and_the_others_stay(method: str):
    values = np.random.default_rng(0).normal(size=(5, 4))
    broken = values.copy()
    broken[1, 2], broken[3, 2] = math.inf, -math.inf
    whole = np.array(curve_intervals(values, method, np.random.default_rng(1)))
    gap = np.array(curve_intervals(broken, method, np.random.default_rng(1)))
    assert np.isnan(gap[:, 2]).all()
    np.testing.assert_allclose(gap[:, [0, 1, 3]], whole[:, [0, 1, 3]])
    everywhere = curve_intervals(np.full((3, 2), math.nan), method, np.random.default_rng(1))
    assert np.isnan(everywhere).all()


def test_one_seed_has_a_curve_and_no_band():
    mean, low, high = curve_intervals(np.array([[1, 2, 3]]))
    assert mean.tolist() == [1.0, 2.0, 3.0]
    assert np.isnan([low, high]).all()


def test_unusable_curves_are_named():
    curves = np.zeros((2, 3))
    with pytest.raises(InputError, match=r"method='bootstrapt': did you mean 'bootstrap_t'\? It must be one of"):
        curve_intervals(curves, "bootstrapt")
    with pytest.raises(InputError, match="generator=None: a bootstrap needs"):
        curve_intervals(curves, "bootstrap_t")
    with pytest.raises(InputError, match=r"values has shape \(0, 3\): must have shape \(seeds, epochs\)"):
        curve_intervals(curves[:0])
    with pytest.raises(InputError, match=r"level=95\.0: must lie between"):
        curve_intervals(curves, level=95.0)
