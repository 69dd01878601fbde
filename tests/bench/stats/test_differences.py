import json
import math

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.stats import mean_interval, one_sample, paired_difference


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_paired_is_scipys(num_seeds: int):
    generator = np.random.default_rng(num_seeds)
    a, b = generator.normal(size=(2, num_seeds))
    result = paired_difference(a, b, 0.9)
    expected = {side: stats.ttest_rel(a, b, alternative=side).pvalue for side in ("two-sided", "greater", "less")}
    assert (result.p_value, result.p_greater, result.p_less) == pytest.approx(tuple(expected.values()), rel=1e-9)
    interval = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (result.estimate.low, result.estimate.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert result.p_value != pytest.approx(stats.ttest_ind(a, b).pvalue, rel=1e-3), "unpaired is another test"


def test_one_sample_is_scipys():
    values = np.random.default_rng(0).normal(0.1, 0.01, size=5)
    result = one_sample(values, 0.1)
    expected = [stats.ttest_1samp(values, 0.1, alternative=side).pvalue for side in ("two-sided", "greater", "less")]
    assert [result.p_value, result.p_greater, result.p_less] == pytest.approx(expected, rel=1e-9)
    assert result.estimate.value == pytest.approx(values.mean() - 0.1)
    assert one_sample(values, 0.0).p_value < 1e-4 < result.p_value


def test_one_sample_is_paired_with_a_constant():
    values = np.array([0.3, 0.5, 0.9])
    assert one_sample(values, 0.4) == paired_difference(values, np.full(3, 0.4))


def test_exchange_changes_the_sign_and_the_side():
    a, b = np.random.default_rng(0).normal(size=(2, 5))
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert (back.estimate.low, back.estimate.high) == pytest.approx((-forth.estimate.high, -forth.estimate.low))
    assert (back.p_value, back.p_greater, back.p_less) == pytest.approx((forth.p_value, forth.p_less, forth.p_greater))
    assert forth.p_greater + forth.p_less == pytest.approx(1.0)


def test_p_is_below_five_percent_exactly_where_the_interval_leaves_out_zero():
    generator = np.random.default_rng(1)
    outcomes = set()
    for _ in range(100):
        result = one_sample(generator.normal(1.0, 1.0, size=5), 0.0)
        outside = result.estimate.low > 0 or result.estimate.high < 0
        assert (result.p_value < 0.05) == outside
        outcomes.add(outside)
    assert outcomes == {True, False}


def test_pairing_finds_what_the_seeds_hide():
    seeds = np.array([0.80, 0.85, 0.90, 0.95])
    gain = np.array([0.010, 0.012, 0.009, 0.011])
    assert paired_difference(seeds + gain, seeds).p_value < 0.001
    assert stats.ttest_ind(seeds + gain, seeds).pvalue > 0.5


@pytest.mark.parametrize(
    ("a", "b", "p_values"),
    [
        ([0.3, 0.3], [0.2, 0.2], (0.0, 0.0, 1.0)),
        ([0.2, 0.2], [0.3, 0.3], (0.0, 1.0, 0.0)),
        ([0.3, 0.4], [0.3, 0.4], (1.0, 1.0, 1.0)),
        ([0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2], (1.0, 1.0, 1.0)),
        ([0.1 + 0.2, 0.1 + 0.2], [0.3, 0.3], (1.0, 1.0, 1.0)),
        ([0.97, 0.98, 0.99], [0.95, 0.96, 0.97], (0.0, 0.0, 1.0)),
    ],
)
def test_no_spread_gives_certainty_without_warnings(a: list[float], b: list[float], p_values: tuple[float, ...]):
    result = paired_difference(a, b)
    assert (result.p_value, result.p_greater, result.p_less) == p_values
    assert result.estimate.high - result.estimate.low == pytest.approx(0.0, abs=1e-15)
    assert (result.estimate.value != 0) == (p_values[0] == 0)


def test_tiny_numbers_are_not_rounding():
    a, b = np.array([1.0e-20, 3.0e-20, 2.5e-20]), np.zeros(3)
    assert paired_difference(a, b).p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_one_seed_proves_nothing():
    result = paired_difference([0.9], [0.1])
    assert result.estimate.value == pytest.approx(0.8)
    assert np.isnan([result.p_value, result.p_greater, result.p_less, result.estimate.low]).all()
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["p_value"] is None


def test_text_and_dict():
    result = paired_difference([0.98, 0.97, 0.99], [0.95, 0.95, 0.95])
    assert str(result) == "0.0300 [0.0052, 0.0548], p = 0.0351"
    fields = result.to_dict()
    assert list(fields) == ["estimate", "p_value", "p_greater", "p_less"]
    assert fields["estimate"] == result.estimate.to_dict()
    assert fields["p_value"] == result.p_value
    assert result.estimate == mean_interval(np.array([0.98, 0.97, 0.99]) - 0.95)


def test_unusable_values_are_named():
    with pytest.raises(
        InputError, match="a has 2 values and b has 3: must be paired by seed; keep the seeds that both"
    ):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="b has inf at position 1"):
        paired_difference([1.0, 2.0], [1.0, math.inf])
    with pytest.raises(InputError, match="a has nan at position 0"):
        paired_difference([math.nan, 2.0], [1.0, 2.0])
    with pytest.raises(InputError, match="threshold=nan: must be a finite number"):
        one_sample([1.0, 2.0], math.nan)
    with pytest.raises(InputError, match=r"level=1\.5: must lie between"):
        one_sample([1.0, 2.0], 0.0, level=1.5)
