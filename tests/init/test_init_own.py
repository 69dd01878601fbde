"""Initializers of your own: which function gets what, what is set, what stays, and that errors change nothing."""

import copy
import dataclasses
import functools
import pickle
import sys
import types
import warnings
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from torch import nn

import zeroinit.init.own
from zeroinit._common import InputError
from zeroinit.init import INITIALIZERS, InitWarning, initialize_
from zeroinit.init.initializers import Initializer, make_initializer


def tensor_way(tensor, generator):
    tensor.normal_(std=0.5, generator=generator)


def module_way(module):
    """The usual idiom: some modules by their type, in place."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.normal_(module.weight, std=0.5)
        if module.bias is not None:
            nn.init.uniform_(module.bias)


def through_data(module):
    if isinstance(module, nn.Linear | nn.Conv2d):
        module.weight.data = torch.randn(module.weight.shape)
        module.bias.data.zero_()


class Callable:
    def __call__(self, tensor, *, generator=None):
        tensor.uniform_(generator=generator)


OWN = {
    "tensor_way": tensor_way,
    "torch's": nn.init.orthogonal_,
    "partial": functools.partial(nn.init.trunc_normal_, std=0.02),
    "object": Callable(),
    "module_way": module_way,
    "through_data": through_data,
    "initializer": Initializer(INITIALIZERS["pytorch"].weight, INITIALIZERS["normal_bias"].bias, "mixed", "this test"),
}
EVERY_OWN = pytest.mark.parametrize("own", OWN.values(), ids=OWN)


def network():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 6), nn.Linear(6, 2))


def test_a_generator_among_the_parameters_decides_what_a_function_gets(generator):
    seen = []

    def of_tensor(first, second=1, *, generator=None, **more):
        seen.append((type(first), tuple(first.shape), first.dtype))
        first.zero_()

    def of_module(first, second=1, **more):
        seen.append(type(first))

    layer = nn.Sequential(nn.Linear(3, 2)).half()
    initialize_(layer, of_tensor, generator=generator(0))
    assert seen == [(torch.Tensor, (2, 3), torch.float32)]
    seen.clear()
    with pytest.warns(InitWarning, match="sets 0 of 6 weights"):
        initialize_(layer, of_module, generator=generator(0))
    assert seen == [nn.Linear, nn.Sequential]  # inner modules first, as model.apply does


@EVERY_OWN
def test_what_is_set_is_recorded_and_nothing_else_changes(own, generator, snapshot):
    model = network()
    before, parameters = snapshot(model), dict(model.named_parameters())
    record = initialize_(model, own, generator=generator(0))
    changed = {name for name, values in snapshot(model).items() if values != before[name]}
    assert changed == {each.name for each in record.parameters if each.changed}
    assert all(dict(model.named_parameters())[name] is parameter for name, parameter in parameters.items())
    names = [each.name for each in (*record.parameters, *record.untouched)]
    assert sorted(names) == sorted(parameters)
    assert {"3.weight", "4.weight"} <= changed
    assert {"1.weight", "1.bias"} == {each.name for each in record.untouched} - {"0.weight", "0.bias"}


@EVERY_OWN
def test_values_come_from_the_generator_alone(own, generator, snapshot):
    first, again, other = network(), network(), network()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    initialize_(first, own, generator=generator(5))
    torch.rand(3)
    after_one_draw = torch.get_rng_state()
    initialize_(again, own, generator=generator(5))
    initialize_(other, own, generator=generator(6))
    assert torch.equal(torch.get_rng_state(), after_one_draw)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    torch.set_rng_state(torch_state)
    assert snapshot(first) == snapshot(again) != snapshot(other)


def test_a_function_of_modules_draws_with_numpy_from_the_generator_too(generator):
    def by_numpy(module):
        if isinstance(module, nn.Linear):
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(np.random.standard_normal(module.weight.shape)))  # noqa: NPY002

    layers = [nn.Linear(3, 2, bias=False) for _ in range(3)]
    for layer, seed in zip(layers, (1, 1, 2), strict=True):
        initialize_(layer, by_numpy, generator=generator(seed))
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert not torch.equal(layers[0].weight, layers[2].weight)


def test_without_a_generator_the_global_one_is_used(snapshot):
    models = network(), network()
    for model in models:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            before = torch.get_rng_state()
            initialize_(model, module_way)
            assert not torch.equal(before, torch.get_rng_state())
    plain = network()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        plain.apply(module_way)
    assert snapshot(models[0]) == snapshot(models[1]) == snapshot(plain)


def test_a_function_of_a_tensor_follows_the_rules_of_every_initializer(generator):
    """Packed projections matrix by matrix, transposed weights with units first, weight norm, the scale, zero biases."""
    attention = nn.MultiheadAttention(4, 2)
    initialize_(attention, nn.init.orthogonal_, generator=generator(0), scale=3.0)
    for matrix in (*attention.in_proj_weight.chunk(3), attention.out_proj.weight):
        torch.testing.assert_close(matrix @ matrix.t(), 9 * torch.eye(4))
    assert not attention.in_proj_bias.any()
    plain, normed = nn.Linear(5, 3), nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))
    for layer in (plain, normed):
        initialize_(layer, tensor_way, generator=generator(0))
    torch.testing.assert_close(plain.weight, normed.weight)


def test_a_zero_row_under_weight_norm_is_no_division_by_zero(generator):
    def some_zero(tensor, generator):
        tensor.normal_(generator=generator)[0] = 0

    layer = nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))
    initialize_(layer, some_zero, generator=generator(0))
    assert layer.weight[0].tolist() == [0] * 5
    assert layer.weight[1:].abs().min() > 0


@pytest.mark.parametrize("own", [tensor_way, module_way], ids=["tensor", "module"])
def test_frozen_and_chosen_as_with_every_initializer(own, generator, snapshot):
    model = network()
    model[3].weight.requires_grad_(False)
    before = snapshot(model)
    record = initialize_(model, own, generator=generator(0), exclude="4")
    after = snapshot(model)
    assert {name for name in before if before[name] != after[name]} == {"0.weight", "0.bias", "3.bias"}
    reasons = {each.name: each.reason for each in record.untouched}
    assert "frozen" in reasons["3.weight"]
    assert reasons["4.weight"] == "its layer was not chosen"
    record = initialize_(model, own, generator=generator(0), include="3", frozen="set")
    assert [(each.name, each.was_frozen) for each in record.parameters] == [("3.weight", True), ("3.bias", False)]


def test_a_function_of_a_container_cannot_reach_what_is_excluded(generator, snapshot):
    def residual(module):
        if isinstance(module, nn.Sequential):
            nn.init.zeros_(module[-1].weight)
            nn.init.zeros_(module[0].weight)

    model = network()
    before = snapshot(model)
    record = initialize_(model, residual, generator=generator(0), exclude="4")
    changed = {name for name, values in snapshot(model).items() if values != before[name]}
    assert changed == {each.name for each in record.parameters} == {"0.weight"}


@pytest.mark.parametrize("settings", [{"exclude": "0"}, {"include": ["3", "4"]}], ids=str)
def test_a_function_is_not_called_with_what_is_not_chosen(settings, generator):
    seen = []

    def without_convolutions(module):
        seen.append(type(module))
        assert not isinstance(module, nn.Conv2d)
        module_way(module)

    record = initialize_(network(), without_convolutions, generator=generator(0), **settings)
    assert {each.name for each in record.parameters} == {"3.weight", "3.bias", "4.weight", "4.bias"}
    assert (nn.Sequential in seen) == ("exclude" in settings)  # a container may set what is in it


def tied():
    model = nn.ModuleDict({"table": nn.Embedding(6, 4), "head": nn.Linear(4, 6, bias=False), "body": nn.Linear(9, 9)})
    model["head"].weight = model["table"].weight
    return model


def both(module):
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.5)


def from_around(module):
    if isinstance(module, nn.ModuleDict):
        for layer in module.values():
            nn.init.normal_(layer.weight, std=0.5)


@pytest.mark.parametrize("own", [both, from_around])
def test_a_tied_parameter_that_a_function_sets_for_all_its_modules_is_set(own, generator):
    """GPT-2's ``_init_weights`` draws a dense layer and a table of embeddings alike."""
    model = tied()
    record = initialize_(model, own, generator=generator(0), strict=True)
    assert [(each.name, each.aliases) for each in record.parameters] == [
        ("table.weight", ("head.weight",)),
        ("body.weight", ()),
    ]
    assert model["head"].weight is model["table"].weight
    with pytest.warns(InitWarning, match="which was not chosen"):
        initialize_(model, both, generator=generator(0), include=["head", "body"])


