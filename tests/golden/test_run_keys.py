"""Keys of runs are folder names of stored results: they may never change.

When a test here fails after a change of ``Run``, the change orphans every stored result. Give the new field a default
that keeps the old behavior; do not update the keys.
"""

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from zeroinit._common import InputError
from zeroinit.bench.spec import Run

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


def names_of(kind: type) -> list[str]:
    """The fields that hold such values, or ``None``."""
    return [entry.name for entry in fields(Run) if kind in (get_args(entry.type) or [entry.type])]


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("value", [0, 1, 100, -0.0, np.int64(3), np.float64(0.25), np.float32(0.5)])
@pytest.mark.parametrize("name", names_of(float))
def test_numbers_of_one_value_give_one_key(name, value):
    run, as_float = Run(**{name: value}), Run(**{name: float(value) + 0.0})
    assert run == as_float
    assert run.key == as_float.key
    assert type(getattr(run, name)) is float


EQUALS = {
    int: [(3, np.int64(3)), (7, np.uint8(7))],
    bool: [(True, 1), (False, 0), (True, np.True_)],
    float: [(0.0, 0), (0.0, -0.0), (1.0, 1), (2.0, np.float64(2))],
    str: [("a", np.str_("a"))],
}


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("entry", fields(Run), ids=lambda entry: entry.name)
def test_runs_that_are_equal_have_one_key_and_one_text(entry):
    """Whatever the field: equal, hash, key and what is stored go together."""
    (kind,) = set(get_args(entry.type) or [entry.type]) - {type(None)}
    for one, other in EQUALS[kind]:
        first, second = Run(**{entry.name: one}), Run(**{entry.name: other})
        assert first == second
        assert hash(first) == hash(second)
        assert first.key == second.key
        assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())


COUNTS = {
    "epochs",
    "batch_size",
    "warmup_steps",
    "remedy_steps",
    "max_steps",
    "num_validation",
    "num_train",
    "num_test",
}


def test_the_counts_are_named():
    assert set(names_of(int)) == COUNTS


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("name", sorted(COUNTS))
@pytest.mark.parametrize("value", [1.5, 2.0, True, "3"])
def test_a_count_is_a_whole_number(name, value):
    with pytest.raises(InputError, match=f"^{name}={re.escape(repr(value))}: must be a whole number, such as 1$"):
        Run(**{name: value})


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("epochs", None, "a whole number, such as 1"),
        ("scale", None, "a finite number"),
        ("scale", "1", "a finite number"),
        ("scale", True, "a finite number"),
        ("scale", math.nan, "a finite number"),
        ("scale", math.inf, "a finite number"),
        ("scale", 10**400, "a finite number"),
        ("output_scale", "0", "a finite number"),
        ("norm_aware", None, "True or False"),
        ("norm_aware", "yes", "True or False"),
        ("auto_scale", 2, "True or False"),
        ("model", 3, "a text"),
        ("hidden", None, "a text"),
        ("hidden", (500, 250), "a text"),
    ],
)
def test_a_value_of_another_kind_is_refused(name, value, needed):
    with pytest.raises(InputError, match=f"^{name}={re.escape(repr(value))}: must be {needed}$"):
        Run(**{name: value})


BUNDLED = {
    "headlines.jsonl": (46, "ff8dff8efbe7"),
    "initbench.jsonl": (543, "7d521b00e536"),
    "large_bias_cnn.jsonl": (8, "bee5c28877ce"),
    "large_bias_grid.jsonl": (912, "61d9bc63e36e"),
    "precision.jsonl": (2, "2cc69fd2efd3"),
    "transformers.jsonl": (22, "32ac727a32aa"),
}
STORED = Path(__file__).parents[2] / "docs" / "results" / "runs"


def test_the_keys_of_all_stored_results_are_what_they_were():
    """Each lies in the folder of its key; those of bundles are compared with a digest of all their keys."""
    for path in STORED.glob("*/seed-*.json"):
        assert Run(**json.loads(path.read_text())["run"]).key == path.parent.name
    keys = {}
    for path in sorted(STORED.glob("*.jsonl")):
        lines = path.read_text().splitlines()
        found = sorted({Run(**json.loads(line)["run"]).key for line in lines})
        keys[path.name] = (len(found), hashlib.sha256(" ".join(found).encode()).hexdigest()[:12])
    assert keys == BUNDLED
