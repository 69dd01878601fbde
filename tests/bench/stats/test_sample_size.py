import math

import numpy as np
import pytest
from scipy import integrate, stats

from zeroinit._common import InputError
from zeroinit.bench.stats import equivalence, num_seeds_for_equivalence, num_seeds_needed
from zeroinit.bench.stats.sample_size import _equivalence_power, _power


def slow_power(num_pairs: int, effect: float, alpha: float) -> float:
    """Both tails of the noncentral t, integrated over the spread that a sample may show."""
    freedom, shift = num_pairs - 1, effect * math.sqrt(num_pairs)
    critical = stats.t.isf(alpha / 2, freedom)

    def given_spread(spread: float) -> float:
        beyond = stats.norm.sf(critical * spread, shift) + stats.norm.cdf(-critical * spread, shift)
        return float(beyond * stats.chi.pdf(spread * math.sqrt(freedom), freedom) * math.sqrt(freedom))

    return float(integrate.quad(given_spread, 0, 8, points=[0.1, 1.0], epsabs=1e-9)[0])


@pytest.mark.parametrize(("num_pairs", "effect", "alpha"), [(2, 1.0, 0.05), (5, 1.5, 0.05), (10, 1.0, 0.01)])
def test_power_is_that_of_the_noncentral_t(num_pairs: int, effect: float, alpha: float):
    (power,) = _power(np.array([num_pairs]), effect, alpha)
    critical = stats.t.isf(alpha / 2, num_pairs - 1)
    shift = effect * math.sqrt(num_pairs)
    upper_tail = stats.nct.sf(critical, num_pairs - 1, shift)
    assert power == pytest.approx(slow_power(num_pairs, effect, alpha), abs=1e-7)
    assert power == pytest.approx(upper_tail, abs=0.01)
    assert power != pytest.approx(stats.norm.sf(stats.norm.isf(alpha / 2), shift), abs=0.01), "normal is too bold"


def test_power_grows_with_the_seeds_and_is_never_nan():
    for effect in np.logspace(-3, 4, 15):
        powers = _power(np.arange(2, 400), float(effect), 0.05)
        assert (np.diff(powers) >= -1e-9).all()
        assert ((powers >= 0) & (powers <= 1)).all()


@pytest.mark.parametrize(
    ("effect", "power", "expected"), [(1.0, 0.8, 10), (0.5, 0.8, 34), (0.2, 0.8, 199), (0.5, 0.9, 44), (0.8, 0.8, 15)]
)
def test_known_sizes(effect: float, power: float, expected: int):
    """The sizes that tables of the paired t test give (two-sided, 5 %)."""
    assert num_seeds_needed(effect, 1.0, power) == expected


@pytest.mark.parametrize("effect", [0.3, 0.7, 1.0, 1.6, 3.0])
def test_it_is_the_fewest(effect: float):
    num_seeds = num_seeds_needed(effect, 1.0)
    assert slow_power(num_seeds, effect, 0.05) >= 0.8
    if num_seeds > 2:
        assert slow_power(num_seeds - 1, effect, 0.05) < 0.8


def test_simulated_experiments_find_the_gap_as_often_as_asked():
    gap, spread = 0.012, 0.01
    num_seeds = num_seeds_needed(gap, spread)
    differences = np.random.default_rng(0).normal(gap, spread, size=(20_000, num_seeds))

    def found(samples: np.ndarray) -> float:
        return float((stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05).mean())

    assert 0.79 <= found(differences) <= 0.87
    assert found(differences[:, :-1]) < 0.8


def test_only_the_ratio_counts():
    assert num_seeds_needed(0.01, 0.02) == num_seeds_needed(-1.0, 2.0) == num_seeds_needed(0.5, 1.0)
    assert num_seeds_needed(0.01, 0.02) < num_seeds_needed(0.01, 0.03)
    assert num_seeds_needed(0.01, 0.02) < num_seeds_needed(0.01, 0.02, alpha=0.01)