@pytest.mark.parametrize("own", [tensor_way, module_way, through_data], ids=["tensor", "module", "data"])
def test_a_tied_parameter_is_never_set_in_silence(own, generator):
    model = tied()
    if own is through_data:
        model["head"].register_parameter("bias", nn.Parameter(torch.zeros(6)))
    before = model["head"].weight.clone()
    with pytest.warns(InitWarning, match=r"'table\.weight' \(Embedding\)"):
        initialize_(model, own, generator=generator(0))
    assert torch.equal(model["head"].weight, before)
    with pytest.raises(InputError, match="strict=True"):
        initialize_(model, own, generator=generator(0), strict=True)
    initialize_(model, own, generator=generator(0), tied="set")
    assert not torch.equal(model["head"].weight, before)


def test_layers_of_one_type_may_share(generator):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    record = initialize_(model, module_way, generator=generator(0))
    assert [each.name for each in record.parameters] == ["0.weight", "0.bias", "1.bias"]


def test_zeros_written_over_zeros_count_as_set():
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.bias)
    with pytest.warns(InitWarning, match="sets 0 of 6 weights"):
        record = initialize_(model, lambda module: nn.init.zeros_(module.bias))
    assert [(each.name, each.changed) for each in record.parameters] == [("bias", False)]


@pytest.mark.parametrize(
    "write",
    [
        lambda layer: nn.init.zeros_(layer.bias.data),
        lambda layer: layer.bias.data.fill_(0),
        lambda layer: layer.bias.detach().view(2, 1)[:1].zero_(),
        lambda layer: torch._foreach_zero_([layer.bias.data]),
        lambda layer: torch.zeros(2, out=layer.bias.data),
        lambda layer: setattr(layer.bias, "data", torch.zeros(2)),
    ],
    ids=["init", "data", "view", "foreach", "out", "assigned"],
)
def test_writes_that_leave_values_equal_count_as_set(write):
    """No version counter sees a write through ``.data``, and no comparison sees equal values."""
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.bias)
    with pytest.warns(InitWarning, match=r"sets 0 of 6 weights, less than half: it does not set 'weight' \(Linear\)"):
        record = initialize_(layer, write)
    assert [(each.name, each.changed) for each in record.parameters] == [("bias", False)]
    assert [each.name for each in record.untouched] == ["weight"]


