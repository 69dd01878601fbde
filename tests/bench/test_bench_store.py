"""Stored results: whole or absent, readable or refused in one clear line."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from zeroinit._common import InputError
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store, read_result

HISTORY_WITHOUT_EPOCHS = {"test_accuracy": [], "outcome": "completed"}


@pytest.fixture
def path(store, run, make_result):
    """The file of a stored result."""
    store.save(make_result(run, 0, [0.4, 0.9]))
    return store.path(run, 0)


def edit(path, change) -> None:
    """Apply ``change`` to the stored dictionary."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_loaded_is_what_was_saved(store, run):
    result = execute(run, 4)
    assert not store.has(run, 4)
    store.save(result)
    assert store.has(run, 4)
    assert store.load(run, 4) == result
    assert list(store) == [result]


def test_a_result_lies_under_its_key_and_seed(store, run, path):
    assert path == store.root / run.key / "seed-0.json"
    assert [file.name for file in store.root.rglob("*") if file.is_file()] == ["seed-0.json"]
    assert not store.has(run, 1)
    assert not store.has(replace(run, scale=3.0), 0)


def test_every_setting_is_written_out(path, run):
    assert json.loads(path.read_text())["run"] == asdict(run)


def test_a_result_from_before_a_setting_was_added_is_still_read(store, run, path):
    edit(path, lambda content: content["run"].pop("warmup_steps"))
    assert store.load(run, 0).run == run


def test_what_a_recorder_found_comes_back(store, run):
    result = execute(replace(run, recorder="gradients"), 0)
    store.save(result)
    assert result.recorded
    assert store.load(result.run, 0) == result


def test_without_a_recorder_the_file_is_as_it_always_was(path):
    content = json.loads(path.read_text())
    assert list(content) == ["format", "run", "seed", "history", "initial_hash", "environment", "seconds"]
    assert read_result(path).recorded is None


def test_every_stored_result_of_the_project_is_still_read():
    results = list(Store(Path(__file__).parents[2] / "docs" / "results" / "runs"))
    assert len(results) > 80
    for result in results:
        assert (result.recorded is None) == (result.run.recorder == "none")


@pytest.mark.parametrize("recorded", [None, "gone", [1, 2]])
def test_a_result_that_lost_what_was_recorded_is_refused(store, run, make_result, recorded, without_type_checks):
    run = replace(run, recorder="gradients")
    store.save(replace(make_result(run, 0, [0.4, 0.9]), recorded=recorded))
    with pytest.raises(InputError, match=r"\(it holds nothing of what its recorder found\); delete it"):
        store.load(run, 0)


def test_a_run_that_ends_early_by_its_settings_may_be_short(store, run, make_result):
    short = replace(run, epochs=30, max_steps=5)
    store.save(replace(make_result(replace(run, epochs=1), 0, [0.4]), run=short))
    assert len(store.load(short, 0).history["test_accuracy"]) == 1
    store.save(replace(make_result(replace(run, epochs=0), 0, [0.4]), run=short, history=HISTORY_WITHOUT_EPOCHS))
    with pytest.raises(InputError, match="its history has 0 of 30 epochs"):
        store.load(short, 0)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_while_writing_leaves_what_was_there(monkeypatch, store, run, make_result, path, error):
    before = path.read_bytes()

    def crash(*_):
        raise error

    monkeypatch.setattr(os, "replace", crash)
    for seed in (0, 1):
        with pytest.raises((InputError, KeyboardInterrupt)) as caught:
            store.save(make_result(run, seed, [0.1, 0.1]))
        if isinstance(error, OSError):
            assert str(caught.value).startswith(f"cannot write {store.path(run, seed)}: No space left on device")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert not store.has(run, 1)
    assert [file.name for file in path.parent.iterdir()] == ["seed-0.json"]


def test_a_folder_that_cannot_be_written_to(tmp_path, run, make_result):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*seed-0\.json: Not a directory; choose a folder"):
        Store(tmp_path / "file").save(make_result(run, 0, [0.5]))


