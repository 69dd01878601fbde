"""Damaged and hostile inputs: a clear error or a clean recovery; nothing runs, hangs or is silently wrong.

The short form is part of the default tests; ``make soak`` tries 500.
"""

import contextlib
import importlib.util
import json
import random
import shutil
import signal
import sys
import warnings
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroinit._common import InputError
from zeroinit.bench.data.files.cifar_batches import records_of_pickle
from zeroinit.bench.data.files.idx import decode_idx, gunzip
from zeroinit.bench.result import Result, parse_result, write_result
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store, read_bundle
from zeroinit.bench.training import Checkpoint
from zeroinit.cli import main

spec = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
hostile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hostile)

RUN = Run(dataset="digits", initializer="normal_bias", epochs=2, batch_size=256, hidden="8")
NUMBERS = [pytest.param(1, id="short"), pytest.param(10, id="long", marks=pytest.mark.soak)]
"""How many times the short form's number of inputs."""


@pytest.fixture(scope="module")
def made() -> list[Result]:
    return [execute(RUN, seed) for seed in range(2)]


@pytest.fixture(autouse=True)
def guarded(tmp_path, monkeypatch, without_type_checks):
    """A folder of its own, no more than a minute, and nothing was executed."""
    monkeypatch.chdir(tmp_path)
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    yield
    signal.alarm(0)
    assert not list(tmp_path.rglob(hostile.TRAP))


@contextlib.contextmanager
def within(seconds: int):
    signal.alarm(seconds)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("times", NUMBERS)
def test_a_store_believes_nothing_that_is_damaged(made, tmp_path, times):
    rng = random.Random(1)
    for number in range(25 * times):
        store = Store(tmp_path / str(number))
        for result in made:
            store.save(result)
        path = store.path(RUN, 0)
        before = path.read_bytes()
        if number % 5:
            path.write_bytes(rng.choice(hostile.BYTES)(before, rng))
        else:
            hostile.put_in_place(path, rng)
        with within(20):
            found = store.find(RUN, 0)
            assert found is None or found == made[0], number
            assert (found is None) == (str(path) in store.problems)
            assert store.find(RUN, 1) == made[1]
        shutil.rmtree(store.root)


@pytest.mark.parametrize("times", NUMBERS)
def test_a_forged_result_is_one_that_can_be_or_none(made, times):
    """With a checksum that is right: what is taken up, every report can use, and no terminal obeys."""
    rng, text = random.Random(2), write_result(made[0]).encode()
    for _ in range(40 * times):
        with within(20), contextlib.suppress(InputError):
            found = parse_result(hostile.odd(text, rng).decode(), "place")
            assert all(0 <= each <= 1 for each in found.history["test_accuracy"])
            assert all(
                str(each).isprintable() for each in [*found.environment.values(), *(found.origin or {}).values()]
            )
            assert parse_result(write_result(found), "again") == found


@pytest.mark.parametrize("times", NUMBERS)
def test_a_damaged_line_of_a_bundle_hides_no_other(made, tmp_path, times):
    rng, path = random.Random(3), Store(tmp_path).bundle("all", made)
    lines = path.read_bytes().splitlines()
    for _ in range(10 * times):
        path.write_bytes(b"\n".join([rng.choice(hostile.BYTES)(lines[0], rng).replace(b"\n", b""), lines[1]]) + b"\n")
        with within(20):
            results, problems = read_bundle(path)
            assert made[1] in results
            assert all(each in made for each in results)
            assert len(results) + len(problems) == 2


@pytest.mark.parametrize("times", NUMBERS)
def test_no_checkpoint_that_is_damaged_changes_a_result(made, tmp_path, times):
    rng, folder = random.Random(4), tmp_path / "states"
    execute(RUN, 0, checkpoint=Checkpoint(folder, 0))
    states = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(states) == 2
    for number in range(4 * times):
        for name, content in states.items():
            (folder / name).write_bytes(content)
        for name in rng.sample(sorted(states), rng.randrange(1, 3)):
            if number % 4:
                (folder / name).write_bytes(rng.choice(hostile.BYTES)(states[name], rng))
            else:
                hostile.put_in_place(folder / name, rng)
        with within(60), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert execute(RUN, 0, checkpoint=Checkpoint(folder, 1e9)).history == made[0].history
        shutil.rmtree(folder)
        folder.mkdir()


@pytest.mark.parametrize("times", NUMBERS)
def test_data_that_is_no_data_is_refused(times):
    """The decoders alone; in front of them stands the checksum of every file."""
    rng, idx = random.Random(5), bytes([0, 0, 8, 1, 0, 0, 0, 5, 1, 2, 3, 4, 5])
    for _ in range(15 * times):
        change = rng.choice(hostile.BYTES)
        with within(20), contextlib.suppress(InputError):
            assert len(decode_idx(change(idx, rng), 1, "file")) == 5
        with within(20), contextlib.suppress(InputError):
            gunzip(change(idx, rng), "file")
        with within(20), pytest.raises(InputError):
            records_of_pickle(hostile.trap(idx, rng), "file")
        with within(20), contextlib.suppress(InputError):
            records_of_pickle(change(idx, rng), "file")


@pytest.mark.parametrize("times", NUMBERS)
def test_a_report_over_hostile_results_ends_in_one_line_or_a_page(made, tmp_path, monkeypatch, capsys, times):
    from zeroinit.bench.catalogue import FIGURES
    from zeroinit.bench.spec import Curve, Figure

    monkeypatch.setitem(FIGURES, "one", Figure("one", "One", (Curve("start", RUN),)))
    monkeypatch.setattr(sys, "argv", ["zeroinit"])
    rng, text = random.Random(6), write_result(made[0]).encode()
    for number in range(times):
        store = Store(tmp_path / f"r{number}")
        store.save(replace(made[1], environment=made[1].environment | {"device": hostile.SCRIPT}))
        path = store.path(RUN, 0)
        path.write_bytes(hostile.odd(text, rng) if number % 2 else rng.choice(hostile.BYTES)(text, rng))
        with within(60), pytest.raises(SystemExit) as ended:
            main(["report", "one", "--seeds", "2", "--results", str(store.root), "--report", "page"])
        out, err = capsys.readouterr()
        assert ended.value.code in (0, 1)
        assert "Traceback" not in out + err
        assert "\x1b" not in out + err
        page = Path("page/index.html").read_text() + Path("page/report.md").read_text()
        assert "<script>alert" not in page
        assert "\x1b" not in page


texts = st.text(max_size=12)
values = {
    "bool": st.booleans(),
    "int": st.integers(-(2**70), 2**70),
    "float": st.floats(allow_nan=True, allow_infinity=True),
    "str": texts,
}


def any_value(entry):
    kinds = [
        values[kind.strip()]
        for kind in str(getattr(entry.type, "__name__", entry.type)).split("|")
        if kind.strip() in values
    ]
    return st.one_of(kinds or [st.none()]) | st.just(entry.default)


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({entry.name: any_value(entry) for entry in fields(Run)}))
def test_settings_survive_text_and_print(chosen):
    """What is taken is the same after JSON and after ``repr``, with the same key; the rest is refused in one line."""
    run = None
    with contextlib.suppress(InputError):
        run = Run(**chosen)
    if run is None:
        return
    assert eval(repr(run)) == run
    again = Run(**json.loads(json.dumps(run.settings)))
    assert (again, again.key, hash(again)) == (run, run.key, hash(run))
    assert Run(**run.to_dict()) == run
