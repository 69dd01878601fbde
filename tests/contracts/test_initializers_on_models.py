"""What every initializer promises on every model. A new line in either table is tested here at once."""

import copy
import warnings
from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch
from torch import nn

from zeroinit.bench.models import MODELS, build_model
from zeroinit.init import INITIALIZERS, InitRecord, SymmetryWarning, hash_tensor, initialize_

INPUT_SHAPE = (3, 32, 32)
RANDOM = {name for name, entry in INITIALIZERS.items() if entry.is_random}
BIASES_ALONE = {"normal_bias", "uniform_bias", "constant_bias"}
ON_EVERY_MODEL = {"pytorch", "zero", *BIASES_ALONE}
"""The others are tried on three networks by default: dense, convolutional, with residual branches and norms."""
FEW = {"mnist_fnn", "mnist_cnn", "resnet50_quarter"}


@dataclass(frozen=True)
class Initialized:
    """A model that was initialized with seed 11; its parameters' identities and hashes before, and hashes after."""

    model: nn.Module
    initializer: str
    record: InitRecord
    warned: bool
    identities: dict[str, tuple[int, int]]
    before: dict[str, str]
    after: dict[str, str]


def hashes(model: nn.Module) -> dict[str, str]:
    return {name: hash_tensor(parameter) for name, parameter in model.named_parameters()}


def initialize(model: nn.Module, initializer: str, seed: int, include: str | None = None) -> tuple[InitRecord, bool]:
    """The record, and whether a ``SymmetryWarning`` was given."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SymmetryWarning)
        record = initialize_(model, initializer, generator=torch.Generator().manual_seed(seed), include=include)
    return record, bool(caught)


def values(record: InitRecord) -> dict[str, str]:
    return {entry.name: entry.hash_after for entry in record.parameters}


# What takes the time is building and hashing forty million parameters: cases of one model share the first values, and
# tests of one case share the model.
@lru_cache(maxsize=1)
def build_once(name: str) -> tuple[nn.Module, dict[str, str]]:
    model = build_model(name, INPUT_SHAPE)
    return model, hashes(model)


# They stack more of the blocks that ResNet-18 and 50 have.
DEEP = {"resnet34", "resnet34_standard", "resnet101", "resnet101_standard"}
LARGE = {"resnet50", "resnet50_standard"}
"""Of the first there is a quarter with the same layers; they take a second with each initializer, and have one here."""


def is_slow(name: str, initializer: str) -> bool:
    if initializer not in ON_EVERY_MODEL and name not in FEW:
        return True
    return name in DEEP or (name in LARGE and initializer != "normal_bias")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((name, initializer), marks=[pytest.mark.slow] * is_slow(name, initializer))
        for name in sorted(MODELS)
        for initializer in sorted(name for name, entry in INITIALIZERS.items() if not entry.finish)
    ],
    ids="-".join,
)
def case(request) -> Initialized:
    name, initializer = request.param
    original, before = build_once(name)
    model = copy.deepcopy(original)
    identities = {key: (id(parameter), parameter.data_ptr()) for key, parameter in model.named_parameters()}
    record, warned = initialize(model, initializer, seed=11)
    return Initialized(model, initializer, record, warned, identities, before, hashes(model))


def test_in_place(case):
    assert set(case.identities) == {key for key, _ in case.model.named_parameters()}
    for key, parameter in case.model.named_parameters():
        assert (id(parameter), parameter.data_ptr()) == case.identities[key]
        assert isinstance(parameter, nn.Parameter)
        assert parameter.requires_grad


def test_the_record_covers_every_parameter_and_tells_the_truth(case):
    record, before, after = case.record, case.before, case.after
    set_, untouched = {entry.name for entry in record.parameters}, {entry.name for entry in record.untouched}
    assert set_ | untouched == set(before)
    assert not set_ & untouched
    for entry in record.parameters:
        assert (entry.hash_before, entry.hash_after) == (before[entry.name], after[entry.name])
        assert entry.changed or entry.rule == ("1" if entry.name.endswith("weight") else "0")  # a norm, as built
        assert entry.rule
    for entry in record.untouched:
        assert after[entry.name] == before[entry.name]
        assert entry.reason
    shapes = {key: tuple(parameter.shape) for key, parameter in case.model.named_parameters()}
    assert {entry.name: entry.shape for entry in (*record.parameters, *record.untouched)} == shapes


def test_every_dense_and_convolutional_layer_is_set(case):
    layers = {
        key: module
        for key, module in case.model.named_modules()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
    }
    assert {f"{key}.weight" for key in layers} <= {entry.name for entry in case.record.parameters}
    if INITIALIZERS[case.initializer].weight.text == "0":
        assert not any(layer.weight.any() for layer in layers.values())


def test_layers_without_a_bias_are_recorded_and_warned_of(case):
    without = tuple(
        key
        for key, module in case.model.named_modules()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and module.bias is None
    )
    assert case.record.without_bias == without
    assert case.warned == (bool(without) and case.initializer in BIASES_ALONE)


def test_deterministic(case):
    """Other values in between, so that the same ones do not come about by leaving everything as it was."""
    last = case.record.parameters[-1].name.rpartition(".")[0]
    first, other = (values(initialize(case.model, case.initializer, seed, include=last)[0]) for seed in (11, 12))
    assert (first != other) == (case.initializer in RANDOM)
    with torch.no_grad():
        for entry in case.record.parameters:
            case.model.get_parameter(entry.name).fill_(0.5)
    assert values(initialize(case.model, case.initializer, seed=11)[0]) == values(case.record)


def test_forward_is_finite(case):
    images = torch.randn(2, *INPUT_SHAPE, generator=torch.Generator().manual_seed(1))
    assert case.model(images).isfinite().all()