def test_one_seed_a_second_time_sets_the_same_parameters(generator):
    model = network()
    records = [initialize_(model, through_data, generator=generator(3), exclude="0", strict=True) for _ in range(2)]
    names = [[each.name for each in record.parameters] for record in records]
    assert names == [["3.weight", "3.bias", "4.weight", "4.bias"]] * 2
    assert not any(each.changed for each in records[1].parameters)


def test_a_write_to_a_part_of_shared_memory_counts_for_that_part(generator):
    flat = torch.zeros(10)
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 3, bias=False))
    model[0].weight.data, model[1].weight.data = flat[:4].view(2, 2), flat[4:].view(3, 2)

    def second(module):
        if getattr(module, "out_features", 0) == 3:
            module.weight.data.zero_()

    record = initialize_(model, second)
    assert [each.name for each in record.parameters] == ["1.weight"]


def replaces(module):
    module_way(module)
    if isinstance(module, nn.Linear):
        module.weight = nn.Parameter(torch.zeros(module.weight.shape))


def reshapes(module):
    module_way(module)
    if isinstance(module, nn.Linear):
        module.weight.data = torch.zeros(1, 1)


def adds(module):
    module_way(module)
    if isinstance(module, nn.Linear):
        module.register_parameter("extra", nn.Parameter(torch.zeros(1)))


def replaces_layers(module):
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, nn.Linear(child.in_features, child.out_features))


def in_double(module):
    module_way(module)
    if isinstance(module, nn.Linear):
        module.weight.data = torch.from_numpy(np.random.standard_normal(module.weight.shape))  # noqa: NPY002


def resizes(tensor, generator):
    tensor.resize_(2, 2).zero_()


def makes_one(std):
    return module_way


def fails_late(module):
    module_way(module)
    if isinstance(module, nn.BatchNorm2d):
        module.running_mean.fill_(7)
    if isinstance(module, nn.Sequential):
        raise KeyError("late")


