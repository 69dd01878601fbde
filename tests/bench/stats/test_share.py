"""The share of seeds: SciPy's exact interval, which covers at its level whatever the share."""

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.stats import share_interval


@pytest.mark.parametrize("num_seeds", [1, 2, 5, 12])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_as_scipy_computes_it(num_seeds, level):
    for num_hits in range(num_seeds + 1):
        hits = np.repeat([1.0, 0.0], [num_hits, num_seeds - num_hits])
        ours = share_interval(hits, level)
        exact = stats.binomtest(num_hits, num_seeds).proportion_ci(level, method="exact")
        assert (ours.low, ours.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
        assert (ours.value, ours.num_seeds, ours.level) == (num_hits / num_seeds, num_seeds, level)
        assert ours.method == "clopper_pearson"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.93])
def test_it_covers_at_least_at_its_level(share):
    num_seeds = 6
    covered = 0.0
    for num_hits in range(num_seeds + 1):
        estimate = share_interval(np.repeat([1.0, 0.0], [num_hits, num_seeds - num_hits]))
        covered += stats.binom.pmf(num_hits, num_seeds, share) * (estimate.low <= share <= estimate.high)
    assert covered >= 0.95


@pytest.mark.parametrize("kind", [bool, int, float])
def test_any_type_of_zeros_and_ones(kind):
    assert share_interval(np.array([1, 0, 1]).astype(kind)) == share_interval(np.array([1.0, 1.0, 0.0]))


@pytest.mark.parametrize("hits", [[], [0.5], [1.0, 2.0], [float("nan")]])
def test_what_is_no_share_is_refused(hits):
    with pytest.raises(InputError, match=r"^hits=\[.*\]: must be one 0 or 1 for each seed, at least one$"):
        share_interval(np.array(hits))


def test_a_level_out_of_range():
    with pytest.raises(InputError, match=r"level=1\.0"):
        share_interval(np.ones(3), 1.0)
