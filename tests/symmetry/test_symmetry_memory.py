"""What is done to save memory in large models changes no result."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from zeroinit.symmetry import inspect, memory
from zeroinit.symmetry.memory import frugal
from zeroinit.symmetry.updates import build_updates

from .zoo import drawn

TOKENS = torch.arange(24).reshape(4, 6) % 11


class Tied(nn.Module):
    """Predicts the next token with the transposed embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.dense = nn.Linear(8, 8)

    def forward(self, tokens):
        return F.linear(torch.tanh(self.dense(self.embedding(tokens))), self.embedding.weight)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(memory, "LARGE_MODEL", 0)
    monkeypatch.setattr(memory, "LARGE", 0)


def tied() -> Tied:
    torch.manual_seed(0)
    return Tied()


def test_a_large_model_has_the_same_report(everything_is_large, monkeypatch):
    frugally = inspect(tied(), TOKENS, TOKENS, steps=5)
    monkeypatch.setattr(memory, "LARGE_MODEL", 1e9)
    usual = inspect(tied(), TOKENS, TOKENS, steps=5)
    assert frugally.losses == pytest.approx(usual.losses, rel=1e-12)
    assert frugally.unlock_steps == usual.unlock_steps
    assert [layer.effective_width for layer in frugally.layers] == [layer.effective_width for layer in usual.layers]


def test_gradients_of_large_embeddings_are_sparse_inside_alone(everything_is_large):
    model = nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 3))
    with frugal(model):
        model(TOKENS).square().sum().backward()
    assert model[0].weight.grad.is_sparse
    model.zero_grad()
    model(TOKENS).square().sum().backward()
    assert not model[0].weight.grad.is_sparse
    assert not any(each._post_accumulate_grad_hooks for each in model.parameters())


def test_a_tied_embedding_has_a_dense_gradient(everything_is_large):
    one, other = tied(), tied()
    with frugal(one):
        one(TOKENS).square().sum().backward()
    other(TOKENS).square().sum().backward()
    assert not one.embedding.weight.grad.is_sparse
    assert torch.allclose(one.embedding.weight.grad, other.embedding.weight.grad, atol=1e-6)


def test_an_embedding_that_is_computed_keeps_dense_gradients(everything_is_large):
    """A sparse gradient cannot pass through what computes a weight."""
    model = nn.Sequential(nn.Embedding(11, 8))
    parametrize.register_parametrization(model[0], "weight", Doubled())
    with frugal(model):
        assert not model[0].sparse
        model(TOKENS).square().sum().backward()
    assert model[0].parametrizations.weight.original.grad.any()


def test_modules_are_as_before_after_an_error(everything_is_large):
    model = nn.Sequential(nn.Embedding(11, 8))
    with pytest.raises(IndexError, match="out of range"), frugal(model):
        model(TOKENS + 11)
    assert not model[0].sparse
    assert not model[0].weight._post_accumulate_grad_hooks


def test_moments_are_narrow_in_large_models_alone(monkeypatch):
    def moments() -> set[torch.dtype]:
        weight = nn.Parameter(drawn(2**10, 2**9))
        weight.grad = torch.ones_like(weight)
        updates = build_updates("adam", None, [weight])
        updates.step()
        return {each.dtype for each in updates.moments[weight]}

    assert moments() == {torch.float32}
    monkeypatch.setattr(memory, "LARGE_MODEL", 0)
    assert moments() == {torch.bfloat16}


@pytest.mark.parametrize("freed", [True, False])
def test_a_large_model_is_inspected_whether_or_not_there_is_memory_to_hand_back(
    everything_is_large, monkeypatch, freed
):
    monkeypatch.setattr(memory, "give_back", lambda: freed)
    assert not inspect(nn.Linear(8, 3), torch.randn(16, 8)).warnings