def test_two_seeds_are_the_least():
    assert num_seeds_needed(1.0, 0.0) == 2
    assert num_seeds_needed(1.0, 1e-300) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gap": 0.0, "standard_deviation": 1.0}, r"gap=0\.0: must be finite and not 0; state the smallest"),
        ({"gap": math.nan, "standard_deviation": 1.0}, "gap=nan: must be finite"),
        ({"gap": 1.0, "standard_deviation": -1.0}, r"standard_deviation=-1\.0: must be finite and at least 0"),
        ({"gap": 1.0, "standard_deviation": math.inf}, "standard_deviation=inf"),
        (
            {"gap": 1.0, "standard_deviation": 1.0, "power": 1.0},
            r"power=1\.0: must be a finite number above 0\.05 and below 1",
        ),
        ({"gap": 1.0, "standard_deviation": 1.0, "alpha": 0.9}, r"power=0\.8: must be a finite number above 0\.9"),
        ({"gap": 1e-4, "standard_deviation": 1.0}, r"gap=0\.0001: needs more than 100000 seeds .* larger gap"),
    ],
)
def test_unusable_plans_are_named(arguments: dict[str, float], message: str):
    with pytest.raises(InputError, match=message):
        num_seeds_needed(**arguments)


@pytest.mark.parametrize(("difference", "margin", "num_pairs"), [(0.0, 1.0, 12), (0.5, 1.2, 20), (2.0, 1.0, 9)])
def test_power_for_equivalence_is_that_of_integration(difference: float, margin: float, num_pairs: int):
    """Over the spread that a sample may show: the mean lies inside by more than the interval, or outside."""
    freedom, critical = num_pairs - 1, stats.t.isf(0.025, num_pairs - 1)

    def given_spread(spread: float) -> float:
        width, mean = critical * spread / math.sqrt(num_pairs), stats.norm(difference, 1 / math.sqrt(num_pairs))
        inner = max(margin - width, 0.0)
        decided = mean.cdf(inner) - mean.cdf(-inner) + mean.sf(margin + width) + mean.cdf(-margin - width)
        return float(decided * stats.chi.pdf(spread * math.sqrt(freedom), freedom) * math.sqrt(freedom))

    exact = integrate.quad(given_spread, 0, 8, points=[0.5, 1.0, 1.5], epsabs=1e-9)[0]
    assert _equivalence_power(num_pairs, difference, margin, 0.05) == pytest.approx(exact, abs=2e-4)


@pytest.mark.parametrize(("difference", "margin"), [(0.0, 0.01), (0.004, 0.01), (-0.016, 0.01)])
def test_simulated_equivalence_is_decided_as_often_as_asked(difference: float, margin: float):
    num_seeds, generator = num_seeds_for_equivalence(difference, 0.01, margin), np.random.default_rng(0)
    decided = 0
    for sample in generator.normal(difference, 0.01, size=(500, num_seeds)):
        test = equivalence(sample, margin)
        decided += min(2 * test.p_equivalent, test.p_different) < 0.05
    assert 0.8 - 0.06 < decided / 500 < 0.8 + 0.08


def test_far_from_both_margins_one_of_them_decides():
    """Then it is the ordinary number for the distance to the nearer margin."""
    assert num_seeds_for_equivalence(0.9, 0.3, 1.0) == num_seeds_needed(0.1, 0.3)
    assert num_seeds_for_equivalence(1.1, 0.3, 1.0) == num_seeds_needed(0.1, 0.3)
    assert num_seeds_for_equivalence(0.0, 0.0, 1.0) == 2


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"margin": math.inf}, {"difference": math.nan}, {"power": 1.0}])
def test_equivalence_refuses_what_has_no_answer(wrong: dict):
    with pytest.raises(InputError, match="must"):
        num_seeds_for_equivalence(**{"difference": 0.0, "standard_deviation": 0.01, "margin": 0.01} | wrong)
    with pytest.raises(InputError, match="needs more than 100000 seeds"):
        num_seeds_for_equivalence(0.01, 1.0, 0.0100001)
