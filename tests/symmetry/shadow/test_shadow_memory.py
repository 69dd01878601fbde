"""What is done to save memory in large models changes no result."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from zeroinit import InputError
from zeroinit.symmetry import inspect
from zeroinit.symmetry.shadow.copies import copy_of
from zeroinit.symmetry.shadow.memory import capacity, sharing
from zeroinit.symmetry.shadow.memory import frugal as memory
from zeroinit.symmetry.shadow.memory.capacity import free_memory, needed_memory
from zeroinit.symmetry.shadow.memory.frugal import frugal
from zeroinit.symmetry.shadow.memory.sharing import WriteGuard, WrittenError
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.single_pass import forward_loss
from zeroinit.symmetry.shadow.updates import build_updates

from ..zoo import VECTORS, drawn

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


class Adapted(nn.Module):
    """Frozen layers of several kinds with a low-rank update beside one of them."""

    def __init__(self, frozen: nn.ModuleList):
        super().__init__()
        self.frozen = frozen
        self.down, self.up = nn.Linear(16, 4, bias=False), nn.Linear(4, 16, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x, token):
        first, activation, second, norm, table = self.frozen
        h = activation(first(x.to(first.weight.dtype)))
        h = h @ second.weight.T[:, :16] + second.bias + self.up(self.down(h))
        return norm(h + table(token)) @ first.weight


@pytest.fixture
def everything_is_shared(monkeypatch):
    monkeypatch.setattr(sharing, "LARGE", 0)


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
    assert frugally.first_gradient_steps == usual.first_gradient_steps
    assert [layer.num_distinct_units for layer in frugally.layers] == [
        layer.num_distinct_units for layer in usual.layers
    ]


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("everything_is_shared")
def test_frozen_weights_read_in_place_change_no_result(dtype, monkeypatch):
    frozen = [nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16), nn.LayerNorm(16), nn.Embedding(11, 16)]
    torch.manual_seed(0)
    model = Adapted(nn.ModuleList(frozen).requires_grad_(False)).to(dtype)
    addresses, before = [each.data_ptr() for each in model.parameters()], copy.deepcopy(model.state_dict())
    replica = copy_of(model, torch.float32)
    assert [each.data_ptr() in addresses for each in replica.frozen.parameters()] == [True] * 7
    report = inspect(model, (drawn(8, 12), TOKENS[0, :1]), steps=4)
    monkeypatch.setattr(sharing, "LARGE", 10**9)
    usual = inspect(model, (drawn(8, 12), TOKENS[0, :1]), steps=4)
    assert report.losses == pytest.approx(usual.losses, rel=1e-6)
    assert report.first_gradient_steps == usual.first_gradient_steps
    assert (report.first_gradient_steps["down.weight"], report.first_gradient_steps["up.weight"]) == (2, 1)
    assert report.warnings == ()
    assert [each.data_ptr() for each in model.parameters()] == addresses
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Gated(nn.Module):
    """A branch behind a gate that is zero and frozen."""

    def __init__(self):
        super().__init__()
        self.below, self.above = nn.Linear(12, 8), nn.Linear(8, 5)
        self.gate = nn.Parameter(torch.zeros(8), requires_grad=False)

    def forward(self, x):
        return self.above(self.gate * self.below(x))


@pytest.mark.usefixtures("everything_is_shared")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_zero_that_is_read_in_place_is_drawn_in_trials_alone(dtype):
    torch.manual_seed(0)
    model = Gated().to(dtype)
    before, address = copy.deepcopy(model.state_dict()), model.gate.data_ptr()
    report = inspect(model, VECTORS.to(dtype))
    assert "`gate` is frozen at zero" in report.verdict
    assert "requires_grad_()" in report.warnings[0].suggestion
    assert model.gate.data_ptr() == address
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.usefixtures("everything_is_shared")
def test_autograd_keeps_no_cast_of_a_frozen_weight():
    frozen = nn.Linear(256, 256).requires_grad_(False).to(torch.bfloat16)
    model = nn.Sequential(nn.Linear(12, 256), *[frozen] * 3, nn.Linear(256, 5))
    replica, mode = copy_of(model, torch.float32), ShadowMode()
    loss = forward_loss(replica, Objective(VECTORS), torch.float32, mode)
    assert loss.requires_grad
    assert len(mode.casts._sources) > 0
    assert all(storage.expired() for storage, _ in mode.casts._sources.values())


@pytest.mark.usefixtures("everything_is_shared")
def test_in_place_writes_are_stopped_before_they_happen():
    weight = nn.Parameter(torch.ones(4), requires_grad=False)
    guard = WriteGuard({weight.untyped_storage().data_ptr(): "weight"})
    for write in (
        lambda: weight.data.mul_(2),
        lambda: weight[:1].zero_(),
        lambda: torch.add(weight, 1, out=weight.data),
    ):
        with pytest.raises(WrittenError, match="weight"), guard:
            write()
    with guard:
        assert float((weight + 1).sum()) == 8
    assert torch.equal(weight, torch.ones(4))


def test_what_does_not_fit_is_refused_with_the_way_out(monkeypatch):
    model = tied()
    monkeypatch.setattr(capacity, "free_memory", lambda device: 100)
    with pytest.raises(
        InputError, match=r"inspection in float32 takes about 0 MB beside it, and 0 MB are free; freeze"
    ):
        inspect(model, TOKENS, TOKENS)
    monkeypatch.setattr(capacity, "free_memory", lambda device: needed_memory(model, torch.float32))
    assert inspect(model, TOKENS, TOKENS).notes == ()


def test_where_float64_does_not_fit_a_note_says_so(monkeypatch):
    model = tied()
    nn.init.zeros_(model.dense.weight)  # a doubt
    monkeypatch.setattr(capacity, "free_memory", lambda device: needed_memory(model, torch.float32))
    report = inspect(model, TOKENS, TOKENS)
    assert report.notes[0].startswith("no float64 shadow (model: an inspection in float64 takes about")


def test_what_is_free():
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 2**20
    assert free_memory(torch.device("meta")) is None


def test_frozen_weights_need_nothing():
    model = nn.Linear(2**9, 2**9)
    whole = needed_memory(model, torch.float32)
    assert needed_memory(model.requires_grad_(False), torch.float32) < whole / 4
    assert needed_memory(model, torch.float64) > needed_memory(model, torch.float32)