def test_a_missing_result(store, run):
    with pytest.raises(InputError, match=r"seed-7\.json: no such result; run `zeroinit reproduce` first$"):
        store.load(run, 7)


DAMAGE = {
    "empty": lambda text: "",
    "truncated": lambda text: text[: len(text) // 2],
    "no object": lambda text: "[1, 2]",
    "a word": lambda text: "null",
    "foreign": lambda text: '{"name": "something else"}',
    "other format": lambda text: text.replace('"format": 1', '"format": 99'),
    "unknown setting": lambda text: text.replace('"momentum"', '"impetus"'),
    "no history": lambda text: text.replace('"history"', '"story"'),
    "no outcome": lambda text: text.replace('"outcome"', '"end"'),
    "no device": lambda text: text.replace('"device"', '"machine"'),
    "history is a list": lambda text: re.sub(r'"history": \{.*?\}', '"history": []', text, flags=re.DOTALL),
    "accuracies are words": lambda text: text.replace("0.9", '"high"'),
    "accuracies are missing": lambda text: text.replace("0.9", "null"),
    "too few epochs": lambda text: re.sub(r'("test_accuracy": \[).*?\]', r"\1]", text, flags=re.DOTALL),
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_cannot_be_read_is_named_with_the_way_out(store, run, path, kind, without_type_checks):
    damaged = DAMAGE[kind](path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    with pytest.raises(InputError) as caught:
        store.load(run, 0)
    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be read as a result (")
    assert message.endswith("); delete it to compute it again")
    assert "\n" not in message


def test_bytes_that_are_no_text(store, run, path):
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a result"):
        store.load(run, 0)


def test_a_folder_in_place_of_a_file(store, run):
    store.path(run, 0).mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be read as a result"):
        store.load(run, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["run"].update(scale=2.0),
        lambda content: content["run"].update(epochs=2, batch_size=1),
        lambda content: content.update(seed=1),
    ],
)
def test_a_file_that_holds_other_settings_than_its_name(store, run, path, change):
    edit(path, change)
    with pytest.raises(InputError, match="holds other settings than its name says; delete it to compute it again"):
        store.load(run, 0)
    assert read_result(path).history["outcome"] == "completed"


def test_what_is_not_finite_becomes_null(store, diverging):
    result = execute(diverging, 0)
    store.save(result)
    text = store.path(diverging, 0).read_text()
    strict = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert None in strict["history"]["train_loss"]
    loaded = store.load(diverging, 0)
    assert loaded.history["outcome"] == "diverged"
    assert loaded.history["test_accuracy"] == result.history["test_accuracy"]


def test_a_diverged_run_may_be_short_but_not_empty(store, diverging, make_result):
    store.save(make_result(diverging, 0, [0.1], "diverged"))
    assert len(store.load(diverging, 0).history["test_accuracy"]) == 1
    store.save(make_result(diverging, 1, [], "diverged"))
    with pytest.raises(InputError, match="its history has 0 of 4 epochs"):
        store.load(diverging, 1)


def test_an_empty_or_missing_folder_holds_nothing(store, tmp_path):
    assert list(store) == []
    assert list(Store(tmp_path)) == []
    assert not store.has(Run(), 0)


def test_two_writers_of_one_result(store, make_result, run):
    """Whoever comes last wins; what is read in between is whole, and nothing is left behind."""
    results = [make_result(run, 0, [accuracy]) for accuracy in (0.25, 0.75)]
    store.save(results[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(store.save, results[number % 2]) for number in range(60)]
        reads = [pool.submit(Store(store.root).load, run, 0) for _ in range(60)]
        assert all(write.result() is None for write in writes)
        assert {read.result().history["test_accuracy"][-1] for read in reads} <= {0.25, 0.75}
    assert [path.name for path in store.root.rglob("*") if path.is_file()] == ["seed-0.json"]
