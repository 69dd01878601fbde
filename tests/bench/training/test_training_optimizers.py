"""Which optimizer gets which tensor; momentum and learning rate reach it."""

from functools import lru_cache

import pytest
import torch
from torch import nn

from zeroinit.bench.models import MODELS
from zeroinit.bench.training import OPTIMIZERS, build_optimizers, fit


def updated_by(optimizers, kind: type) -> set[int]:
    return {
        id(parameter)
        for optimizer in optimizers
        if type(optimizer) is kind
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@lru_cache(maxsize=1)
def built_once(name: str) -> nn.Module:
    """The cases of one network follow each other and do not change it; their values play no part."""
    with torch.device("meta"):
        return MODELS[name]((1, 8, 8), 3, "elu")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_belongs_to_exactly_one(optimizer, name):
    parameters = list(built_once(name).parameters())
    optimizers = build_optimizers(parameters, optimizer, learning_rate=0.1)
    owned = [id(each) for one in optimizers for group in one.param_groups for each in group["params"]]
    assert sorted(owned) == sorted(id(parameter) for parameter in parameters)
    assert {group["lr"] for one in optimizers for group in one.param_groups} == {0.1}


def test_muon_takes_the_matrices(make_model):
    model = make_model("conv")
    optimizers = build_optimizers(list(model.parameters()), "muon", learning_rate=0.1, momentum=0.9)
    convolution, dense = model[1], model[4]
    assert updated_by(optimizers, torch.optim.Muon) == {id(dense.weight)}
    assert updated_by(optimizers, torch.optim.AdamW) == {
        id(convolution.weight),
        id(convolution.bias),
        id(dense.bias),
    }


def test_muon_update_is_orthogonal(model, train, generator):
    """One step without momentum moves every singular direction of a matrix about as far; SGD's does not."""
    spreads = {}
    for optimizer in ("muon", "sgd"):
        before = model[0].weight.detach().clone()
        fit(model, train, epochs=1, batch_size=23, optimizer=optimizer, generator=generator(0))
        values = torch.linalg.svdvals(model[0].weight.detach() - before)
        spreads[optimizer] = float(values.max() / values.min())
    assert spreads["muon"] < 3 < spreads["sgd"]


def test_muon_moves_others_as_adamw_without_decay_does(make_model, train, generator):
    """AdamW with its own weight decay, or SGD, would move the convolution's weight elsewhere in the first step."""
    moved = {}
    for optimizer in ("muon", "adam", "adamw", "sgd"):
        model = make_model("conv")
        fit(model, train, epochs=1, batch_size=23, optimizer=optimizer, generator=generator(0))
        moved[optimizer] = model.state_dict()
    for name in ("1.weight", "1.bias", "4.bias"):
        assert torch.allclose(moved["muon"][name], moved["adam"][name], rtol=1e-12, atol=0)
        assert not torch.allclose(moved["muon"][name], moved["sgd"][name], rtol=1e-6, atol=0)
    assert not torch.allclose(moved["muon"]["1.weight"], moved["adamw"]["1.weight"], rtol=1e-9, atol=0)
    assert not torch.allclose(moved["muon"]["4.weight"], moved["adam"]["4.weight"], rtol=1e-3, atol=0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_model_with_only_biases(make_model, train, generator, optimizer):
    model = make_model("biases")
    labels = torch.zeros_like(train[1])
    history = fit(model, (train[0], labels), epochs=3, optimizer=optimizer, generator=generator(0))
    assert (model.bias != 0).all()
    assert history.train_loss[0] > history.train_loss[1] > history.train_loss[2]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_model_with_only_matrices(train, generator, optimizer):
    model = nn.Linear(6, 3, bias=False).double()
    history = fit(model, train, epochs=3, optimizer=optimizer, generator=generator(0))
    assert history.train_loss[0] > history.train_loss[1] > history.train_loss[2]


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "muon"])
def test_momentum_has_an_effect(make_model, train, snapshot, generator, optimizer):
    results = []
    for momentum in (0.0, 0.0, 0.9):
        model = make_model()
        fit(model, train, epochs=3, optimizer=optimizer, momentum=momentum, generator=generator(0))
        results.append(snapshot(model))
    assert results[0] == results[1] != results[2]


def test_adam_forgets_the_scale_of_the_loss_and_sgd_does_not(make_model, train, generator):
    """Why the paper's sum over the batch does no harm with Adam: summed or averaged, its first steps are the same."""
    distances = {}
    for optimizer in ("adam", "sgd"):
        ends = []
        for reduction in ("sum", "mean"):
            model = make_model()
            settings = {"epochs": 2, "batch_size": 23, "optimizer": optimizer, "reduction": reduction}
            fit(model, train, generator=generator(0), **settings)
            ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        start = torch.cat([parameter.detach().flatten() for parameter in make_model().parameters()])
        distances[optimizer] = float((ends[0] - ends[1]).norm() / (ends[0] - start).norm())
    assert distances["adam"] < 1e-3
    assert distances["sgd"] > 0.5
