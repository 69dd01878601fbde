"""Tied, frozen, excluded and aliased parameters: what is protected, by which name, and what the record says."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from zeroinit._common import InputError
from zeroinit.init import InitWarning, hash_tensor, initialize_
from zeroinit.init.names import Names
from zeroinit.init.sharing import find_shared, overlap


def language_model() -> nn.ModuleDict:
    model = nn.ModuleDict({"table": nn.Embedding(9, 4), "body": nn.Linear(4, 4), "head": nn.Linear(4, 9, bias=False)})
    model["head"].weight = model["table"].weight
    return model


def names(record) -> set[str]:
    return {entry.name for entry in record.parameters}


def reasons(record) -> dict[str, str]:
    return {entry.name: entry.reason for entry in record.untouched}


def test_a_head_tied_to_an_embedding_is_kept_with_a_warning(snapshot, generator):
    model = language_model()
    before = snapshot(model["table"])
    reason = "shared by 'head.weight' (Linear) and 'table.weight' (Embedding), which has no rule"
    message = (
        rf"zero: 1 parameter keeps its values: {reason}; pass tied='set' to set shared parameters, or exclude= with"
    )
    with pytest.warns(InitWarning, match=message.replace("(", r"\(").replace(")", r"\)")):
        record = initialize_(model, "zero", generator=generator(0))
    assert snapshot(model["table"]) == before
    assert names(record) == {"body.weight", "body.bias"}
    assert reasons(record) == {"table.weight": reason}
    assert record.untouched[0].aliases == ("head.weight",)
    assert f"table.weight  9x4  left as it was: {reason}; also head.weight" in str(record)


def test_a_tied_head_is_set_if_asked(generator):
    model = language_model()
    record = initialize_(model, "zero", tied="set", generator=generator(0))
    assert not model["table"].weight.any()
    assert model["table"].weight is model["head"].weight
    assert names(record) == {"table.weight", "body.weight", "body.bias"}
    assert "  table.weight  9x4  0; also head.weight" in str(record)


@pytest.mark.parametrize("excluded", ["head", "table", ["table", "head"]])
def test_either_name_protects_what_is_shared(excluded, snapshot, generator):
    model = language_model()
    before = snapshot(model["table"])
    record = initialize_(model, "zero", tied="set", exclude=excluded, generator=generator(0))
    assert snapshot(model["table"]) == before
    assert names(record) == {"body.weight", "body.bias"}
    assert set(reasons(record)) == {"table.weight"}
    initialize_(model, "zero", exclude=excluded)  # no warning either


def test_excluding_one_of_two_tied_layers_protects_both(snapshot, generator):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    before = hash_tensor(model[0].weight)
    record = initialize_(model, "pytorch", exclude="1", generator=generator(0))
    assert hash_tensor(model[0].weight) == before
    assert names(record) == {"0.bias"}
    assert reasons(record) == {"0.weight": "excluded as '1.weight'", "1.bias": "its layer was not chosen"}


def test_two_tied_layers_with_one_rule_are_set_without_a_warning(generator):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    record = initialize_(model, "pytorch", generator=generator(0))
    assert (record.parameters[0].name, record.parameters[0].aliases) == ("0.weight", ("1.weight",))


def test_a_tied_layer_that_was_not_chosen_is_not_overwritten(snapshot, generator):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    before = hash_tensor(model[0].weight)
    with pytest.warns(InitWarning, match="'1.weight' .Linear., which was not chosen"):
        record = initialize_(model, "pytorch", include="0", generator=generator(0))
    assert hash_tensor(model[1].weight) == before
    assert names(record) == {"0.bias"}


class Around(nn.Module):
    """A module that holds the parameters of its layer, too, under one attribute or another."""

    def __init__(self, attribute: str):
        super().__init__()
        self.layer = nn.Linear(4, 9)
        self.register_parameter(attribute, self.layer.weight)
        self.bias = self.layer.bias


def test_a_module_that_hands_its_layers_parameters_on_is_no_objection(generator):
    record = initialize_(nn.Sequential(Around("weight")), "pytorch", generator=generator(0))
    assert [entry.aliases for entry in record.parameters] == [("0.layer.weight",), ("0.layer.bias",)]


def test_a_table_of_embeddings_of_the_models_own_is_kept(snapshot, generator):
    """As ``self.wte = nn.Parameter(...)``, used by ``F.embedding``, with ``self.head.weight = self.wte``."""
    model = Around("wte")
    before = snapshot(model)["wte"]
    with pytest.warns(InitWarning, match=r"'layer.weight' .Linear. and 'wte' .Around., which has no rule"):
        record = initialize_(model, "zero", generator=generator(0))
    assert snapshot(model)["wte"] == before
    assert names(record) == {"bias"}


def test_an_embedding_around_the_layer_is_more_than_a_name(generator):
    class Table(nn.Embedding):
        def __init__(self):
            super().__init__(9, 4)
            self.scores = nn.Linear(4, 9)
            self.scores.weight = self.weight

    with pytest.warns(InitWarning, match=r"'table.weight' .Table., which has no rule"):
        record = initialize_(nn.ModuleDict({"table": Table()}), "zero", generator=generator(0))
    assert names(record) == {"table.scores.bias"}


def test_tied_biases_with_different_bounds_are_kept(generator):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(5, 3))
    model[1].bias = model[0].bias
    with pytest.warns(InitWarning, match="whose rule differs"):
        initialize_(model, "pytorch", generator=generator(0))
    assert names(initialize_(model, "normal_bias", generator=generator(0))) == {"0.weight", "0.bias", "1.weight"}


@pytest.mark.parametrize("pattern", ["a", "b"])
@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_a_module_is_found_under_each_of_its_names(argument, pattern, generator):
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    model["b"] = model["a"]
    record = initialize_(model, "zero", generator=generator(0), **{argument: pattern})
    expected = {"a.weight", "a.bias"} if argument == "include" else {"other.weight", "other.bias"}
    assert names(record) == expected


def test_a_layer_inside_a_module_with_two_names_is_found_under_each(generator):
    block = nn.Sequential(nn.Linear(2, 2))
    model = nn.ModuleDict({"first": block, "second": block, "head": nn.Linear(2, 2)})
    record = initialize_(model, "zero", include="second.*", generator=generator(0))
    assert (record.parameters[0].name, record.parameters[0].aliases) == ("first.0.weight", ("second.0.weight",))
    assert names(initialize_(model, "zero", exclude="second.0")) == {"head.weight", "head.bias"}


def test_a_module_that_contains_itself_is_entered_once(generator):
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].parent = model
    assert names(initialize_(model, "zero", generator=generator(0))) == {"0.weight", "0.bias"}


def test_frozen_parameters_are_kept_one_by_one(snapshot, generator):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight.requires_grad_(False)
    before = snapshot(model)
    record = initialize_(model, "normal_bias", generator=generator(0))
    assert names(record) == {"0.bias", "1.weight", "1.bias"}
    assert reasons(record) == {"0.weight": "frozen (requires_grad is False)"}
    assert snapshot(model)["0.weight"] == before["0.weight"]
    assert "0.weight  3x3  0, although frozen" in str(initialize_(model, "zero", frozen="set"))


def test_a_model_that_is_frozen_as_a_whole_is_refused(snapshot):
    model = nn.Sequential(nn.Linear(3, 3)).requires_grad_(False)
    before = snapshot(model)
    message = r"every parameter of the chosen layers would stay as it is \(frozen .*\); .* or pass frozen='set'"
    with pytest.raises(InputError, match=message):
        initialize_(model, "zero")
    assert snapshot(model) == before


def test_a_frozen_layer_that_cannot_be_set_is_no_error(generator):
    model = nn.Sequential(nn.Linear(2, 2), nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)), nn.Linear(2, 2))
    model[1].requires_grad_(False)
    model[2].weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.int8), requires_grad=False)
    record = initialize_(model, "zero", generator=generator(0))
    assert names(record) == {"0.weight", "0.bias", "2.bias"}
    assert set(reasons(record).values()) == {"frozen (requires_grad is False)"}
    with pytest.raises(InputError, match=r"1.weight: is computed by SpectralNorm"):
        initialize_(model, "zero", frozen="set")


@pytest.mark.parametrize("argument", ["frozen", "tied"])
def test_another_word_is_refused(argument):
    with pytest.raises(InputError, match=f"{argument}='skip': must be 'keep' or 'set'"):
        initialize_(nn.Linear(2, 2), "zero", **{argument: "skip"})


@pytest.mark.parametrize("how", ["view", "transposed"])
def test_two_parameters_over_one_memory_are_tied(how, generator):
    """As ``decoder.weight = nn.Parameter(encoder.weight.t())`` makes them."""
    model = nn.Sequential(nn.Linear(5, 3), nn.Linear(5, 3) if how == "view" else nn.Linear(3, 5))
    values = model[0].weight.data
    model[1].weight = nn.Parameter(values if how == "view" else values.t())
    record = initialize_(model, "normal_bias", generator=generator(0))
    assert record.parameters[0].aliases == ("1.weight",)
    assert not model[1].weight.any()
    before = hash_tensor(model[0].weight)
    assert names(initialize_(model, "normal_bias", exclude="1")) == {"0.bias"}
    assert hash_tensor(model[0].weight) == before
    if how == "transposed":
        with pytest.warns(InitWarning, match="'1.weight' .Linear., whose rule differs"):
            assert "0.weight" not in names(initialize_(model, "pytorch", generator=generator(0)))
    record = initialize_(model, "pytorch", tied="set", generator=generator(0))
    assert record.parameters[0].hash_after == hash_tensor(model[0].weight)
    assert model[1].weight.abs().max() <= 5**-0.5


def test_memory_that_overlaps_in_part_is_kept(snapshot, generator):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 2))
    model[1].weight = nn.Parameter(model[0].weight.data[1:3])
    before = hash_tensor(model[0].weight)
    with pytest.warns(InitWarning, match="'0.weight', '1.weight' share a part of their memory; pass exclude="):
        record = initialize_(model, "zero", tied="set", generator=generator(0))
    assert hash_tensor(model[0].weight) == before
    assert names(record) == {"0.bias", "1.bias"}


def test_neighbors_in_memory_are_not_tied(generator):
    """As the columns of one matrix, or the flat parameters of an optimizer, lie."""
    whole = torch.randn(6, 4)
    model = nn.Sequential(nn.Linear(2, 6), nn.Linear(2, 6), nn.Linear(4, 3))
    model[0].weight, model[1].weight = nn.Parameter(whole[:, :2]), nn.Parameter(whole[:, 2:])
    record = initialize_(model, "zero", generator=generator(0))
    assert not any(entry.aliases for entry in record.parameters)
    assert not whole.any()


def test_overlap_is_exact():
    values = torch.zeros(4, 6)
    assert not overlap(values[:, ::2], values[:, 1::2])
    assert overlap(values[:, ::2], values[:, 2:3])
    assert overlap(values[0].expand(3, 6), values[0, 3:])
    assert overlap(values.view(torch.int16)[1, 3:4], values[1, 1:2])
    assert not overlap(values.view(torch.int16)[1, 3:4], values[1, 2:3])


def test_three_views_of_one_memory_are_one_set():
    model = nn.ModuleList([nn.Linear(2, 2, bias=False) for _ in range(3)])
    for layer in model[1:]:
        layer.weight = nn.Parameter(model[0].weight.data)
    assert [shared.names for shared in find_shared(Names(model))] == [["0.weight", "1.weight", "2.weight"]]


def test_an_expanded_parameter_is_refused(snapshot):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = nn.Parameter(torch.ones(3).expand(3, 3))
    before = snapshot(model)
    with pytest.raises(InputError, match=r"1.weight: is expanded, so that several values are one place in memory"):
        initialize_(model, "zero")
    assert snapshot(model) == before


@pytest.mark.parametrize("order", [("plain", "pruned"), ("pruned", "plain")])
@pytest.mark.parametrize("is_shared", [True, False])
def test_the_parameter_behind_a_pruned_weight_is_set_alone(order, is_shared, generator):
    """Shared with another layer it stays: the pruned weight would keep its old values beside it."""
    layers = {"plain": nn.Linear(3, 3), "pruned": prune.random_unstructured(nn.Linear(3, 3), "weight", amount=0.3)}
    if is_shared:
        layers["plain"].weight = layers["pruned"].weight_orig
    model = nn.ModuleDict({name: layers[name] for name in order})
    with pytest.warns(InitWarning, match="1 parameter keeps its values: shared by") if is_shared else nullcontext():
        record = initialize_(model, "constant_bias", tied="set", generator=generator(0))
    assert ("pruned.weight_orig" in names(record)) is not is_shared
    pruned = layers["pruned"]
    assert torch.equal(pruned.weight, pruned.weight_orig * pruned.weight_mask)
    assert bool(pruned.weight_orig.any()) is is_shared
