import json
import math

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.stats import equivalence, mean_interval


def test_it_is_two_one_sided_tests_of_scipy():
    differences, margin = np.random.default_rng(0).normal(0.2, 1.0, size=8), 0.9
    result = equivalence(differences, margin)

    def p(threshold: float, side: str) -> float:
        return float(stats.ttest_1samp(differences, threshold, alternative=side).pvalue)

    assert result.p_equivalent == pytest.approx(max(p(-margin, "greater"), p(margin, "less")), rel=1e-9)
    assert result.p_different == pytest.approx(min(1.0, 2 * min(p(margin, "greater"), p(-margin, "less"))), rel=1e-9)
    assert result.estimate_90 == mean_interval(differences, 0.90)
    assert result.estimate_95 == mean_interval(differences, 0.95)


def test_verdicts_are_those_of_the_intervals():
    generator = np.random.default_rng(1)
    verdicts = set()
    for _ in range(100):
        result = equivalence(generator.normal(generator.uniform(-3, 3), 1.0, size=6), margin=1.0)
        inside = result.estimate_90.low > -1.0 and result.estimate_90.high < 1.0
        outside = result.estimate_95.low > 1.0 or result.estimate_95.high < -1.0
        assert (result.p_equivalent < 0.05) == inside
        assert (result.p_different < 0.05) == outside
        verdicts.add((inside, outside))
    assert verdicts == {(True, False), (False, True), (False, False)}


def test_no_evidence_of_a_difference_is_no_evidence_of_equality():
    differences = [-1.0, 1.2, -0.9, 0.8]
    assert stats.ttest_1samp(differences, 0.0).pvalue > 0.5
    assert equivalence(differences, margin=0.1).p_equivalent > 0.3
    assert equivalence(np.array(differences) / 100, margin=0.1).p_equivalent < 0.001


def test_sign_does_not_matter():
    differences = np.array([0.3, 0.5, 0.1])
    forth, back = equivalence(differences, 0.4), equivalence(-differences, 0.4)
    assert (forth.p_equivalent, forth.p_different) == pytest.approx((back.p_equivalent, back.p_different))


def test_false_claims_of_equality_keep_their_level():
    """At a true difference of exactly the margin, equality is claimed in at most 5 % of samples."""
    generator = np.random.default_rng(2)
    samples = generator.normal(1.0, 0.2, size=(300, 5))
    claims = np.mean([equivalence(sample, margin=1.0).p_equivalent < 0.05 for sample in samples])
    assert 0.02 <= claims <= 0.085
    inside = np.mean([equivalence(sample - 0.7, margin=1.0).p_equivalent < 0.05 for sample in samples[:50]])
    assert inside > 0.9


@pytest.mark.parametrize(
    ("difference", "p_equivalent", "p_different"),
    [(0.0, 0.0, 1.0), (0.5, 0.0, 1.0), (2.0, 1.0, 0.0), (-2.0, 1.0, 0.0), (1.0, 1.0, 1.0)],
)
def test_no_spread_gives_certainty_without_warnings(difference: float, p_equivalent: float, p_different: float):
    result = equivalence([difference] * 3, margin=1.0)
    assert (result.p_equivalent, result.p_different) == (p_equivalent, p_different)


def test_one_seed_proves_nothing():
    result = equivalence([0.0], margin=1.0)
    assert math.isnan(result.p_equivalent)
    assert math.isnan(result.p_different)
    fields = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert fields["p_equivalent"] is None
    assert fields["p_different"] is None


def test_text_and_dict():
    result = equivalence([0.001, -0.002, 0.000, 0.001, -0.001], margin=0.005)
    assert str(result).startswith("-0.0002 [-0.0014, 0.0010] against a margin of 0.005: p_equivalent = ")
    fields = result.to_dict()
    assert list(fields) == ["margin", "p_equivalent", "p_different", "estimate_90", "estimate_95"]
    assert fields["estimate_90"] == result.estimate_90.to_dict()


@pytest.mark.parametrize("margin", [0.0, -0.1, math.inf, math.nan])
def test_margin_outside_its_range_is_named(margin: float):
    with pytest.raises(InputError, match=rf"margin={margin}: must be above 0 and finite; state the largest"):
        equivalence([0.1, 0.2], margin)


def test_unusable_differences_are_named():
    with pytest.raises(InputError, match="differences has nan at position 1"):
        equivalence([0.1, math.nan], 0.5)
