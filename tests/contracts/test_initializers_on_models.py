"""What every initializer promises on every model. A new line in either table is tested here at once."""

import warnings

import pytest
import torch
from torch import nn

from zeroinit.init import INITIALIZERS, SymmetryWarning, hash_tensor, initialize_
from zeroinit.models import MODELS, build_model

INPUT_SHAPE = (3, 32, 32)
RANDOM = {"pytorch", "normal_bias", "uniform_bias"}

pytestmark = [
    pytest.mark.parametrize("initializer", sorted(INITIALIZERS)),
    pytest.mark.parametrize("name", sorted(MODELS)),
]


def initialized(name: str, initializer: str, seed: int):
    """The model, its record, and its parameters' identities and hashes before."""
    model = build_model(name, INPUT_SHAPE)
    before = {key: (id(p), p.data_ptr(), hash_tensor(p)) for key, p in model.named_parameters()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SymmetryWarning)
        record = initialize_(model, initializer, generator=torch.Generator().manual_seed(seed))
    return model, record, before


def hashes(model: nn.Module) -> dict[str, str]:
    return {name: hash_tensor(parameter) for name, parameter in model.named_parameters()}


def test_in_place(name, initializer):
    model, _, before = initialized(name, initializer, seed=11)
    for key, parameter in model.named_parameters():
        assert (id(parameter), parameter.data_ptr()) == before[key][:2]
        assert isinstance(parameter, nn.Parameter)
        assert parameter.requires_grad


def test_the_record_covers_every_parameter_and_tells_the_truth(name, initializer):
    model, record, before = initialized(name, initializer, seed=11)
    set_, untouched = {entry.name for entry in record.parameters}, {entry.name for entry in record.untouched}
    assert set_ | untouched == set(before)
    assert not set_ & untouched
    after = hashes(model)
    for entry in record.parameters:
        assert (entry.hash_before, entry.hash_after) == (before[entry.name][2], after[entry.name])
        assert entry.changed
        assert entry.rule
    for entry in record.untouched:
        assert after[entry.name] == before[entry.name][2]
        assert entry.reason
    shapes = {key: tuple(parameter.shape) for key, parameter in model.named_parameters()}
    assert {entry.name: entry.shape for entry in (*record.parameters, *record.untouched)} == shapes


def test_every_dense_and_convolutional_layer_is_set(name, initializer):
    model, record, _ = initialized(name, initializer, seed=11)
    layers = [key for key, module in model.named_modules() if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)]
    assert {f"{key}.weight" for key in layers} <= {entry.name for entry in record.parameters}
    if INITIALIZERS[initializer].weight.text == "0":
        assert not any(model.get_submodule(key).weight.any() for key in layers)


def test_deterministic(name, initializer):
    first, second = (hashes(initialized(name, initializer, seed=11)[0]) for _ in range(2))
    assert first == second
    if initializer in RANDOM:
        assert hashes(initialized(name, initializer, seed=12)[0]) != first


def test_forward_is_finite(name, initializer):
    model, _, _ = initialized(name, initializer, seed=11)
    images = torch.randn(2, *INPUT_SHAPE, generator=torch.Generator().manual_seed(1))
    assert model(images).isfinite().all()
