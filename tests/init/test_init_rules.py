"""Rules: patterns over names, the last one decides, nothing is overlooked, and they come back from a record."""

import dataclasses
import functools
import inspect
import json
import sys
from fnmatch import fnmatch

import pytest
import torch
from torch import nn

from zeroinit._common import InputError
from zeroinit.init import INITIALIZERS, initialize, initialize_, make_initializer, plan


def build() -> nn.ModuleDict:
    def block() -> nn.ModuleDict:
        return nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2), "mlp": nn.Linear(8, 8)})

    blocks = nn.ModuleList([block(), block()])
    return nn.ModuleDict({"stem": nn.Conv1d(3, 8, 3), "blocks": blocks, "head": nn.Linear(8, 4)})


RULES = {"stem": "kaiming_normal", "blocks.*.attn": "xavier_uniform", "head": "zeros"}


def set_by(record) -> dict[str, str]:
    return {entry.name: entry.rule for entry in record.parameters}


def test_each_part_is_set_by_its_rule_and_the_rest_is_listed():
    model = build()
    mlp = model["blocks"][0]["mlp"].weight.detach().clone()
    record = initialize_(model, RULES, seed=0, strict=False, tied="keep", exclude=None)
    rules = set_by(record)
    assert rules["stem.weight"] == "N(0, 2/fan_in)"
    for number in (0, 1):
        for name in ("in_proj_weight", "out_proj.weight"):
            assert rules[f"blocks.{number}.attn.{name}"] == "U(-a, a), a^2 = 3 * 1/fan_avg"
    assert not model["head"].weight.any()
    assert torch.equal(model["blocks"][0]["mlp"].weight, mlp)
    assert {entry.name for entry in record.untouched} == {
        f"blocks.{number}.mlp.{name}" for number in (0, 1) for name in ("weight", "bias")
    }


def test_the_last_pattern_decides_also_for_one_parameter():
    model = build()
    record = initialize_(model, {"*": "zeros", "head": "lecun_normal", "head.bias": "constant_bias"}, seed=0)
    assert model["head"].weight.any()
    assert model["head"].bias.tolist() == [1.0] * 4
    assert not model["stem"].weight.any()
    assert record.untouched == ()
    initialize_(model, {"head": "lecun_normal", "*": "zeros"}, seed=0)
    assert not model["head"].weight.any()


def test_to_a_dictionary_and_back():
    model, again = build(), build()
    rules = {"*": {"name": "kaiming_normal", "mode": "fan_out"}, "head": make_initializer("sparse", sparsity=0.5)}
    record = initialize_(model, rules, seed=2)
    stored = json.loads(json.dumps(record.to_dict()))
    assert stored["rules"] == {
        "*": {"name": "kaiming_normal", "mode": "fan_out"},
        "head": {"name": "sparse", "sparsity": 0.5},
    }
    initialize_(again, stored["rules"], seed=stored["seed"])
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))
    assert "rules" not in initialize_(model, "zeros").to_dict()


def tenfold(tensor, generator, factor=10.0, shift=(0, 0)):
    tensor.uniform_(shift[0], 1, generator=generator).mul_(factor)


REPLAYED = {
    "one pattern": {"*": "xavier_normal"},
    "one pattern with options": {"*": {"name": "kaiming_normal", "mode": "fan_out"}},
    "torch's with arguments": {"*": functools.partial(nn.init.normal_, std=0.02), "head": "zeros"},
    "own with arguments": {"*": "zeros", "head": functools.partial(tenfold, factor=3.0, shift=[-1, 0])},
    "partial of a partial": {"*": functools.partial(functools.partial(tenfold, factor=3.0), shift=[0.5, 0])},
    "own without arguments": {"*": tenfold},
    "by name": {"*": {"name": f"{__name__}:tenfold", "factor": 2}},
}


