"""``undisturbed`` gives back the random state, the mode of every module and the gradients, also after an error."""

import contextlib

import pytest
import torch
from torch import nn

from zeroinit.bench.training import undisturbed


@pytest.fixture
def prepared(make_model):
    """A model with one module in another mode, two gradients and two parameters that have none yet."""
    model = make_model("batch_norm").train()
    model[1].eval()
    model[0].weight.grad = torch.full_like(model[0].weight, 2.0)
    model[3].weight.grad = torch.full_like(model[3].weight, 3.0)
    return model


def state_of(model: nn.Module) -> tuple:
    gradients = {
        name: None if parameter.grad is None else parameter.grad.tolist()
        for name, parameter in model.named_parameters()
    }
    modes = [module.training for module in model.modules()]
    return gradients, modes, torch.get_rng_state().tolist()


def meddle(model: nn.Module) -> None:
    torch.rand(3)
    model.eval()
    model[1].train()
    model[0].weight.grad.add_(1)
    model[3].weight.grad = None
    model[1].bias.grad = torch.ones_like(model[1].bias)


def test_everything_is_given_back(prepared):
    with torch.random.fork_rng(devices=[]):
        before = state_of(prepared)
        with undisturbed(prepared):
            meddle(prepared)
            assert state_of(prepared) != before
        assert state_of(prepared) == before


def test_also_after_an_error(prepared):
    with torch.random.fork_rng(devices=[]):
        before = state_of(prepared)

        def fail():
            with undisturbed(prepared):
                meddle(prepared)
                raise KeyError("on purpose")

        with pytest.raises(KeyError, match="on purpose"):
            fail()
        assert state_of(prepared) == before


def test_without_it_nothing_is_given_back(prepared):
    with torch.random.fork_rng(devices=[]):
        before = state_of(prepared)
        with contextlib.nullcontext():
            meddle(prepared)
        assert all(now != then for now, then in zip(state_of(prepared), before, strict=True))


def test_gradients_stay_the_same_tensors(prepared):
    """Whoever holds on to a gradient, as an optimizer captured in a graph does, still holds the right one."""
    kept = {name: parameter.grad for name, parameter in prepared.named_parameters()}
    with undisturbed(prepared):
        prepared.zero_grad()
        prepared(torch.ones(4, 6, dtype=torch.float64)).sum().backward()
    for name, parameter in prepared.named_parameters():
        assert parameter.grad is kept[name]
    assert (prepared[0].weight.grad == 2).all()
    assert (prepared[3].weight.grad == 3).all()


@pytest.mark.parametrize("wrong", ["numbers", "parameters"])
def test_what_it_does_not_give_back(prepared, wrong):
    """The negative case: draws from an own generator and changes of values are the caller's own doing."""
    own = torch.Generator().manual_seed(0)
    before = own.get_state().tolist() if wrong == "numbers" else prepared[0].weight.tolist()
    with undisturbed(prepared), torch.no_grad():
        torch.rand(3, generator=own)
        prepared[0].weight.add_(1)
    assert (own.get_state().tolist() if wrong == "numbers" else prepared[0].weight.tolist()) != before


def test_nests(prepared):
    with torch.random.fork_rng(devices=[]):
        before = state_of(prepared)
        with undisturbed(prepared):
            meddle(prepared)
            between = state_of(prepared)
            with undisturbed(prepared):
                prepared.zero_grad()
                torch.rand(5)
            assert state_of(prepared) == between
        assert state_of(prepared) == before
