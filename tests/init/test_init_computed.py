"""Weights under weight norm and pruning are set through what they are computed from."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from zeroinit._common import InputError
from zeroinit.init import INITIALIZERS, InitWarning, initialize_

EVERY_INITIALIZER = pytest.mark.parametrize(
    "name", sorted(name for name, entry in INITIALIZERS.items() if not entry.others)
)


def older(layer: nn.Module, **settings) -> nn.Module:
    """The older weight norm, which torch calls deprecated and audio models still use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer, **settings)


NORMS = {"newer": parametrizations.weight_norm, "older": older}
PARTS = {
    "newer": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    "older": ("weight_g", "weight_v"),
}
LAYERS = {
    "dense": (lambda: nn.Linear(6, 4), (3, 6)),
    "conv": (lambda: nn.Conv1d(4, 6, 3, groups=2), (2, 4, 5)),
    "transposed": (lambda: nn.ConvTranspose1d(4, 6, 3), (2, 4, 5)),
}


@EVERY_INITIALIZER
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("age", NORMS)
def test_a_weight_under_weight_norm_is_that_of_the_plain_layer(age, kind, dim, name, generator):
    make, shape = LAYERS[kind]
    layer, plain = NORMS[age](make(), dim=dim), make()
    record = initialize_(layer, name, generator=generator(1))
    initialize_(plain, name, generator=generator(1))
    torch.testing.assert_close(layer.weight.detach(), plain.weight.detach())
    assert layer.weight.requires_grad  # so that a penalty on it trains before the first pass
    inputs = torch.randn(shape, generator=generator(2))
    torch.testing.assert_close(layer(inputs), plain(inputs))
    norm, direction = PARTS[age]
    rules = {entry.name: entry.rule for entry in record.parameters}
    reasons = {entry.name: entry.reason for entry in record.untouched}
    if name == "pytorch":
        text = "U(-1/sqrt(fan_in), 1/sqrt(fan_in))"
        assert (rules[norm], rules[direction], reasons) == (f"norm of {text}", text, {})
    else:
        assert rules[norm] == "0"
        assert reasons == {direction: "the direction of a weight whose norm is 0"}


@pytest.mark.parametrize("age", NORMS)
def test_zero_weights_under_weight_norm_train(age, generator):
    """With v = 0, too, the weight would be 0 / 0."""
    layer = NORMS[age](nn.Linear(6, 4))
    initialize_(layer, "normal_bias", generator=generator(1))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.ones(3, 6)).square().sum().backward()
    optimizer.step()
    layer(torch.ones(3, 6))
    assert layer.weight.isfinite().all()
    assert layer.weight.any()


@EVERY_INITIALIZER
def test_coverage_counts_the_weight_and_not_its_norm(name, generator):
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 4)), nn.GRUCell(2, 1))
    initialize_(model, name, generator=generator(1))  # 24 of 33; with g alone 4 of 13


def test_a_scale_of_zero_is_a_zero_weight(generator):
    layer = parametrizations.weight_norm(nn.Linear(6, 4))
    initialize_(layer, "pytorch", scale=0.0, generator=generator(1))
    assert not layer.weight.any()


@EVERY_INITIALIZER
@pytest.mark.parametrize("times", [1, 2])
def test_a_pruned_weight_keeps_its_mask(name, times, generator):
    layer, plain = nn.Linear(6, 4), nn.Linear(6, 4)
    for _ in range(times):
        prune.random_unstructured(layer, "weight", amount=5)
    prune.random_unstructured(layer, "bias", amount=1)
    masks = {part: getattr(layer, f"{part}_mask").clone() for part in ("weight", "bias")}
    record = initialize_(layer, name, generator=generator(1))
    initialize_(plain, name, generator=generator(1))
    assert {entry.name for entry in record.parameters} == {"weight_orig", "bias_orig"}
    for part, mask in masks.items():
        assert torch.equal(getattr(layer, f"{part}_mask"), mask)
        assert torch.equal(getattr(layer, f"{part}_orig"), getattr(plain, part))
        assert torch.equal(getattr(layer, part), getattr(plain, part) * mask)
    assert torch.equal(layer(torch.ones(1, 6)), nn.functional.linear(torch.ones(1, 6), layer.weight, layer.bias))


