"""The record says what was set, what was not, and why."""

import json
import warnings
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from zeroinit.init import INITIALIZERS, SymmetryWarning, hash_tensor, initialize_, make_initializer


def test_rules_shapes_and_hashes(generator):
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4, 2))
    before = {name: hash_tensor(parameter) for name, parameter in model.named_parameters()}
    record = initialize_(model, "uniform_bias", scale=100.0, generator=generator(0))
    assert (record.name, record.scale) == ("uniform_bias", 100.0)
    assert [(entry.name, entry.shape, entry.rule) for entry in record.parameters] == [
        ("0.weight", (4, 3, 5, 5), "0"),
        ("0.bias", (4,), "U[0, 1) * 100"),
        ("2.weight", (2, 4), "0"),
        ("2.bias", (2,), "U[0, 1) * 100"),
    ]
    parameters = dict(model.named_parameters())
    for entry in record.parameters:
        assert entry.hash_before == before[entry.name]
        assert entry.hash_after == hash_tensor(parameters[entry.name])
        assert entry.changed
    assert record.untouched == record.without_bias == ()


def test_what_was_set_to_its_old_values_has_not_changed():
    model = nn.Linear(2, 2)
    initialize_(model, "zero")
    assert not any(entry.changed for entry in initialize_(model, "zero").parameters)


def test_print(generator):
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2, bias=False))
    with pytest.warns(SymmetryWarning):
        record = initialize_(model, "normal_bias", generator=generator(0))
    assert str(record) == "\n".join(
        [
            "normal_bias (scale 1): 3 set, 2 left",
            "  0.weight  3x4  0",
            "  0.bias    3    N(0, 1)",
            "  2.weight  2x3  0",
            "  1.weight  3    left as it was: no rule for BatchNorm1d",
            "  1.bias    3    left as it was: no rule for BatchNorm1d",
            "  without a bias: 2",
        ]
    )


def test_what_is_printed_has_no_names_of_wrappers():
    """In the record's data, names are those of the model."""
    inner = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4))
    model = nn.Sequential(torch.compile(inner, backend="eager"), nn.Linear(4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SymmetryWarning)
        record = initialize_(model, "normal_bias", seed=0, norm_aware=True)
    assert record.parameters[0].name == "0._orig_mod.0.weight" in dict(model.named_parameters())
    assert "_orig_mod" not in str(record) + record._repr_html_()
    assert "  0.0.weight " in str(record)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (make_initializer("kaiming_normal"), "Initializer('kaiming_normal': weights N(0, 2/fan_in), biases 0)"),
        (
            make_initializer("kaiming_normal", mode="fan_out"),
            "Initializer('kaiming_normal', mode='fan_out': weights N(0, 2/fan_out), biases 0)",
        ),
        (INITIALIZERS["normal_bias"], "Initializer('normal_bias': weights 0, biases N(0, 1))"),
    ],
)
def test_the_repr_of_an_initializer_is_one_line(given, text):
    assert repr(given) == text


def test_to_dict_survives_json(generator):
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2, bias=False))
    with pytest.warns(SymmetryWarning):
        content = initialize_(model, "normal_bias", scale=0.01, generator=generator(0)).to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["parameters"][0]["shape"] == [3, 4]
    reason = "no rule for LayerNorm"
    assert content["untouched"][0] == {"name": "1.weight", "shape": [3], "reason": reason, "aliases": []}
    assert content["without_bias"] == ["2"]


def test_tied_weights_are_set_once_and_listed_under_all_names(generator):
    model = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "first": nn.Linear(3, 5), "second": nn.Linear(3, 5)})
    model["first"].weight = model["embedding"].weight
    model["second"].weight = model["embedding"].weight
    record = initialize_(model, "pytorch", tied="set", generator=generator(0))
    by_name = {entry.name: entry for entry in record.parameters}
    assert set(by_name) == {"embedding.weight", "first.bias", "second.bias"}
    assert by_name["embedding.weight"].aliases == ("first.weight", "second.weight")
    assert by_name["first.bias"].aliases == ()
    assert model["embedding"].weight is model["first"].weight is model["second"].weight
    assert hash_tensor(model["second"].weight) == by_name["embedding.weight"].hash_after


def test_a_layer_used_twice_is_set_once(generator):
    shared = nn.Linear(3, 3)
    record = initialize_(nn.Sequential(shared, nn.ReLU(), shared), "normal_bias", generator=generator(0))
    assert [(entry.name, entry.aliases) for entry in record.parameters] == [
        ("0.weight", ("2.weight",)),
        ("0.bias", ("2.bias",)),
    ]
    alone = nn.Linear(3, 3)
    initialize_(alone, "normal_bias", generator=generator(0))
    assert torch.equal(shared.bias, alone.bias)


