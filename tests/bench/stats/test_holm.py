import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroinit._common import InputError
from zeroinit.bench.stats import holm

P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.just(math.nan), st.sampled_from([0.0, 0.01, 1.0])), max_size=8)


def rejected_step_by_step(p_values: list[float], alpha: float) -> list[bool]:
    """Holm's procedure as he states it: step down from the smallest, stop at the first that fails."""
    remaining = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    rejected = [False] * len(p_values)
    while remaining:
        smallest = min(remaining, key=lambda index: p_values[index])
        if not len(remaining) * p_values[smallest] <= alpha:
            break
        rejected[smallest] = True
        remaining.remove(smallest)
    return rejected


@given(P_VALUES, st.floats(0.001, 0.999))
def test_adjusted_values_reject_what_the_procedure_rejects(p_values: list[float], alpha: float):
    assert (holm(p_values) <= alpha).tolist() == rejected_step_by_step(p_values, alpha)


def test_known_values():
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted.tolist() != pytest.approx([0.04, 0.16, 0.12, 0.02]), "that would be Bonferroni"


@given(P_VALUES)
def test_between_the_plain_values_and_bonferroni(p_values: list[float]):
    plain = np.array([p for p in p_values if not math.isnan(p)])
    adjusted = holm(plain)
    assert (adjusted >= plain).all()
    assert (adjusted <= np.minimum(1.0, plain * len(plain))).all()


@given(P_VALUES, st.randoms())
def test_order_does_not_matter(p_values: list[float], shuffler):
    order = list(range(len(p_values)))
    shuffler.shuffle(order)
    shuffled = holm(np.array(p_values, dtype=float)[order])
    np.testing.assert_array_equal(shuffled, holm(p_values)[order])


def test_nan_stays_and_does_not_count():
    adjusted = holm([math.nan, 0.02, 0.5, math.nan])
    np.testing.assert_allclose(adjusted, [math.nan, 0.04, 0.5, math.nan])
    assert np.isnan(holm([math.nan])).all()
    assert holm([]).shape == (0,)


def test_false_rejections_keep_their_level_together():
    p_values = np.random.default_rng(0).uniform(size=(3000, 5))
    any_plain = (p_values < 0.05).any(axis=1).mean()
    any_adjusted = np.mean([(holm(row) < 0.05).any() for row in p_values])
    assert any_plain > 0.2
    assert any_adjusted <= 0.062


def test_the_input_stays_as_it_was():
    p_values = np.array([0.5, 0.01])
    holm(p_values)
    assert p_values.tolist() == [0.5, 0.01]


@pytest.mark.parametrize("wrong", [-0.1, 1.5, math.inf])
def test_what_is_no_probability_is_named(wrong: float):
    with pytest.raises(InputError, match=rf"p_values has {wrong}: must lie between 0 and 1, or be NaN"):
        holm([0.5, wrong])
