"""Stored results: whole or absent, readable or refused in one clear line."""

import contextlib
import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from zeroinit._common import InputError
from zeroinit.bench import store as store_module
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store, UnreadableError, read_result

HISTORY_WITHOUT_EPOCHS = {"test_accuracy": [], "outcome": "completed"}


@pytest.fixture
def path(store, run, make_result):
    """The file of a stored result."""
    store.save(make_result(run, 0, [0.4, 0.9]))
    return store.path(run, 0)


def edit(path, change) -> None:
    """Apply ``change`` to the stored dictionary, as somebody would who makes its checksum anew."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(signed(content))


def signed(content: dict) -> str:
    """Return a stored dictionary as text with the checksum that it should have: reference of what is written."""
    content.pop("sha256", None)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps(content | {"sha256": hashlib.sha256(canonical).hexdigest()})


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


def test_settings_that_are_shared_are_each_read_by_their_type(store, run, path, without_type_checks):
    """``True == 1 == 1.0`` for Python, and only one of them is a number of epochs."""
    assert store.load(run, 0).run is store.load(run, 0).run
    for wrong in (True, 2.0, "2"):
        edit(path, lambda content, value=wrong: content["run"].update(epochs=value))
        with pytest.raises(InputError, match=r"cannot be read as a result \(epochs="):
            store.load(run, 0)


def test_what_a_store_keeps_is_read_again_if_its_file_changes(store, run, path):
    keeping = Store(store.root, keep=True)
    first = keeping.find(run, 0)
    assert keeping.find(run, 0) is first
    assert store.find(run, 0) is not store.find(run, 0)
    edit(path, lambda content: content["history"].update(test_accuracy=[0.4, 0.75]))
    assert keeping.find(run, 0).history["test_accuracy"] == [0.4, 0.75]
    path.write_text("{")
    assert keeping.find(run, 0) is None
    path.unlink()
    assert keeping.find(run, 0) is None
    assert not keeping.has(run, 0)


def test_what_is_missing_is_seen_by_one_look_at_the_folder_of_a_run(store, run, make_result, monkeypatch):
    """The slow twin is ``has``."""
    other = replace(run, scale=3.0)
    store.bundle("some", [make_result(run, seed, [0.5]) for seed in (2, 3)])
    for seed in (0, 1, 7):
        store.save(make_result(run, seed, [0.5]))
    store.path(run, 4).with_name("seed-4.json.damaged-1").touch()
    store.path(run, 5).mkdir()
    for each in (run, other):
        assert store.missing(each, range(9)) == {seed for seed in range(9) if not store.has(each, seed)}
    assert store.missing(other, range(2)) == {0, 1}
    monkeypatch.setattr(Path, "lstat", lambda *_: pytest.fail("looks at a file of its own"))
    monkeypatch.setattr(Path, "is_symlink", lambda path: False)
    assert store.missing(run, range(9)) == {4, 6, 8}


def test_what_a_recorder_found_comes_back(store, run):
    result = execute(replace(run, recorder="gradients"), 0)
    store.save(result)
    assert result.recorded
    assert store.load(result.run, 0) == result


def test_without_a_recorder_the_file_is_as_it_always_was(path):
    content = json.loads(path.read_text())
    names = ["format", "run", "seed", "history", "initial_hash", "environment", "seconds", "sha256"]
    assert list(content) == names
    assert json.loads(signed(dict(content)))["sha256"] == content["sha256"]
    assert read_result(path).recorded is None


def test_every_stored_result_of_the_project_is_still_read():
    results = list(Store(Path(__file__).parents[2] / "docs" / "results" / "runs"))
    assert len(results) > 80
    for result in results:
        assert (result.recorded is None) == (result.run.recorder == "none")


def test_where_a_result_comes_from_is_stored_and_checked(store, run, path, without_type_checks):
    """A result of today says what made it; one from before has no origin, and is read as it was."""
    assert store.load(run, 0).origin is None
    result = execute(run, 1)
    store.save(result)
    assert store.load(run, 1).origin == result.origin
    assert set(result.origin) == {"source", "data", "processor", "started"}
    edit(store.path(run, 1), lambda content: content["origin"].update(processor="\x1b[2J"))
    assert store.load(run, 1).origin["processor"] == "�[2J"
    for odd in ("text", {"data": ["x"]}, {"data": "x" * 1000}):
        edit(path, lambda content, odd=odd: content.update(origin=odd))
        with pytest.raises(InputError, match=r"its (environment or its )?origin"):
            store.load(run, 0)


@pytest.mark.parametrize("recorded", [None, "gone", [1, 2]])
def test_a_result_that_lost_what_was_recorded_is_refused(store, run, make_result, recorded, without_type_checks):
    run = replace(run, recorder="gradients")
    lost = replace(make_result(run, 0, [0.4, 0.9]), recorded=recorded)
    with pytest.raises(InputError, match=r"cannot be stored \(it holds nothing of what its recorder found\)$"):
        store.save(lost)
    store.save(replace(lost, recorded={}))
    edit(store.path(run, 0), lambda content: content.update(recorded=recorded))
    with pytest.raises(InputError, match=r"\(it holds nothing of what its recorder found\); delete it"):
        store.load(run, 0)


def test_a_run_that_ends_early_by_its_settings_may_be_short(store, run, make_result):
    short = replace(run, epochs=30, max_steps=5)
    store.save(replace(make_result(replace(run, epochs=1), 0, [0.4]), run=short))
    assert len(store.load(short, 0).history["test_accuracy"]) == 1
    edit(store.path(short, 0), lambda content: content.update(history=HISTORY_WITHOUT_EPOCHS))
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
    "other format": lambda text: text.replace('"format": 2', '"format": 0'),
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


def test_every_changed_digit_is_noticed(store, run, path):
    """Whoever changes a file without its checksum is found out, at each place."""
    text = path.read_text()
    places = [match.start() for match in re.finditer(r"\d", text)]
    for place in places:
        path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
        with pytest.raises(InputError, match="cannot be read as a result"):
            store.load(run, 0)
    assert len(places) > 60


def test_a_result_of_the_first_format_has_no_checksum(store, run, path):
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="it lacks 'sha256'"):
        store.load(run, 0)
    path.write_text(json.dumps(content | {"format": 1}))
    assert store.load(run, 0).history["test_accuracy"] == [0.4, 0.9]


HOSTILE = {
    "accuracy above 1": lambda content: content["history"].update(test_accuracy=[0.4, 5]),
    "accuracy below 0": lambda content: content["history"].update(test_accuracy=[0.4, -3.0]),
    "accuracy is true": lambda content: content["history"].update(test_accuracy=[0.4, True]),
    "huge accuracy": lambda content: content["history"].update(test_accuracy=[0.4, 10**400]),
    "other lengths": lambda content: content["history"].update(validation_accuracy=[0.4]),
    "another outcome": lambda content: content["history"].update(outcome="fine"),
    "seed is a list": lambda content: content.update(seed=[0]),
    "seed is true": lambda content: content.update(seed=False),
    "huge number": lambda content: content.update(recorded={"ranks": [10**400]}),
    "long text": lambda content: content["environment"].update(device="x" * 10**5),
    "settings are a list": lambda content: content.update(run=[]),
    "format is true": lambda content: content.update(format=True),
    "format is no whole number": lambda content: content.update(format=2.0),
    "format is a text": lambda content: content.update(format="2"),
    "a setting of another version": lambda content: content["run"].update(depth=3),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_result_that_cannot_be_is_refused(store, run, path, kind, without_type_checks):
    """Also with a checksum that is right."""
    edit(path, HOSTILE[kind])
    with pytest.raises(InputError, match=r"cannot be read as a result \(.+\); delete it to compute it again$"):
        store.load(run, 0)


def test_a_newer_format_says_what_to_do(store, run, path):
    edit(path, lambda content: content.update(format=3))
    with pytest.raises(InputError, match=r"json: is of a newer zeroinit \(format 3\); update zeroinit$"):
        store.load(run, 0)
    path.write_text(path.read_text().replace('"format": 3', '"format": 4'))
    with pytest.raises(InputError, match="its checksum is wrong"):
        store.load(run, 0)


def test_what_has_no_checksum_is_counted(store, run, path, make_result):
    assert store.find(run, 0) is not None
    assert store.unchecked == {(run.key, 0)}
    store.save(replace(make_result(run, 1, [0.4, 0.9]), origin={"source": "0"}))
    assert store.find(run, 1) is not None
    assert store.unchecked == {(run.key, 0)}


@pytest.mark.parametrize(
    "name", ["seed-1\u0660.json", "seed-00.json", "seed-\uff10.json", "seed--0.json", "SEED-0.JSON"]
)
def test_names_that_only_look_like_a_seed(store, run, path, name):
    path.with_name(name).write_bytes(path.read_bytes())
    assert store.stored() == [(run.key, 0)]


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (
            "s3://bucket/a/b",
            "s3://bucket/a/b: is a URL, and files are kept in folders; write the folder where it is mounted",
        ),
        ("memory://x", "memory://x: is a URL"),
        ("file:///tmp/a", "file:///tmp/a: is a URL, and files are kept in folders; write /tmp/a"),
    ],
)
def test_a_url_is_no_folder(root, message, tmp_path, monkeypatch):
    """A path would take it as a folder of that name below the working directory."""
    monkeypatch.chdir(tmp_path)
    for each in (root, Path(root)):
        with pytest.raises(InputError, match=f"^{re.escape(message)}"):
            Store(each)
    assert list(tmp_path.iterdir()) == []
    assert Store("C:/results").root == Path("C:/results")


def test_texts_that_a_terminal_would_obey(store, run, path):
    edit(path, lambda content: content["environment"].update(device="cpu\x1b[2J\n\ud800| <b>"))
    assert store.load(run, 0).environment["device"] == "cpu�[2J��| <b>"


@pytest.mark.parametrize("target", ["../.annex/objects/SHA256E-s1", "elsewhere"])
def test_a_link_to_a_file_is_a_result(store, run, path, target, make_result, tmp_path):
    """git-annex, datalad and DVC keep files so."""
    whole, place = store.load(run, 0), path.parent / target
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
    path.symlink_to(target)
    keeping = Store(store.root, keep=True)
    assert store.load(run, 0) == keeping.find(run, 0) == whole
    assert store.missing(run, [0]) == set()
    content = make_result(run, 0, [0.5, 0.25])
    store.save(content)  # in place of the link, and not through it
    assert not path.is_symlink()
    path.unlink()
    path.symlink_to(target)
    assert keeping.find(run, 0) == whole
    edit(place, lambda content: content["history"].update(test_accuracy=[0.4, 0.75]))  # the link stays as it is
    assert keeping.find(run, 0).history["test_accuracy"] == [0.4, 0.75]
    place.write_text("{")
    assert store.find(run, 0) is None
    aside = store.set_aside(run, 0)
    assert aside.is_symlink()  # damaged is damaged
    place.unlink()
    path.write_text("{")
    assert store.find(run, 0) is None
    assert store.set_aside(run, 0) != aside  # which leads to nothing now, and stays
    assert aside.is_symlink()


@pytest.mark.parametrize("kind", ["a link to nothing", "a circle of links", "git-annex", "git lfs"])
def test_a_result_whose_content_was_not_fetched_is_not_damaged(store, run, path, kind):
    path.unlink()
    if kind == "a link to nothing":
        path.symlink_to("../.annex/objects/SHA256E-s1")
    elif kind == "a circle of links":
        path.symlink_to(path.name)
    else:
        path.write_text(
            {"git-annex": "/annex/objects/S\n", "git lfs": "version https://git-lfs.github.com/spec/v1\n"}[kind]
        )
    assert store.has(run, 0)
    assert store.missing(run, [0]) == set()
    assert store.find(run, 0) is None
    with pytest.raises(
        UnreadableError, match=rf"^{re.escape(str(path))}: cannot be read \(.+\); .*(`git annex get`|try)"
    ):
        store.set_aside(run, 0)
    assert os.path.lexists(path)
    if kind == "a link to nothing":
        assert "the link leads to nothing" in store.problems[str(path)]


@pytest.mark.parametrize("kind", ["a link to nothing", "git lfs"])
def test_a_bundle_whose_content_was_not_fetched_hides_no_result(store, run, make_result, kind):
    """Nobody knows what it holds, so none of it may be computed again without a word."""
    bundle = store.bundle("some", [make_result(run, 7, [0.5])])
    place = bundle.rename(bundle.with_name("elsewhere"))
    bundle.symlink_to(place.name)
    assert Store(store.root).has(run, 7)
    bundle.unlink()
    bundle.symlink_to("nowhere") if kind == "a link to nothing" else bundle.write_text(
        "version https://git-lfs.github.com/"
    )
    store = Store(store.root)
    with pytest.raises(UnreadableError, match=r"some\.jsonl: cannot be read"):
        store.missing(run, [7])
    assert store.find(run, 7) is None
    assert "some.jsonl" in " ".join(store.problems.values())


@pytest.mark.parametrize(
    "kind", ["a link to a folder", "a link to a fifo", "a link to much", "fifo", "device", "large"]
)
def test_what_is_no_regular_file(store, run, path, kind, monkeypatch, tmp_path):
    """Read at once or refused at once, never waited for."""
    content = path.read_bytes()
    path.unlink()
    place = tmp_path / "elsewhere" if kind.startswith("a link") else path
    if place != path:
        path.symlink_to(place)
    if kind.endswith("folder"):
        place.mkdir()
    elif kind.endswith("fifo"):
        os.mkfifo(place)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        place.write_bytes(content)
        monkeypatch.setattr(store_module, "MOST_BYTES", len(content) - 1)
    assert store.has(run, 0)
    with pytest.raises(InputError, match=r"is no regular file|bytes, more than"):
        store.load(run, 0)
    assert store.find(run, 0) is None
    assert list(store.problems) == [str(path)]
    assert store.unreadable == {}


def test_a_folder_that_is_a_link_is_refused(store, run, make_result, tmp_path):
    """It could lead anywhere: nothing is read there and nothing written."""
    (tmp_path / "elsewhere").mkdir()
    store.root.mkdir(exist_ok=True)
    (store.root / run.key).symlink_to(tmp_path / "elsewhere")
    for use in (
        lambda: store.save(make_result(run, 0, [0.4, 0.9])),
        lambda: store.has(run, 0),
        lambda: store.load(run, 0),
    ):
        with pytest.raises(InputError, match="is a link; results are read and written in folders alone"):
            use()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert store.find(run, 0) is None  # one such folder does not end a report over others
    assert list(store.problems) == [str(store.path(run, 0))]


def test_a_damaged_result_is_set_aside(store, run, path, make_result):
    """Its run is missing then, and nothing that was there is lost."""
    for number in (1, 2):
        path.write_text("damaged")
        assert store.find(run, 0) is None
        assert store.set_aside(run, 0) == path.with_name(f"seed-0.json.damaged-{number}")
        assert not store.has(run, 0)
        assert store.find(run, 0) is None
    store.save(make_result(run, 0, [0.4, 0.9]))
    assert store.find(run, 0) == store.load(run, 0)
    assert len(list(store)) == 1


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_cannot_be_read_is_named_with_the_way_out(store, run, path, kind, without_type_checks):
    damaged = DAMAGE[kind](path.read_text())
    assert damaged != path.read_text()
    with contextlib.suppress(ValueError, AttributeError, TypeError, RecursionError):
        damaged = signed(json.loads(damaged))
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
    with pytest.raises(InputError, match=r"seed-0\.json: is no regular file; move it away$"):
        store.load(run, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["run"].update(scale=2.0),
        lambda content: content["run"].update(epochs=2, batch_size=1),
    ],
)
def test_a_file_that_holds_other_settings_than_its_name(store, run, path, change):
    edit(path, change)
    with pytest.raises(InputError, match="holds other settings than its name says; delete it to compute it again"):
        store.load(run, 0)
    assert read_result(path).history["outcome"] == "completed"


def test_a_file_that_holds_another_seed_than_its_name(store, run, path):
    edit(path, lambda content: content.update(seed=1))
    with pytest.raises(InputError, match=r"seed-0\.json: holds seed 1, not seed 0; delete it to compute it again$"):
        store.load(run, 0)
    edit(path, lambda content: content.update(seed=1, run=content["run"] | {"scale": 2.0}))
    with pytest.raises(InputError, match="holds other settings than its name says"):
        store.load(run, 0)


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
    with pytest.raises(InputError, match=r"seed 1: cannot be stored \(its history has 0 of 4 epochs\)"):
        store.save(make_result(diverging, 1, [], "diverged"))


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
