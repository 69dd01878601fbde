"""Bundles: many results in one file, found as if each had its own."""

import json
import re
from dataclasses import replace

import pytest

from zeroinit.bench.spec import Run
from zeroinit.bench.store import Result, Store

ENVIRONMENT = {"zeroinit": "0", "python": "3", "torch": "2", "device": "cpu", "threads": 1}
RUN = Run(initializer="normal_bias", epochs=1)


def result(scale: float, seed: int = 0, recorded: dict | None = None) -> Result:
    history = {"test_accuracy": [0.5 + 0.01 * seed], "outcome": "completed"}
    return Result(replace(RUN, scale=scale), seed, history, "0" * 16, ENVIRONMENT, 1.0, recorded)


def test_what_was_bundled_is_found_and_equal(tmp_path):
    results = [result(2.0), result(3.0, 1), result(3.0, 0)]
    store = Store(tmp_path)
    assert not store.has(results[0].run, 0)
    path = store.bundle("grid", results)
    assert len(path.read_text().splitlines()) == 3
    for each in (store, Store(tmp_path)):
        assert all(each.has(found.run, found.seed) for found in results)
        assert all(each.load(found.run, found.seed) == found for found in results)
        assert not each.has(results[0].run, 1)
        assert len(list(each)) == 3


def test_a_line_holds_only_the_settings_that_differ(tmp_path):
    line = json.loads(Store(tmp_path).bundle("grid", [result(2.0)]).read_text())
    assert line["run"] == {"initializer": "normal_bias", "epochs": 1, "scale": 2.0}
    assert "recorded" not in line


def test_a_file_of_its_own_comes_first(tmp_path):
    store = Store(tmp_path)
    store.bundle("grid", [result(2.0)])
    newer = replace(result(2.0), seconds=9.0)
    store.save(newer)
    assert store.load(newer.run, 0) == newer


def test_a_broken_line_is_named(tmp_path):
    path = Store(tmp_path).bundle("grid", [result(2.0), result(3.0)])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-9]]))
    store = Store(tmp_path)
    assert store.has(replace(RUN, scale=2.0), 0)
    assert not store.has(replace(RUN, scale=3.0), 0)
    assert list(store.problems) == [f"{path}, line 2"]
    assert re.search(
        r"grid\.jsonl, line 2: cannot be read as a result \(.*\); delete that line", *store.problems.values()
    )


def test_a_file_of_others_is_no_bundle(tmp_path):
    """As the notes of another tool in the same folder: no line of it is to be deleted."""
    path = tmp_path / "notes.jsonl"
    path.write_text('{"note": 1}\n{"note": 2}\n')
    store = Store(tmp_path)
    assert not store.has(RUN, 0)
    assert store.problems == {str(path): f"{path}: no line of it can be read as a result; move it away"}


def test_a_text_with_a_line_separator_of_unicode(tmp_path):
    odd = replace(result(2.0), environment=ENVIRONMENT | {"device": "cpu\u2028"})
    path = Store(tmp_path).bundle("grid", [odd, result(3.0)])
    path.write_text(path.read_text().replace("\\u2028", "\u2028"))
    assert len(list(Store(tmp_path))) == 2


@pytest.mark.parametrize("kind", ["a link to a device", "a folder"])
def test_a_bundle_that_cannot_be_read_is_named(tmp_path, kind):
    path = tmp_path / "grid.jsonl"
    if kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    store = Store(tmp_path)
    assert not store.has(RUN, 0)
    assert re.search(
        r"^cannot be read as a bundle of results \(.+grid\.jsonl: .+\); move it away$", *store.problems.values()
    )


def test_two_bundles_that_contradict_each_other(tmp_path):
    """Nobody knows which is right, so neither counts. A file of its own decides."""
    changed = replace(result(2.0), history={"test_accuracy": [0.9], "outcome": "completed"})
    Store(tmp_path).bundle("a", [result(2.0), result(3.0)])
    Store(tmp_path).bundle("b", [changed, replace(result(3.0), seconds=9.0)])
    store = Store(tmp_path)
    assert not store.has(changed.run, 0)
    assert store.has(result(3.0).run, 0)
    (problem,) = store.problems.values()
    assert problem == (
        f"{tmp_path / 'b.jsonl'}: its result of {changed.run.key}, seed 0, differs from another in a bundle; "
        "neither counts, so remove one of them"
    )
    store.save(changed)
    assert store.load(changed.run, 0) == changed


def test_a_byte_that_is_no_text_damages_its_line_alone(tmp_path):
    path = Store(tmp_path).bundle("grid", [result(1.0), result(2.0)])
    first, second = path.read_bytes().splitlines()
    path.write_bytes(first.replace(b"cpu", b"cp\xff") + b"\n" + second + b"\n")
    store = Store(tmp_path)
    assert len(list(store)) == 1
    assert [place.partition(", ")[2] for place in store.problems] == ["line 1"]
