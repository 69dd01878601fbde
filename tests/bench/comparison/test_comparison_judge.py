"""Verdicts: numbers as plain SciPy gives them, and wrong verdicts as rare as promised, also when seeds are added."""

import json

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.comparison.looks import LEVEL, Looks, level_of
from zeroinit.bench.comparison.results import judge, with_rounding


def test_all_looks_together_have_five_percent():
    assert sum(level_of(look) for look in range(1, 60)) == pytest.approx(LEVEL)


def test_the_same_seeds_again_are_no_new_look(tmp_path):
    looks = [Looks(tmp_path).number("a b", seeds) for seeds in ([0, 1], [0, 1], [0, 1, 2], [0, 1], [0, 2])]
    assert looks == [1, 1, 2, 1, 3]
    assert Looks(tmp_path).number("a c", [0, 1]) == 1


def test_one_seed_decides_nothing_and_is_no_look(tmp_path):
    assert [Looks(tmp_path).number("a b", seeds) for seeds in ([0], [0, 1], [1], [0, 1, 2])] == [1, 1, 2, 2]
    assert json.loads((tmp_path / "looks.json").read_text()) == {"a b": [[0, 1], [0, 1, 2]]}


@pytest.mark.parametrize("content", ["[", "[]", '{"a": 1}', '{"a": [["x"]]}'])
def test_a_damaged_record_of_looks_is_named(tmp_path, content):
    (tmp_path / "looks.json").write_text(content)
    with pytest.raises(InputError, match=r"looks.json: cannot be read"):
        Looks(tmp_path).number("a b", [0])


def test_looks_that_are_a_link_are_read_and_kept_apart(tmp_path):
    """git-annex and DVC keep files so; what a link leads to is never written."""
    Looks(tmp_path).number("a b", [0, 1])
    path, place = tmp_path / "looks.json", tmp_path / "elsewhere"
    path.rename(place)
    path.symlink_to(place.name)
    before = place.read_bytes()
    assert Looks(tmp_path).number("a b", [0, 1, 2]) == 2
    assert place.read_bytes() == before
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(InputError, match=r"the link leads to nothing"):
        Looks(tmp_path).number("a b", [0, 1])


def test_p_values_are_those_of_scipy():
    generator = np.random.default_rng(0)
    values = [generator.normal(mean, 0.01, 6) for mean in (0.05, 0.0, 0.001)]
    judged = judge(values, [1, 2, 1], margin=0.02)
    plain = [
        stats.ttest_1samp(each, 0).pvalue * LEVEL / level_of(look) for each, look in zip(values, [1, 2, 1], strict=True)
    ]
    order = np.argsort(plain)
    adjusted = np.minimum(np.maximum.accumulate([3, 2, 1] * np.array(plain)[order]), 1)
    np.testing.assert_allclose([judged[at][0] for at in order], adjusted)
    assert judged[0][2] == "better"
    assert judge([-values[0]], [1], margin=0.02)[0][2] == "worse"


def test_as_good_needs_both_one_sided_tests():
    values = np.array([0.001, -0.001, 0.002, -0.002, 0.0005])
    p_equivalent = judge([values], [1], margin=0.01)[0][1]
    plain = max(
        stats.ttest_1samp(values, 0.01, alternative="less").pvalue,
        stats.ttest_1samp(values, -0.01, alternative="greater").pvalue,
    )
    assert p_equivalent == pytest.approx(plain * LEVEL / level_of(1))
    assert judge([values], [1], margin=0.01)[0][2:] == ("as good", None)
    assert judge([values], [1], margin=0.001)[0][2] == "undecided"


def test_one_seed_decides_nothing():
    assert judge([np.array([0.5])], [1], margin=0.01)[0][2:] == ("one seed", None)


def test_an_undecided_entry_is_told_how_many_more_seeds_it_needs():
    values = np.random.default_rng(1).normal(0.01, 0.02, 5)
    _, _, verdict, more = judge([values], [1], margin=0.005)[0]
    assert verdict == "undecided"
    effect, freedom = abs(values.mean()) / values.std(ddof=1), 5 + more - 1
    bound = stats.t.isf(level_of(2) / 2, freedom)
    power = stats.nct.sf(bound, freedom, effect * np.sqrt(5 + more))
    assert 0.79 < power < 0.9


def test_equal_differences_of_one_image_are_no_evidence():
    """Two seeds that differ by one image each: a plain t test has p = 0."""
    step = 1 / 450
    assert judge([np.full(2, step)], [1], margin=0.0001)[0][2] == "better"
    assert judge([with_rounding(np.full(2, step), step)], [1], margin=0.0001)[0][2] == "undecided"
    values = np.array([0.0, 0.02, 0.04])
    widened = with_rounding(values, step)
    assert widened.mean() == pytest.approx(values.mean())
    assert widened.var(ddof=1) == pytest.approx(values.var(ddof=1) + step**2 / 6)


def share_wrong(num_first: int, num_second: int, num_images: float, tries: int) -> float:
    """Of comparisons without a difference in which seeds are added once: the share with "better" or "worse"."""
    generator, wrong = np.random.default_rng(2), 0
    for _ in range(tries):
        counts = generator.normal(430, num_images, (3, num_second)).round()
        found = []
        for look, count in ((1, num_first), (2, num_second)):
            gaps = [with_rounding((own[:count] - counts[0, :count]) / 450, 1 / 450) for own in counts[1:]]
            found += [verdict for _, _, verdict, _ in judge(gaps, [look] * 2, 0.01)]
        wrong += bool({"better", "worse"} & set(found))
    return wrong / tries


@pytest.mark.slow
@pytest.mark.parametrize(("num_first", "num_second"), [(2, 3), (5, 10)])
@pytest.mark.parametrize("num_images", [1.0, 8.0])
def test_wrong_verdicts_are_rare_also_after_a_second_look(num_first, num_second, num_images):
    assert share_wrong(num_first, num_second, num_images, tries=300) <= LEVEL + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("num_first", "num_second"), [(2, 3), (5, 10)])
def test_as_good_is_rarely_said_of_a_difference_as_large_as_the_margin(num_first, num_second):
    generator, wrong = np.random.default_rng(3), 0
    for _ in range(300):
        counts = generator.normal(430, 4, (2, num_second)) + np.array([[0], [4.5]])  # 1 % of 450 images
        gaps = np.subtract(*counts.round()) / 450
        looks = ((1, num_first), (2, num_second))
        found = [judge([with_rounding(gaps[:count], 1 / 450)], [look], 0.01)[0][2] for look, count in looks]
        wrong += "as good" in found
    assert wrong / 300 <= LEVEL + 0.01
