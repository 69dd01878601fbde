"""``scale="auto"``: a factor for each layer from the shape of the next, the numbers in the record, errors."""

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.models import MODELS, build_model
from zeroinit.init import initialize_
from zeroinit.init.auto_scale import LAST_SCALE, NORM, auto_scales


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, 2500), nn.ReLU(), nn.Linear(2500, 100), nn.ReLU(), nn.Linear(100, 3))


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    return {path: module for path, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}


def test_factors_come_from_the_next_layers_fan_in():
    model = network()
    assert auto_scales(model, layers_of(model)) == pytest.approx({"0": 3 / 50, "2": 3 / 10, "4": 0.01})


def test_a_dense_layer_after_a_convolution_counts_positions():
    model = build_model("mnist_cnn", (1, 28, 28))
    found = list(auto_scales(model, layers_of(model)).values())
    assert found == pytest.approx([NORM / 400**0.5, NORM / 25088**0.5, LAST_SCALE])


def test_narrow_layers_stay_at_one():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    assert auto_scales(model, layers_of(model)) == {"0": 1.0, "1": LAST_SCALE}


@pytest.mark.parametrize("units", [100, 900, 10_000])
def test_constant_features_have_one_size_at_any_width(units):
    """The theorem behind the rule: the sum of b^2 is NORM^2 whatever the width; with biases x1 it grows with it."""
    model = nn.Sequential(nn.Linear(4, units), nn.Identity(), nn.Linear(units, 2))
    generator = torch.Generator().manual_seed(0)
    initialize_(model, "normal_bias", scale="auto", generator=generator)
    assert (model[0].bias ** 2).sum().item() == pytest.approx(NORM**2, rel=0.5)
    initialize_(model, "normal_bias", generator=generator)
    assert (model[0].bias ** 2).sum().item() == pytest.approx(units, rel=0.5)


def test_values_are_those_of_scale_1_times_the_factor_and_weights_are_zero():
    automatic, plain = network(), network()
    initialize_(automatic, "uniform_bias", scale="auto", generator=torch.Generator().manual_seed(1))
    initialize_(plain, "uniform_bias", generator=torch.Generator().manual_seed(1))
    for layer, factor in ((0, 3 / 50), (2, 3 / 10), (4, 0.01)):
        assert torch.allclose(automatic[layer].bias, plain[layer].bias * factor)
        assert not automatic[layer].weight.any()


def test_the_record_holds_the_numbers():
    record = initialize_(network(), "normal_bias", scale="auto")
    assert record.scale == record.to_dict()["scale"] == "auto"
    rules = {entry.name: entry.rule for entry in record.parameters if entry.name.endswith("bias")}
    assert rules == {"0.bias": "N(0, 1) * 0.06", "2.bias": "N(0, 1) * 0.3", "4.bias": "N(0, 1) * 0.01"}
    assert "normal_bias (scale auto)" in str(record)


def test_layers_that_are_not_chosen_still_count_as_next():
    record = initialize_(network(), "normal_bias", scale="auto", exclude="2")
    assert [entry.rule for entry in record.parameters if entry.name == "0.bias"] == ["N(0, 1) * 0.06"]


def test_betas_have_the_factor_of_what_they_feed():
    model = nn.Sequential(nn.Linear(4, 100), nn.BatchNorm1d(100), nn.Linear(100, 2))
    for probe in (None, torch.randn(8, 4)):
        record = initialize_(model, "normal_bias", scale="auto", norm_aware=True, probe=probe)
        assert {entry.name: entry.rule for entry in record.parameters}["1.bias"] == "N(0, 1) * 0.3"


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"resnet101", "resnet101_standard", "resnet50"}))
def test_every_network_gets_factors_between_0_and_1(name):
    model = build_model(name, (3, 32, 32))
    found = auto_scales(model, layers_of(model))
    assert list(found) == list(layers_of(model))
    assert all(0 < factor <= 1 for factor in found.values())


@pytest.mark.parametrize("name", ["pytorch", "zero"])
def test_initializers_without_drawn_biases_alone_are_refused(name):
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(
        InputError,
        match=r"^scale='auto': works only with .* \(constant_bias, .*\); give a number for initializer '\w+'",
    ):
        initialize_(model, name, scale="auto")
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("scale", ["automatic", "1", ""])
def test_another_word_is_refused(scale):
    with pytest.raises(InputError, match=rf"^scale='{scale}': must be a finite number of at least 0, or 'auto'$"):
        initialize_(network(), "normal_bias", scale=scale)