def half_filled(tensor, generator):
    tensor[0] = 0


def not_in_place(tensor, generator):
    return torch.randn(tensor.shape, generator=generator)


def infinite(tensor, generator):
    tensor.normal_(generator=generator)[0, 0] = torch.inf


def infinite_modules(module):
    module_way(module)
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, -torch.inf)


def nan_modules(module):
    module_way(module)
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, torch.nan)


def fails_for_dense(tensor, generator):
    tensor.normal_(generator=generator)
    if tensor.dim() == 2:
        raise KeyError("dense")


def mistaken(module, generator):
    module.weight.normal_(generator=generator)


def fills_alone(tensor):
    tensor.fill_(0.5)


def two_needed(tensor, std):
    pass


def none_needed(*modules):
    pass


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (replaces, r"replaces '3\.weight', so an optimizer.*fill the parameter in place: nn\.init\.normal_\(module"),
        (reshapes, r"replaces '3\.weight'"),
        (adds, r"replaces '3\.extra'"),
        (fails_late, r"failed on the model itself \(Sequential; KeyError: 'late'\)$"),
        (half_filled, r"leaves values of a weight of shape \(4, 3, 3, 3\) unset, NaN or infinite; fill the tensor"),
        (not_in_place, "unset, NaN or infinite"),
        (infinite, r"initializer='.*:infinite': leaves values of a weight of shape .* unset, NaN or infinite"),
        (infinite_modules, r"infinite_modules': makes 3\.weight NaN or infinite; fill it with numbers, or exclude its"),
        (nan_modules, r"nan_modules': makes 3\.weight NaN or infinite"),
        (functools.partial(tensor_way, std=2), r"tensor_way\(std=2\)': does not take these arguments"),
        (functools.partial(Callable, 1), r"Callable\(1\)': is a class; hand over an object of it"),
        ("torch.nn.init:normal_(std=0.5)", r"cannot be made again from its name; hand over the function itself"),
        (fails_for_dense, r"failed for a weight of shape \(6, 4\) \(KeyError: 'dense'\)$"),
        (mistaken, r"mistaken': failed for a weight .* \(AttributeError: .*\); without a parameter `generator` a fun"),
        (fills_alone, r"fills_alone': failed on 0 \(Conv2d.*gets each module"),
        (nn.init.eye_, r"init:eye_': failed for a weight of shape \(4, 3, 3, 3\) \(ValueError: Only tensors with 2"),
        (two_needed, r"two_needed': needs 'std'; it must be a function \(module\) -> None.*functools\.partial"),
        (none_needed, "must be a function"),
        (nn.init.constant_, r"torch\.nn\.init:constant_': needs 'val'; it must be a function"),
        (nn.Linear, "is a class; hand over an object of it; it must be a function"),
        (print, "must be a function"),
        (
            torch.Tensor.normal_,
            "TensorBase.normal_': has no signature that Python can read; write a function around it",
        ),
        (nn.init.xavier_uniform, r"is a name that torch has given up; write torch\.nn\.init\.xavier_uniform_; it must"),
        ("torch.nn.init:normal", r"is a name that torch has given up; write torch\.nn\.init\.normal_; it must"),
        ("constant_", r"'torch\.nn\.init:constant_': needs 'val'; it must be a function"),
        (lambda *modules, **more: None, "takes any arguments.*put functools.wraps on what wraps it"),
        (lambda: None, "takes neither a module nor a tensor"),
        (5, r"initializer=5: must be a function"),
        (torch.zeros(2, 3), r"initializer=a tensor \(2, 3\) of float32: must be a function"),
        ("math:pi", "initializer='math:pi': is a float, and must be a function"),
        (replaces_layers, r"replaces '3', so an optimizer.*fill its parameters in place"),
        (
            in_double,
            r"replaces '3\.weight', a tensor \(6, 4\) of float32 on cpu, by a tensor \(6, 4\) of float64 on cpu",
        ),
        (resizes, r"makes a tensor \(2, 2\) of float32 of a weight of shape \(4, 3, 3, 3\); fill the tensor in place"),
        (makes_one, r"makes_one': returns a function; hand over what it returns, as in .*makes_one\(\.\.\.\)\)"),
        ("my.starts.half", r"initializer='my\.starts\.half': write 'my\.starts:half', package\.module:function"),
        ("normal_bais", r"initializer='normal_bais': did you mean 'normal_bias'\? It must be one of const"),
        ("torch.nn.init:orthogonl_", r"torch\.nn\.init has no function 'orthogonl_'; did you mean 'orthogonal_'"),
        ("no_such_module:x", r"no_such_module cannot be imported \(ModuleNotFoundError"),
        ("torch.nn.init:", r"write package\.module:function"),
    ],
)
def test_an_error_leaves_the_model_as_it_was(own, message, generator, snapshot, without_type_checks):
    model = network()
    before, parameters = snapshot(model), dict(model.named_parameters())
    with pytest.raises(InputError, match=message):
        initialize_(model, own, generator=generator(0))
    assert snapshot(model) == before
    assert [*dict(model.named_parameters()).items()] == [*parameters.items()] or all(
        value is parameters[name] for name, value in model.named_parameters()
    )