@pytest.mark.parametrize("rules", REPLAYED.values(), ids=REPLAYED)
def test_a_record_gives_the_same_values_again(rules):
    model, again = build(), build()
    record = initialize_(model, rules, seed=2)
    stored = json.loads(json.dumps(record.to_dict()))["rules"]
    second = initialize_(again, stored, seed=2)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))
    assert second.to_dict()["rules"] == stored
    assert set_by(second) == set_by(record)


class Fill:
    def __call__(self, tensor, *, generator=None, noise=None):
        tensor.fill_(3)


@functools.wraps(nn.init.normal_)
def wrapped(tensor, *, generator=None):
    tensor.fill_(3)


def middle(width, tensor, generator):
    tensor.fill_(width)


UNWRITTEN = {
    "object": (Fill(), "is a class; hand over an object of it"),
    "object with arguments": (functools.partial(Fill(), noise=1.0), "is a class; hand over an object of it"),
    "arguments by position": (functools.partial(middle, 3.0), "cannot be made again from its name"),
    "argument that is no text": (functools.partial(Fill(), noise=torch.ones(2)), "cannot be made again from its name"),
    "another function of this name": (wrapped, "cannot be made again from its name"),
    "lambda": (lambda tensor, generator: tensor.fill_(3), "has no function '<lambda>'"),
    "changed": (dataclasses.replace(INITIALIZERS["zero"], bias=INITIALIZERS["normal_bias"].bias), "zero, changed"),
}


@pytest.mark.parametrize(("own", "message"), UNWRITTEN.values(), ids=UNWRITTEN)
def test_what_no_text_can_hold_is_refused_when_it_comes_back(own, message):
    record = initialize_(build(), {"*": own}, seed=2)
    stored = json.loads(json.dumps(record.to_dict()))["rules"]
    assert " at 0x" not in str(stored)
    with pytest.raises(InputError, match=message):
        initialize_(build(), stored, seed=2)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"stam": "zeros"}, "rule 'stam': matches no parameter that it could set; did you mean 'stem'"),
        ({"*": "zeros", "blocks.*.atn": "zeros"}, "rule 'blocks.\\*.atn': matches no parameter"),
        ({}, "rules map patterns over names to initializers"),
        ({"*": "kaiming"}, "initializer='kaiming': did you mean 'kaiming_"),
        ({"*": {"name": "kaiming_normal", "node": "fan_out"}}, "node='fan_out': no such option; did you mean 'mode'"),
        ({"*": {"mode": "fan_out"}}, "needs a name"),
        ({"*": lambda module: None}, "sets modules; call initialize_ with it alone"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_changes(rules, message, snapshot):
    model = build()
    before = snapshot(model)
    with pytest.raises(InputError, match=message):
        initialize_(model, rules)
    assert snapshot(model) == before


def test_a_rule_for_what_its_initializer_does_not_set_is_refused():
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 2))
    for rule, kind in (("normal_bias", "normal_bias"), (nn.init.normal_, "torch.nn.init:normal_")):
        text = f"rule '0': {kind} has no rule for Embedding; give the parameter '0.weight' a function that fills it"
        with pytest.raises(InputError, match=text):
            initialize_(model, {"0": rule, "1": "pytorch"})
    initialize_(model, {"0": "lecun_normal", "1": "pytorch"})


def tens(tensor, generator=None):
    tensor.fill_(10.0)


FILLS = {
    "stem.bias": tens,
    "stem.weight": tens,
    "*.attn.out_proj.bias": functools.partial(nn.init.constant_, val=10.0),
    "lstm.bias_ih_l0": "tests_fill:tens",
    "lstm.weight_hh_l0": functools.partial(nn.init.normal_, mean=10.0, std=0.0),
    "table.weight": {"name": "torch.nn.init:constant_", "val": 10.0},
    "norm.bias": tens,
}


