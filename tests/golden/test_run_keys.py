"""Keys of runs are folder names of stored results: they may never change.

When a test here fails after a change of ``Run``, the change orphans every stored result. Give the new field a default
that keeps the old behavior; do not update the keys.
"""

import dataclasses
import re
from dataclasses import dataclass, field, fields, replace

import pytest

from zeroinit.experiments.spec import Run

CNN = Run(model="mnist_cnn", initializer="normal_bias", epochs=15)
DIGITS = Run(dataset="digits", epochs=30, batch_size=32)
GOLDEN = {
    "default": (Run(), "44136fa355b3"),
    "baseline": (Run(model="logistic_regression"), "d51cbc1fa992"),
    "normal": (Run(initializer="normal_bias"), "d188e8431ddf"),
    "upscaled": (Run(initializer="normal_bias", scale=100.0), "7e78ada6bb20"),
    "scale": (Run(scale=2.0), "d0e2e5e878ca"),
    "cnn": (CNN, "f50ef583e043"),
    "cnn_published": (replace(CNN, order="fixed", evaluation_mode="train"), "8b1ff33145f9"),
    "digits": (DIGITS, "fb8caf93821c"),
    "digits_sgd": (
        replace(DIGITS, optimizer="sgd", learning_rate=0.01, momentum=0.9, warmup_steps=100),
        "2d8df20cf4ab",
    ),
    "copy": (Run(optimizer="sgd", trained="copy"), "98817588a3a5"),
    "no_validation": (
        Run(num_validation=0, pixels="standardized", reduction="mean", activation="tanh"),
        "60ba94474630",
    ),
}


DEFAULTS = {
    "dataset": "mnist",
    "model": "mnist_fnn",
    "activation": "elu",
    "initializer": "pytorch",
    "scale": 1.0,
    "pixels": "unit",
    "num_validation": None,
    "epochs": 10,
    "batch_size": 128,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "momentum": 0.0,
    "warmup_steps": 0,
    "reduction": "sum",
    "order": "fresh",
    "evaluation_mode": "eval",
    "trained": "model",
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_pinned(name):
    """Keys leave them out: another default would file other settings under an old key."""
    assert getattr(Run(), name) == DEFAULTS[name]


@pytest.mark.parametrize("name", GOLDEN)
def test_keys_are_pinned(name):
    run, key = GOLDEN[name]
    assert run.key == key


def test_keys_are_twelve_hex_digits_and_differ():
    keys = [run.key for run, _ in GOLDEN.values()]
    assert all(re.fullmatch("[0-9a-f]{12}", key) for key in keys)
    assert len(set(keys)) == len(keys)


def test_a_further_field_with_a_default_leaves_the_keys_as_they_are():
    @dataclass(frozen=True)
    class Extended(Run):
        weight_decay: float = 0.0
        clipping: str | None = None

    for run, key in GOLDEN.values():
        extended = Extended(**run.to_dict())
        assert extended.key == key
        assert replace(extended, weight_decay=0.1).key != key
        assert replace(extended, clipping="norm").key != key


def test_the_order_of_the_fields_does_not_matter():
    reordered = dataclasses.make_dataclass(
        "Reordered",
        [(entry.name, entry.type, field(default=entry.default)) for entry in reversed(fields(Run))],
        frozen=True,
        namespace={"settings": Run.settings, "key": Run.key},
    )
    for run, key in GOLDEN.values():
        assert reordered(**run.to_dict()).key == key


OTHER_VALUES = {str: "other", int: 7, bool: True, float: 0.25, type(None): 5}


@pytest.mark.parametrize("name", [entry.name for entry in fields(Run)])
def test_every_field_changes_the_key(name):
    changed = replace(CNN, **{name: OTHER_VALUES[type(getattr(Run(), name))]})
    assert getattr(changed, name) != getattr(CNN, name)
    assert changed.key != CNN.key


def test_a_field_set_back_to_its_default_gives_the_key_back():
    assert replace(replace(CNN, scale=3.0), scale=1.0).key == CNN.key
    assert replace(Run(), epochs=3, num_validation=0) != Run()
    assert replace(Run(epochs=3), epochs=10).key == Run().key


def test_settings_are_the_fields_that_differ():
    assert Run().settings == {}
    assert CNN.settings == {"model": "mnist_cnn", "initializer": "normal_bias", "epochs": 15}


@pytest.mark.usefixtures("without_type_checks")
def test_the_default_scale_as_an_integer_gives_the_same_key():
    assert Run(scale=1).key == Run(scale=1.0).key == Run().key


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("settings", [{"scale": 100}, {"learning_rate": 1}, {"scale": 0}])
def test_integers_and_floats_of_one_value_give_one_key(settings):
    as_floats = {name: float(value) for name, value in settings.items()}
    assert Run(**settings) == Run(**as_floats)
    assert Run(**settings).key == Run(**as_floats).key