def test_values_that_are_infinite_already_are_no_fault_of_the_function(generator):
    model = network()
    model.register_parameter("mask", nn.Parameter(torch.full((2, 2), -torch.inf)))
    record = initialize_(model, module_way, generator=generator(0))
    assert "mask" in {each.name for each in record.untouched}


class Scaled:
    def fill(self, tensor, generator=None):
        tensor.zero_()


@functools.wraps(nn.init.normal_)
def wrapped(tensor, *, generator=None):
    tensor.zero_()


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (functools.partial(nn.init.normal_, std=0.02), "torch.nn.init:normal_(std=0.02)"),
        (functools.partial(tensor_way), f"{__name__}:tensor_way"),
        (functools.partial(module_way), f"{__name__}:module_way"),
        (functools.partial(nn.init.orthogonal_, gain=2), "torch.nn.init:orthogonal_(gain=2)"),
        (make_initializer("kaiming_normal", mode="fan_out"), "kaiming_normal(mode='fan_out')"),
        (make_initializer("kaiming_normal"), "kaiming_normal"),
        (INITIALIZERS["zero"], "zero"),
        (dataclasses.replace(INITIALIZERS["zero"], bias=INITIALIZERS["normal_bias"].bias), "zero, changed"),
        (wrapped, "torch.nn.init:normal_"),
        (Scaled().fill, f"{__name__}:Scaled.fill"),
        (Callable(), f"{__name__}:Callable"),
    ],
)  # fmt: skip
def test_the_name_in_the_record_has_the_arguments(own, name, generator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InitWarning)
        record = initialize_(nn.Linear(3, 2), own, generator=generator(0))
    assert record.name == record.to_dict()["name"] == name
    assert str(record).startswith(name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 2.0}, r"scale=2\.0: has no effect on .*module_way, a function of modules; leave it out"),
        ({"scale": "auto"}, "scale='auto': has no effect"),
        ({"norm_aware": True}, "norm_aware=True: has no effect"),
        ({"probe": torch.zeros(2, 3)}, r"a tensor \(2, 3\) of float32"),
        ({"include": "9"}, "include='9': matches no module with parameters"),
        ({"frozen": "maybe"}, "frozen='maybe'"),
    ],
)
def test_settings_without_an_effect_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        initialize_(network(), module_way, **settings)


@pytest.mark.parametrize("model", [nn.ReLU(), nn.LazyLinear(3), nn.Linear(2, 2, device="meta")], ids=str)
def test_a_model_without_values_is_refused(model):
    with pytest.raises(InputError, match=r"no parameters|is lazy|meta device"):
        initialize_(model, module_way)


@pytest.fixture
def offered(monkeypatch):
    """Offers functions of a module as an installed package does."""
    module = types.ModuleType("a_plugin")
    module.tensor_way, module.entry = tensor_way, INITIALIZERS["zero"]
    monkeypatch.setitem(sys.modules, "a_plugin", module)

    def offer(**values):
        entries = [EntryPoint(name, value, zeroinit.init.own.GROUP) for name, value in values.items()]
        monkeypatch.setattr(zeroinit.init.own, "entry_points", lambda group: entries)

    return offer