@pytest.mark.parametrize(
    ("module", "reasons"),
    [
        (nn.BatchNorm2d(3), {"weight": "BatchNorm2d", "bias": "BatchNorm2d"}),
        (nn.GroupNorm(1, 3), {"weight": "GroupNorm", "bias": "GroupNorm"}),
        (nn.LayerNorm(3), {"weight": "LayerNorm", "bias": "LayerNorm"}),
        (nn.Embedding(4, 3), {"weight": "Embedding"}),
        (nn.PReLU(), {"weight": "PReLU"}),
        (nn.GRUCell(1, 1), dict.fromkeys(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), "GRUCell")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_parameters_without_a_rule_are_left_and_reported(module, reasons, snapshot, generator):
    model = nn.ModuleDict({"other": module, "dense": nn.Linear(4, 4)})
    before = snapshot(model)
    record = initialize_(model, "constant_bias", generator=generator(0))
    left = {f"other.{name}": f"no rule for {owner}" for name, owner in reasons.items()}
    assert {entry.name: entry.reason for entry in record.untouched} == left
    after = snapshot(model)
    assert all(after[name] == before[name] for name in left)
    assert {"dense.weight", "dense.bias"} <= {entry.name for entry in record.parameters}


def test_a_parameter_of_the_model_itself_is_left_and_reported(generator):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(2.0))
            self.dense = nn.Linear(2, 2)

    record = initialize_(Scaled(), "zero", generator=generator(0))
    assert [(entry.name, entry.shape, entry.reason) for entry in record.untouched] == [
        ("gain", (), "no rule for Scaled")
    ]
    assert "  gain          scalar  left as it was: no rule for Scaled" in str(record)


@pytest.mark.parametrize("name", ["normal_bias", "uniform_bias", "constant_bias"])
def test_layers_without_a_bias_are_listed_and_warned_of(name, generator):
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3), nn.Conv1d(3, 3, 1, bias=False))
    message = (
        rf"{name}: 2 of 3 layers have no bias, so all their units start identical: '0', '2'; "
        "build them with bias=True or exclude them"
    )
    with pytest.warns(SymmetryWarning, match=message):
        record = initialize_(model, name, generator=generator(0))
    assert record.without_bias == ("0", "2")


def test_a_long_list_of_layers_without_a_bias_is_cut(generator):
    model = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in range(7)])
    with pytest.warns(SymmetryWarning, match=r"7 of 7 .*'4', \.\.\.; build"):
        initialize_(model, "normal_bias", generator=generator(0))


@pytest.mark.parametrize("name", ["pytorch", "zero"])
def test_no_warning_where_the_bias_breaks_nothing(name, generator):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = initialize_(nn.Linear(3, 3, bias=False), name, generator=generator(0))
    assert record.without_bias == ("",)
    assert "without a bias: (the model itself)" in str(record)


def test_no_warning_for_excluded_layers(generator):
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3))
    assert initialize_(model, "normal_bias", exclude="0", generator=generator(0)).without_bias == ()


def test_a_model_that_is_one_layer(generator):
    model = nn.Linear(4, 3)
    record = initialize_(model, "normal_bias", generator=generator(0))
    assert [entry.name for entry in record.parameters] == ["weight", "bias"]
    assert not model.weight.any()
    assert initialize_(model, "zero", include="").untouched == ()


def test_a_subclass_of_a_layer_is_set(generator):
    class Dense(nn.Linear):
        pass

    model = Dense(2, 2)
    initialize_(model, "zero", generator=generator(0))
    assert not model.weight.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int8])
def test_hashes_tell_values_apart_and_nothing_else(dtype):
    values = torch.arange(6).to(dtype)
    assert hash_tensor(values) == hash_tensor(values.clone().reshape(2, 3))
    assert hash_tensor(values) == hash_tensor(torch.stack([values, values], dim=1)[:, 0])
    assert hash_tensor(values) != hash_tensor(values.flip(0))


def test_hashes_see_the_sign_of_zero():
    assert hash_tensor(torch.tensor(0.0)) != hash_tensor(torch.tensor(-0.0))


def test_the_repr_is_one_line_and_the_html_a_table_with_escaped_names(generator):
    model = nn.Sequential()
    model.add_module("<b>", nn.Linear(3, 2, bias=False))
    model.add_module("norm", nn.LayerNorm(2))
    with pytest.warns(SymmetryWarning):
        record = initialize_(model, "normal_bias", generator=generator())
    assert (
        repr(record)
        == f"InitRecord({str(record).splitlines()[0]})"
        == "InitRecord(normal_bias (scale 1): 1 set, 2 left)"
    )
    html = ElementTree.fromstring(record._repr_html_())
    assert [row[0].text for row in html.find("table").find("tbody")] == ["<b>.weight", "norm.weight", "norm.bias"]
    assert html.find("ul")[0].text == "without a bias: <b>"
    assert "<b>.weight" not in record._repr_html_()
