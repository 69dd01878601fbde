"""Pure diagnostics against slow twins, on arrays of many kinds, and their speed."""

import inspect as python_inspect
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroinit.symmetry import DIAGNOSTICS
from zeroinit.symmetry.measures.diversity import (
    direction_spread,
    distinct_rows,
    effective_rank,
    num_constant_columns,
    num_duplicate_columns,
    position_spread,
    stable_rank,
)
from zeroinit.symmetry.measures.partition import group_equal_rows, group_mirrored_rows, num_groups, refine

from ..zoo import drawn

small_rows = st.lists(
    st.lists(st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.0]), min_size=3, max_size=3), min_size=1, max_size=12
)


def pairwise(rows, same) -> list[int]:
    """Label each row by the first row it is the same as; the slow twin."""
    return [next(at for at, other in enumerate(rows) if same(other, row)) for row in rows]


def same_partition(labels, others) -> bool:
    pairs = itertools.combinations(range(len(others)), 2)
    return all((labels[a] == labels[b]) == (others[a] == others[b]) for a, b in pairs)


@settings(max_examples=60, deadline=None)
@given(small_rows)
def test_equal_and_mirrored_rows_as_pair_by_pair(rows):
    tensor = torch.tensor(rows)
    assert same_partition(group_equal_rows(tensor), pairwise(rows, lambda a, b: a == b))
    mirrored = pairwise(rows, lambda a, b: a == b or a == [-value for value in b])
    assert same_partition(group_mirrored_rows(tensor), mirrored)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_last_bit_counts(dtype):
    rows = torch.ones(3, 5, dtype=dtype)
    rows[1, 4] += torch.finfo(dtype).eps
    assert group_equal_rows(rows).tolist() == [0, 1, 0]


@settings(max_examples=60, deadline=None)
@given(small_rows, st.integers(0, 3))
def test_refine_as_pair_by_pair(rows, modulus):
    labels = np.arange(len(rows)) % (modulus + 1)
    tagged = [(label, *row) for label, row in zip(labels.tolist(), rows, strict=True)]
    noisy = torch.tensor(rows, dtype=torch.float64) * (1 + 1e-12 * drawn(len(rows), 3).double())
    assert same_partition(refine(labels.astype(np.int64), noisy, 1e-7), pairwise(tagged, lambda a, b: a == b))


def test_refine_splits_what_differs_by_more_than_rounding():
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0 + 1e-5]], dtype=torch.float64)
    assert refine(np.zeros(2, dtype=np.int64), rows, 1e-7).tolist() == [0, 1]
    assert refine(np.zeros(2, dtype=np.int64), rows, 1e-3).tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (1, 4), (6, 6)])
def test_ranks_and_spread_as_by_hand(shape):
    matrix = drawn(*shape, seed=sum(shape)).double()
    gram = matrix.T @ matrix
    values = [math.sqrt(max(value, 0)) for value in torch.linalg.eigvalsh(gram).tolist() if value > 1e-12]
    shares = [value / sum(values) for value in values]
    assert effective_rank(matrix) == pytest.approx(math.exp(-sum(share * math.log(share) for share in shares)))
    assert stable_rank(matrix) == pytest.approx(float((matrix**2).sum()) / max(values) ** 2)
    cosines = [abs(float(a @ b) / float(a.norm() * b.norm())) for a, b in itertools.combinations(matrix, 2)]
    assert direction_spread(matrix) == pytest.approx(1 - sum(cosines) / len(cosines) if cosines else 0.0)


def test_ranks_of_the_extremes():
    assert (
        effective_rank(torch.zeros(3, 3))
        == stable_rank(torch.zeros(3, 3))
        == direction_spread(torch.zeros(3, 3))
        == 0.0
    )
    assert effective_rank(torch.outer(drawn(6), drawn(4, seed=1))) == pytest.approx(1.0, abs=1e-4)
    assert effective_rank(torch.eye(7)) == pytest.approx(7.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_distinct_rows_as_a_set(dtype):
    rows = torch.rand(300, 1, generator=torch.Generator().manual_seed(0))
    assert distinct_rows(rows, dtype) == len({value.to(dtype).item() for value in rows[:, 0]}) < 300
    assert distinct_rows(rows, torch.float64) == len(rows.unique())


def test_constant_columns_one_by_one():
    features = drawn(6, 5)
    features[:, 1], features[:, 3] = 2.0, 0.0
    slow = sum(len({value.item() for value in column}) == 1 for column in features.T)
    assert num_constant_columns(features) == slow == 2


def test_duplicate_columns_pair_by_pair():
    features = drawn(6, 5)
    features[:, 3], features[:, 4] = features[:, 1], features[:, 1]
    features[5, 4] += 1e-6
    columns = features.T.tolist()
    assert num_duplicate_columns(features) == sum(column in columns[:at] for at, column in enumerate(columns)) == 1


@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 2, 3, 4), (1, 1, 1), (2, 3, 2, 2, 2)])
def test_position_spread_kernel_by_kernel(shape):
    weight = drawn(*shape, seed=sum(shape)).double()
    varying = total = 0.0
    for unit in weight:
        for kernel in unit:
            taps = kernel.flatten().tolist()
            mean = sum(taps) / len(taps)
            varying += sum((tap - mean) ** 2 for tap in taps)
            total += sum(tap**2 for tap in taps)
    assert position_spread(weight) == pytest.approx(varying / total, abs=1e-15)


def test_position_spread_of_the_extremes():
    constant = drawn(4, 3, 1, 1).expand(4, 3, 5, 5)
    assert position_spread(constant) < 1e-14
    assert position_spread(constant - constant) == 0.0
    assert position_spread(drawn(64, 64, 5, 5)) == pytest.approx(1 - 1 / 25, abs=0.002)
    spoiled = constant.clone()
    spoiled[0, 0, 0, 0] = math.inf
    assert math.isnan(position_spread(spoiled))


def test_units_side_by_side_in_memory_are_grouped_alike():
    rows = drawn(7, 40)
    rows[5] = -rows[2]
    rows[6] = rows[1]
    apart = rows.T.contiguous().T
    assert apart.stride() != rows.stride()
    for group in (group_equal_rows, group_mirrored_rows):
        assert np.array_equal(group(apart), group(rows))
    assert (num_groups(group_equal_rows(rows)), num_groups(group_mirrored_rows(rows))) == (6, 5)


def test_a_million_units():
    """A comparison of every pair would need hours."""
    rows = drawn(1_000_000, 8)
    rows[500_000:] = rows[:500_000]
    labels = group_equal_rows(rows)
    assert num_groups(labels) == 500_000
    assert np.array_equal(labels[:500_000], labels[500_000:])


def test_the_table_of_diagnostics():
    assert len({entry.summary for entry in DIAGNOSTICS.values()}) == len(DIAGNOSTICS)
    for name, entry in DIAGNOSTICS.items():
        assert entry.compute.__name__ == name
        assert python_inspect.getdoc(entry.compute)