@pytest.mark.parametrize("frozen", ["all", "norm"])
def test_frozen_parts_are_kept(frozen, snapshot, generator):
    layer = parametrizations.weight_norm(nn.Linear(6, 4))
    parts = layer.parametrizations.weight
    for each in (parts.original0, parts.original1) if frozen == "all" else (parts.original0,):
        each.requires_grad_(False)
    before = snapshot(layer)
    record = initialize_(layer, "pytorch", generator=generator(1))
    assert {entry.name for entry in record.parameters} == {"bias"}
    assert {entry.reason[:6] for entry in record.untouched} == {"frozen"}
    assert {name for name, value in snapshot(layer).items() if value != before[name]} == {"bias"}
    assert len(initialize_(layer, "pytorch", frozen="set", generator=generator(1)).parameters) == 3


def test_shared_parts_are_kept(generator):
    model = nn.Sequential(*(parametrizations.weight_norm(nn.Linear(6, 6)) for _ in range(2)))
    model[1].parametrizations.weight.original1 = model[0].parametrizations.weight.original1
    before = model[0].weight.clone()
    with pytest.warns(InitWarning, match="shared by '0.parametrizations.weight.original1'"):
        record = initialize_(model, "pytorch", generator=generator(1))
    assert {entry.name for entry in record.parameters} == {"0.bias", "1.bias"}
    assert torch.equal(model[0].weight, before)


def test_a_layer_with_two_names_is_set_once(generator):
    layer = parametrizations.weight_norm(nn.Linear(6, 6))
    record = initialize_(nn.ModuleDict({"a": layer, "b": layer}), "pytorch", generator=generator(1))
    assert [entry.name for entry in record.parameters][:2] == [
        f"a.parametrizations.weight.original{each}" for each in (0, 1)
    ]
    assert all(len(entry.aliases) == 1 for entry in record.parameters)


def test_a_probe_sees_the_weights_that_the_model_gets(generator):
    model = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4))
    images = torch.randn(4, 3, 6, 6, generator=generator(2))
    record = initialize_(model, "normal_bias", norm_aware=True, probe=images, generator=generator(1))
    assert record.norms[0].reason == "batch norm: 4 of 4 channels constant"


def test_a_weight_that_a_user_computes_is_refused():
    layer = nn.Linear(2, 2)
    half = layer._parameters.pop("weight")
    layer.weight = 2 * half
    with pytest.raises(
        InputError, match="weight: is computed by other code and cannot be set in place; exclude the layer"
    ):
        initialize_(layer, "zero")


class Doubled(nn.Module):
    """A parametrization with a right inverse, and a memory of how often it ran."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, value):
        self.calls += 1
        return 2 * value

    def right_inverse(self, value):
        return value / 2


class Reshaped(nn.Module):
    """The weight is stored flat."""

    def forward(self, value):
        return value.reshape(3, 4)

    def right_inverse(self, value):
        return value.reshape(-1)


@pytest.mark.parametrize("make", [Doubled, Reshaped])
@pytest.mark.parametrize("name", ["pytorch", "normal_bias", "orthogonal", "zer_o"])
def test_a_weight_is_set_through_parametrizations_with_a_right_inverse(make, name):
    layer, plain = nn.Linear(4, 3), nn.Linear(4, 3)
    nn.utils.parametrize.register_parametrization(layer, "weight", make())
    original = layer.parametrizations.weight.original
    record = initialize_(layer, name, seed=0)
    initialize_(plain, name, seed=0)
    torch.testing.assert_close(layer.weight.detach(), plain.weight.detach())
    assert layer.parametrizations.weight.original is original
    assert "parametrizations.weight.original" in {entry.name for entry in record.parameters}
