"""Which layers are set: ``include`` and ``exclude``."""

import pytest
from torch import nn

from zeroinit._common import InputError
from zeroinit.init import initialize_


@pytest.fixture
def model() -> nn.Module:
    body = nn.Sequential()
    for name in ("conv_1", "conv_2"):
        body.add_module(name, nn.Conv2d(2, 2, 1))
    return nn.ModuleDict({"body": body, "head": nn.Linear(2, 2), "extra_head": nn.Linear(2, 2)})


def layers(record) -> set[str]:
    return {entry.name.rpartition(".")[0] for entry in record.parameters}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"body.conv_1", "body.conv_2", "head", "extra_head"}),
        ({"include": "head"}, {"head"}),
        ({"include": "*head"}, {"head", "extra_head"}),
        ({"include": "body.*"}, {"body.conv_1", "body.conv_2"}),
        ({"include": "body.conv_?"}, {"body.conv_1", "body.conv_2"}),
        ({"include": "body.conv_[2-9]"}, {"body.conv_2"}),
        ({"include": ["head", "*_1"]}, {"head", "body.conv_1"}),
        ({"include": ("head", "*head")}, {"head", "extra_head"}),
        ({"exclude": "head"}, {"body.conv_1", "body.conv_2", "extra_head"}),
        ({"exclude": ["body.*", "extra*"]}, {"head"}),
        ({"exclude": []}, {"body.conv_1", "body.conv_2", "head", "extra_head"}),
        ({"include": "body.*", "exclude": "*_1"}, {"body.conv_2"}),
    ],
)
def test_chosen_layers_and_no_others_are_set(model, settings, expected, snapshot, generator):
    before = snapshot(model)
    record = initialize_(model, "constant_bias", generator=generator(0), **settings)
    assert layers(record) == expected
    changed = {name for name, value in snapshot(model).items() if value != before[name]}
    assert {name.rpartition(".")[0] for name in changed} == expected
    assert {entry.name for entry in record.untouched} == set(before) - changed
    assert {entry.reason for entry in record.untouched} <= {"its layer was not chosen"}


@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(model, argument, snapshot):
    before = snapshot(model)
    with pytest.raises(
        InputError,
        match=rf"{argument}='body.conv1': matches no dense, convolutional or attention layer.*; did you mean "
        r"'body.conv_1'\? The (layers|modules) are 'body.conv_1', 'body.conv_2', 'head', 'extra_head'$",
    ):
        initialize_(model, "zero", **{argument: ["head", "body.conv1"]})
    assert snapshot(model) == before


def test_patterns_are_about_whole_names_and_their_case(model):
    for pattern in ("HEAD", "hea", "conv_1", "head.weight", "body"):
        with pytest.raises(InputError, match="matches no dense, convolutional or attention layer"):
            initialize_(model, "zero", include=pattern)


def test_a_long_list_of_layers_is_cut():
    with pytest.raises(InputError, match=r"'19', \.\.\.$"):
        initialize_(nn.Sequential(*[nn.Linear(1, 1) for _ in range(30)]), "zero", include="x")


@pytest.mark.parametrize("settings", [{"include": "head", "exclude": "*head"}, {"include": []}, {"exclude": "*"}])
def test_nothing_left_to_set_is_an_error(model, settings, snapshot):
    before = snapshot(model)
    with pytest.raises(InputError, match=r"include=.*, exclude=.*: together they leave no layer to initialize"):
        initialize_(model, "zero", **settings)
    assert snapshot(model) == before


def test_what_cannot_be_set_may_be_excluded(generator):
    model = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2))
    record = initialize_(model, "zero", exclude="1", generator=generator(0))
    assert layers(record) == {"0"}
    assert [(entry.name, entry.shape) for entry in record.untouched] == [("1.weight", ()), ("1.bias", ())]