def test_an_installed_package_offers_initializers_by_name(offered, generator, snapshot):
    offered(mine="a_plugin:tensor_way", nothing="a_plugin:entry", zero="a_plugin:tensor_way")
    plain, named, by_path = network(), network(), network()
    initialize_(plain, tensor_way, generator=generator(0))
    assert initialize_(named, "mine", generator=generator(0)).name == "mine"
    initialize_(by_path, "a_plugin:tensor_way", generator=generator(0))
    assert snapshot(plain) == snapshot(named) == snapshot(by_path)
    initialize_(plain, "nothing")
    assert not plain[3].weight.any()
    initialize_(named, "zero")
    assert not named[3].weight.any()  # no package changes what a name of our own means


def test_a_name_of_torch_is_its_function_unless_a_package_offers_it(offered, generator, snapshot):
    plain, named, given, options = network(), network(), network(), network()
    initialize_(plain, nn.init.trunc_normal_, generator=generator(0))
    assert initialize_(named, "trunc_normal_", generator=generator(0)).name == "torch.nn.init:trunc_normal_"
    assert snapshot(plain) == snapshot(named)
    initialize_(options, {"*": "zero", "*.weight": {"name": "constant_", "val": 2.0}})
    assert options[3].weight.unique().tolist() == [2.0]
    with pytest.raises(InputError, match="initializer='_calculate_correct_fan'"):
        initialize_(plain, "_calculate_correct_fan")
    offered(trunc_normal_="a_plugin:entry")
    initialize_(given, "trunc_normal_", generator=generator(0))
    assert not given[3].weight.any()


def test_initializers_with_options_can_be_pickled(generator, snapshot):
    for own in (INITIALIZERS["zero"], make_initializer("kaiming_normal", mode="fan_out", forget_bias=1.0)):
        plain, pickled = network(), network()
        initialize_(plain, own, generator=generator(0))
        found = pickle.loads(pickle.dumps(own))
        initialize_(pickled, found, generator=generator(0))
        assert repr(found) == repr(own)
        assert snapshot(plain) == snapshot(pickled)
    changed = dataclasses.replace(INITIALIZERS["zero"], weight=INITIALIZERS["kaiming_normal"].weight)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(changed)  # it is no entry of the table, and its distribution is a function without a name
    assert repr(copy.deepcopy(changed)) == repr(changed)


def test_a_broken_package_harms_nobody_who_does_not_name_it(offered):
    offered(broken="no_such_module:x", mine="a_plugin:tensor_way")
    initialize_(network(), "mine")
    initialize_(network(), "normal_bias")
    with pytest.raises(
        InputError, match=r"'broken': no_such_module:x of the package no_such_module cannot be imported"
    ):
        initialize_(network(), "broken")
    with pytest.raises(InputError, match=r"did you mean 'mine'\? It must be one of broken, constant_bias, "):
        initialize_(network(), "mime")


def test_one_name_of_two_packages_is_an_error(monkeypatch):
    entries = [EntryPoint("mine", value, zeroinit.init.own.GROUP) for value in ("a:f", "b:g")]
    monkeypatch.setattr(zeroinit.init.own, "entry_points", lambda group: entries)
    with pytest.raises(
        InputError, match="'mine': is both a:f of the package a and b:g of the package b; uninstall one of"
    ):
        initialize_(network(), "mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        initialize_(network(), "zero")


def test_a_run_of_the_bench_names_a_function_as_text(tmp_path, monkeypatch):
    """The settings stay text; the values are those of the function itself."""
    from zeroinit.bench.network import hash_model, network, start_model, stream
    from zeroinit.bench.spec import Run

    (tmp_path / "my_starts.py").write_text(
        "def half(tensor, generator):\n    tensor.normal_(generator=generator).div_(2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    run = Run(dataset="digits", hidden="8", initializer="my_starts:half")
    assert run.settings["initializer"] == "my_starts:half"
    started, expected = start_model(run, 3), network(run)
    initialize_(expected, sys.modules["my_starts"].half, generator=stream(3, "init"))
    assert hash_model(started) == hash_model(expected) != hash_model(start_model(run, 4))
    with pytest.raises(InputError, match="my_starts has no function 'haf'; did you mean 'half'"):
        start_model(Run(dataset="digits", hidden="8", initializer="my_starts:haf"), 0)


@pytest.mark.parametrize("own", ["torch.nn.init:ones_", nn.init.ones_, functools.partial(nn.init.constant_, val=1.0)])
def test_functions_of_torch_without_a_generator_fill_weights(own):
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    initialize_(model, own)
    assert (model[0].weight == 1).all()
    assert (model[0].bias == 0).all()
