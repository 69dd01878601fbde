"""``initialize_`` changes values, never objects, on every kind of layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zeroinit._modules.layers import LAYER_TYPES
from zeroinit.init import INITIALIZERS, initialize_

EVERY_INITIALIZER = pytest.mark.parametrize(
    "name", sorted(name for name, entry in INITIALIZERS.items() if not entry.finish)
)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, steps: int) -> None:
    labels = torch.arange(len(inputs)) % 3
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


@EVERY_INITIALIZER
def test_parameters_keep_identity_and_memory(network, name, generator):
    before = [(id(parameter), parameter.data_ptr()) for parameter in network.parameters()]
    initialize_(network, name, generator=generator(0))
    assert [(id(parameter), parameter.data_ptr()) for parameter in network.parameters()] == before
    assert all(type(parameter) is nn.Parameter and parameter.requires_grad for parameter in network.parameters())


@EVERY_INITIALIZER
def test_every_parameter_of_the_layer_is_set(layer, name, generator):
    record = initialize_(layer, name, generator=generator(0))
    assert {entry.name for entry in record.parameters} == {"weight", "bias"}
    assert all(entry.changed for entry in record.parameters)


@pytest.mark.parametrize("name", ["normal_bias", "zero"])
def test_optimizer_built_before_trains_every_tensor_that_can_train(network, inputs, name, snapshot, generator):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    initialize_(network, name, generator=generator(0))
    before = snapshot(network)
    train(network, optimizer, inputs, steps=2)
    changed = {parameter for parameter, value in snapshot(network).items() if value != before[parameter]}
    assert changed == ({"3.bias"} if name == "zero" else set(before))


def test_an_optimizer_over_replaced_parameters_trains_nothing(snapshot, generator):
    """The negative case: what the test above would see if a ``Parameter`` were replaced."""
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.weight = nn.Parameter(torch.zeros_like(model.weight))
    model.bias = nn.Parameter(torch.randn(3, generator=generator(0)))
    before = snapshot(model)
    train(model, optimizer, torch.ones(5, 6), steps=2)
    assert snapshot(model) == before


@EVERY_INITIALIZER
def test_frozen_parameters_are_set_if_asked_and_stay_frozen(layer, name, generator):
    layer.requires_grad_(False)
    record = initialize_(layer, name, frozen="set", generator=generator(0))
    assert all(entry.changed and entry.was_frozen for entry in record.parameters)
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_gradients_buffers_and_mode_stay_as_they_were(generator):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    model(torch.ones(2, 3)).sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    initialize_(model, "normal_bias", generator=generator(0))
    assert all(torch.equal(p.grad, kept) for p, kept in zip(model.parameters(), gradients, strict=True))
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert not model.training


def test_memory_layout_is_kept(generator):
    model = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    initialize_(model, "pytorch", generator=generator(0))
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
    plain = nn.Conv2d(3, 8, 3)
    initialize_(plain, "pytorch", generator=generator(0))
    assert torch.equal(model.weight, plain.weight)


def test_the_kinds_under_test_cover_every_layer_type(layer_factories):
    assert {type(factory(2)) for factory in layer_factories.values()} == set(LAYER_TYPES)