@pytest.mark.parametrize("pattern", FILLS)
def test_a_function_fills_the_parameter_that_a_rule_names(pattern, monkeypatch):
    monkeypatch.setitem(sys.modules, "tests_fill", sys.modules[__name__])
    model = build()
    model.update({"lstm": nn.LSTM(3, 4), "table": nn.Embedding(5, 3), "norm": nn.LayerNorm(3)})
    record = initialize_(model, {"*": "xavier_uniform", pattern: FILLS[pattern]}, seed=0)
    hit = {name for name, each in model.named_parameters() if (each == 10).all()}
    assert hit == {name for name, _ in model.named_parameters() if fnmatch(name, pattern)}
    assert not hit & {name for name, rule in set_by(record).items() if rule == "0"}


@pytest.mark.parametrize("pattern", ["head", "head*", "*.mlp", "h*"])
def test_a_function_for_a_module_leaves_its_biases_zero(pattern):
    """A pattern that matches the module does not name the bias, also if it matches the bias's own name."""
    model = build()
    initialize_(model, {"*": "xavier_uniform", pattern: tens}, seed=0)
    layers = [each for name, each in model.named_modules() if fnmatch(name, pattern) and isinstance(each, nn.Linear)]
    assert layers
    for layer in layers:
        assert (layer.weight == 10).all()
        assert (layer.bias == 0).all()


def test_a_function_for_all_that_is_in_a_module_leaves_biases_zero():
    model = build()
    initialize_(model, {"*": "xavier_uniform", "head.*": tens}, seed=0)
    assert (model["head"].weight == 10).all()
    assert (model["head"].bias == 0).all()


OPTIONS = {
    "nan": ("identity", {"scale": float("nan")}, "scale=nan: must be a finite number"),
    "inf": ("variance_scaling", {"scale": float("inf")}, "scale=inf: must be a finite number"),
    "text": ("variance_scaling", {"scale": "2e-2"}, "scale='2e-2': must be a finite number; write scale=0.02"),
    "none": ("variance_scaling", {"scale": None}, "scale=None: must be a finite number"),
    "word": ("lsuv", {"tolerance": "x"}, "tolerance='x': must be a finite number"),
    "share": ("lsuv", {"max_tries": 2.5}, "max_tries=2.5: must be a whole number"),
    "bool": ("idinit", {"tau": True}, "tau=True: must be a finite number"),
    "pair": ("mimetic", {"value": [0.4]}, r"value=\[0.4\]: must be 2 finite numbers or None"),
    "std": ("sparse", {"std": -0.1}, "std=-0.1: must be at least 0"),
    "embedding": ("xavier_normal", {"embedding_std": "2e-2"}, "embedding_std='2e-2': .*write embedding_std=0.02"),
    "forget": ("xavier_normal", {"forget_bias": float("inf")}, "forget_bias=inf: must be a finite number or None"),
}


@pytest.mark.parametrize(("name", "options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_are_no_usable_numbers_are_refused_with_their_rule(name, options, message, without_type_checks):
    with pytest.raises(InputError, match=f"^initializer='{name}': {message}"):
        make_initializer(name, **options)
    with pytest.raises(InputError, match=f"^rule 'head': initializer='{name}': {message}"):
        initialize_(build(), {"head": {"name": name, **options}})


def test_options_of_every_initializer_may_be_their_defaults():
    for name, each in INITIALIZERS.items():
        parameters = {} if each.make is None else inspect.signature(each.make).parameters
        make_initializer(name, **{key: value.default for key, value in parameters.items()})


def test_an_initializer_with_options_takes_further_options():
    made = make_initializer("kaiming_normal", mode="fan_out")
    assert make_initializer(made, activation="linear").weight.text == "N(0, 1/fan_out)"


def test_the_parameters_of_each_module_are_looked_up_once(monkeypatch):
    asked, plain = [], plan.rule_slots
    counting = lambda names, path, *more: asked.append(path) or plain(names, path, *more)  # noqa: E731
    for module in (plan, initialize):
        monkeypatch.setattr(module, "rule_slots", counting)
    model = build()
    initialize_(model, RULES | {"blocks.*.mlp": "zeros"})
    assert sorted(asked) == sorted(path for path, _ in model.named_modules())
