"""Entries: each kind becomes settings of a run, and what cannot be run is refused before anything is run."""

from functools import partial

import pytest
from torch import nn

from zeroinit._common import InputError
from zeroinit.bench.comparison.entries import check_entry, read_entry
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Run
from zeroinit.init import INITIALIZERS
from zeroinit.remedies import REMEDIES

RUN = Run(dataset="digits", epochs=1, batch_size=2, num_train=32, num_test=0, num_validation=10)

OF_OTHER_NETWORKS = {"fixup", "zero_branch", "mimetic"}
"""They are for residual branches and for attention, and say so."""

ENTRIES = {
    **{name: {"initializer": name} for name in INITIALIZERS if name not in OF_OTHER_NETWORKS},
    "kaiming_normal_": {"initializer": "torch.nn.init:kaiming_normal_"},
    "torch.nn.init:orthogonal_": {"initializer": "torch.nn.init:orthogonal_"},
    "zero_start": {"remedy": "zero_start"},
    "normal_bias*0.1": {"initializer": "normal_bias", "scale": 0.1},
    "uniform_bias*auto": {"initializer": "uniform_bias", "auto_scale": True},
    "normal_bias+early_dropout:100:0.3": {"initializer": "normal_bias", "remedy": "early_dropout:100:0.3"},
    "normal_bias*0.1+warmup:3+position_signs:2": {
        "initializer": "normal_bias",
        "scale": 0.1,
        "remedy": "warmup:3+position_signs:2",
    },
}


@pytest.mark.parametrize("text", ENTRIES)
def test_every_kind_of_entry_can_be_run(text):
    entry = read_entry(text)
    assert (entry.label, entry.settings) == (text, ENTRIES[text])
    check_entry(entry, RUN)
    result = execute(Run(**{**RUN.to_dict(), **entry.settings}), 0, device="cpu")
    assert result.history["num_steps"] == 16
    assert result.history["test_accuracy"] == []


@pytest.mark.parametrize("name", sorted(OF_OTHER_NETWORKS))
def test_an_initializer_of_other_networks_says_so_before_the_runs(name):
    with pytest.raises(InputError, match=f"initializer='{name}': "):
        check_entry(read_entry(name), RUN)


def test_a_function_is_named_by_where_it_is_imported_from():
    assert read_entry(nn.init.orthogonal_).label == "torch.nn.init:orthogonal_"


def outer():
    def inner(module: nn.Module) -> None: ...

    return inner


def in_main(module: nn.Module) -> None: ...


in_main.__module__ = "__main__"


@pytest.mark.parametrize("function", [outer(), lambda module: None, partial(nn.init.normal_, std=0.1), in_main])
def test_a_function_that_other_processes_cannot_import_is_refused(function):
    with pytest.raises(InputError, match=r"put it into a file, own.py, as a function of its own, and hand over"):
        read_entry(function)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("normal_bia", "initializer='normal_bia': did you mean 'normal_bias'"),
        ("zero_strat", "initializer='zero_strat': did you mean 'zero_start'? It must be one of constant_bias, "),
        ("kaiming_norml_", "did you mean 'kaiming_normal_'?"),
        ("early_drpout", "did you mean 'normal_bias+early_dropout:100'?"),
        ("warmup", "did you mean 'normal_bias+warmup:100'?"),
        ("constant_", "needs 'val'"),
        ("torch.nn.init.zeros_", "write 'torch.nn.init:zeros_'"),
        ("qqqqqqq", "initializer='qqqqqqq': must be one of constant_bias, "),
        ("no_such_module:start", "no_such_module cannot be imported"),
        ("normal_bias*big", "'big' is no scale"),
        ("zero_start*2", "zero_start has its own scale and remedies"),
        ("zero_start+warmup:3", "zero_start has its own scale and remedies"),
        ("normal_bias+warmup", "say for how many updates warmup acts, as warmup:100"),
        ("normal_bias+warmpu:3", "did you mean 'warmup'"),
        ("normal_bias+warmup:x", "must be a name, name:steps or name:steps:strength"),
        ("zero*0.1", "scale=0.1"),
        ("pytorch*auto", "scale='auto': works only with zero weights"),
    ],
)
def test_what_cannot_be_run_is_refused(text, message):
    with pytest.raises(InputError) as refused:
        check_entry(read_entry(text), RUN)
    assert message in str(refused.value)


def test_the_list_of_an_unknown_name_holds_what_can_be_run_and_nothing_else():
    with pytest.raises(InputError) as refused:
        read_entry("zero_strat", "reference")
    assert str(refused.value).startswith("reference='zero_strat': ")
    names, remedies = str(refused.value).partition("one of ")[2].split("; remedies stand behind it with their updates")
    assert {"zero_start", "kaiming_normal_", *INITIALIZERS} <= set(names.split(", "))
    assert set(remedies.rpartition(": ")[2].split(", ")) == set(REMEDIES)
    for name in names.split(", "):
        read_entry(name)
