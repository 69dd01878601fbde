"""Rank correlation against SciPy, R^2 against its definition, and intervals over groups."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from zeroinit._common import InputError
from zeroinit.bench.stats import determination, grouped_bootstrap, rank_correlation


def test_rank_correlation_is_spearmans_with_ties():
    rng = np.random.default_rng(0)
    predicted, seen = rng.integers(5, size=40).astype(float), rng.normal(size=40)
    assert rank_correlation(predicted, seen) == pytest.approx(spearmanr(predicted, seen).statistic)
    assert np.isnan(rank_correlation(np.ones(4), np.arange(4.0)))


def test_determination():
    seen = np.array([0.0, 1.0, 2.0])
    assert determination(seen, seen) == 1.0
    assert determination(np.ones(3), seen) == 0.0
    assert determination(-seen, seen) < 0


def test_rows_of_one_group_bring_no_certainty():
    """Each pair ten times is no more than once, if the copies are one group; taken as apart the interval shrinks."""
    rng = np.random.default_rng(1)
    once = rng.normal(size=12)
    predicted, seen = np.repeat(once, 10), np.repeat(once + rng.normal(size=12), 10)
    groups = np.repeat(np.arange(12), 10)
    widths = []
    for labels in (groups, np.arange(120)):
        found = grouped_bootstrap(
            rank_correlation, predicted, seen, labels, np.random.default_rng(2), num_resamples=300
        )
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[0] > 2 * widths[1]


def test_two_groups_have_no_interval():
    found = grouped_bootstrap(
        rank_correlation, np.arange(4.0), np.arange(4.0), np.array([0, 0, 1, 1]), np.random.default_rng(0)
    )
    assert (found.value, found.num_seeds) == (1.0, 2)
    assert np.isnan(found.low)


def test_without_rows_there_is_nothing_to_estimate():
    with pytest.raises(InputError, match=r"have 0, 0 and 0 rows; need as many of each, at least one$"):
        grouped_bootstrap(rank_correlation, np.ones(0), np.ones(0), np.arange(0), np.random.default_rng(0))
