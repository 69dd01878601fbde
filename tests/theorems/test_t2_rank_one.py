"""T2: the first weight gradient of each layer that is not zero has rank 1."""

import pytest
import torch


def rank(matrix: torch.Tensor) -> int:
    """Singular values above rounding of the largest; full precision is float64 here."""
    singular = torch.linalg.svdvals(matrix)
    return int((singular > 1e-10 * singular[0]).sum())


def first_and_last_ranks(gradients: list[dict[str, torch.Tensor]]) -> tuple[list[int], list[int]]:
    names = [name for name in gradients[0] if name.endswith("weight")]
    first = [next(of[name] for of in gradients if of[name].any()) for name in names]
    return [rank(matrix) for matrix in first], [rank(gradients[-1][name]) for name in names]


@pytest.mark.parametrize("activation", ["elu", "gelu", "relu", "tanh"])
@pytest.mark.parametrize("initializer", ["normal_bias", "uniform_bias"])
def test_first_gradients_have_rank_one_under_sgd(make_network, train, activation, initializer):
    gradients = train(make_network(initializer, activation=activation), steps=4)
    assert first_and_last_ranks(gradients)[0] == [1, 1, 1, 1]


def test_later_gradients_have_a_higher_rank(make_network, train):
    """A negative case: it is the first gradient that is special."""
    _, last = first_and_last_ranks(train(make_network("normal_bias"), steps=30, optimizer="adam"))
    assert min(last) > 1


def test_first_gradients_have_rank_one_or_two_under_adam(make_network, train):
    """Adam divides by magnitudes, which would keep rank 1, but for its epsilon."""
    first, _ = first_and_last_ranks(train(make_network("normal_bias"), steps=4, optimizer="adam"))
    assert set(first) <= {1, 2}


def test_pytorch_default_has_a_higher_rank_at_once(make_network, train):
    """A negative case: random weights."""
    first, _ = first_and_last_ranks(train(make_network("pytorch"), steps=1))
    assert min(first) > 1
