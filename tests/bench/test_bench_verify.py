"""Stored runs are carried out again: what was forged, damaged or cannot be repeated is found."""

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from zeroinit._common import InputError
from zeroinit.bench.progress import Progress
from zeroinit.bench.running.runner import execute
from zeroinit.bench.running.schedule import Options
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store
from zeroinit.bench.verify import OUTCOMES, compare, verify

ELSEWHERE = {"torch": "1.0.0"}


def check(store: Store, sample: int = 9, seed: int = 0, budget: float = 600.0, imports: bool = False):
    silent = Progress(Console(file=io.StringIO()))
    return verify(Options(store.root), sample=sample, seed=seed, budget=budget, imports=imports, progress=silent)


@pytest.fixture(scope="module")
def made():
    """Three seeds of one run, made here."""
    run = Run(dataset="digits", initializer="normal_bias", epochs=2, batch_size=64)
    return [execute(run, seed) for seed in range(3)]


def outcomes(store: Store, **settings) -> dict[str, str]:
    return {each.name.partition("/")[2]: each.outcome for each in check(store, **settings)[0]}


def forge(result, by: float = 0.01):
    """Return a result with another last accuracy, and a checksum that is right once it is stored."""
    accuracies = result.history["test_accuracy"]
    return replace(result, history=result.history | {"test_accuracy": [*accuracies[:-1], accuracies[-1] + by]})


def test_a_forged_result_is_found_among_the_others(store, made):
    for result in (made[0], forge(made[1], 1e-12), made[2]):
        store.save(result)
    found = outcomes(store)
    assert found == {"seed-0": "equal bits", "seed-1": "differs", "seed-2": "equal bits"}
    reason = next(each for each in check(store)[0] if each.is_wrong).reason
    assert reason == "another test accuracy from epoch 2 on, on the same kind of machine"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda result: replace(result, initial_hash="0" * 16), "other initial parameters"),
        (lambda result: replace(result, origin=result.origin | {"data": "0" * 64}), "other data"),
        (lambda result: replace(result, seed=8), "other initial parameters"),
    ],
)
def test_other_forgeries(store, made, change, words):
    store.save(change(made[0]))
    assert [each.reason for each in check(store)[0]] == [f"{words}, on the same kind of machine"]


def test_another_source_is_named_but_excuses_nothing(store, made):
    result = replace(forge(made[0]), origin=made[0].origin | {"source": "0" * 64})
    assert compare(result, made[0], list)[1].endswith("on the same kind of machine; it was made by another source")
    assert compare(replace(made[0], origin=result.origin), made[0], list)[0] == "equal bits"


def test_results_from_before_the_origin_was_stored(made):
    """They do not name their processor: equal bits are seen as such, other bits are judged by their size."""
    old = replace(made[0], origin=None)
    finals = [0.90, 0.95, 0.85]
    assert compare(old, made[0], list)[0] == "equal bits"
    outcome, reason = compare(forge(old, 0.001), made[0], lambda: finals)
    assert (outcome, "another processor, perhaps" in reason) == ("within the interval", True)
    assert compare(forge(old, -0.75), made[0], lambda: finals)[0] == "differs"


def test_elsewhere_the_size_of_the_difference_decides(made):
    there = replace(made[0], environment=made[0].environment | ELSEWHERE)
    finals = [0.900, 0.904, 0.896, 0.902]
    width = 5.840909309733355 * np.std(finals, ddof=1) * math.sqrt(2)  # t of 99 %, 3 degrees of freedom
    for share, outcome in ((0.99, "within the interval"), (1.01, "differs")):
        found, reason = compare(forge(there, -share * width), made[0], lambda: finals)
        assert found == outcome
        assert f"another torch; two runs may lie {100 * width:.2f} points apart (99 % interval" in reason
    found, reason = compare(forge(there), made[0], lambda: finals[:1])
    assert (found, reason) == ("not compared", "another torch; 1 other seed stored, 2 give an interval")


def test_two_honest_runs_lie_within_the_interval_as_often_as_it_says(made):
    """One run again elsewhere is at worst like another seed: the rate is that of the level."""
    generator, inside = np.random.default_rng(0), 0
    environment = made[0].environment | ELSEWHERE
    for _ in range(1000):
        old, new, *others = generator.normal(0.6, 0.05, size=6).tolist()
        pair = [replace(made[0], history=made[0].history | {"test_accuracy": [0.5, each]}) for each in (old, new)]
        outcome, _ = compare(replace(pair[0], environment=environment), pair[1], lambda found=others: found)
        inside += outcome == "within the interval"
    assert 980 <= inside <= 998  # of 1000, with 990 expected


def test_where_all_seeds_agree_one_image_is_allowed(made):
    there = replace(made[0], environment=made[0].environment | ELSEWHERE)
    finals = [0.1, 0.1, 0.1]
    assert compare(forge(there, 1 / 450), made[0], lambda: finals)[0] == "within the interval"
    assert compare(forge(there, 2 / 450), made[0], lambda: finals)[0] == "differs"


def test_threads_are_those_of_the_stored_run(store, run, monkeypatch):
    """A result of two threads is computed with two again, whatever is set here."""
    from zeroinit.bench import verify as module

    result = execute(run, 0)
    store.save(replace(result, environment=result.environment | {"threads": 2}))
    monkeypatch.setattr(
        module, "compare", lambda stored, made, others: ("equal bits", str(made.environment["threads"]))
    )
    assert [each.reason for each in check(store)[0]] == ["2"]


def test_another_number_of_threads_is_called_that(make_result, run):
    made = make_result(run, 0, [0.5, 0.5])
    stored = replace(made, environment=made.environment | {"threads": 2}, initial_hash="other")
    reason = compare(stored, made, lambda: ())[1]
    assert reason.startswith("another number of threads; ")


def test_own_code_of_a_stranger_is_not_called(store, made, tmp_path, monkeypatch):
    """A result names an initializer of its own: nothing is imported unless the user says so."""
    (tmp_path / "stranger.py").write_text(
        "from pathlib import Path\nPath('was_here').touch()\ndef start(tensor): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    store.save(replace(made[0], run=replace(made[0].run, initializer="stranger:start")))
    assert [each.outcome for each in check(store)[0]] == ["not compared"]
    assert not Path("was_here").exists()
    assert [each.outcome for each in check(store, imports=True)[0]] != ["not compared"]
    assert Path("was_here").exists()


def test_damaged_and_impossible_runs(store, made):
    store.save(made[0])
    store.save(replace(made[1], run=replace(made[1].run, hidden="no number")))
    store.save(made[2])
    path = store.path(made[0].run, 0)
    path.write_text(path.read_text().replace('"epochs": 2', '"epochs": 3'))
    (store.root / "bundle.jsonl").write_text("{}\n")
    checks, _ = check(store)
    assert sorted(each.outcome for each in checks) == ["damaged", "damaged", "equal bits", "failed"]
    assert sum(each.is_wrong for each in checks) == 3


def test_a_result_that_cannot_be_read_here_is_not_called_damaged(store, made):
    store.save(made[0])
    store.path(made[0].run, 1).symlink_to("../.annex/objects/1")
    checks, _ = check(store)
    assert sorted(each.outcome for each in checks) == ["equal bits", "not compared"]
    assert not any(each.is_wrong for each in checks)


def test_the_time_limit_bounds_the_sample(store, made):
    store.save(made[0])
    store.save(replace(made[1], seconds=10_000.0))
    checks, num_too_long = check(store, budget=100.0)
    assert ([each.outcome for each in checks], num_too_long) == (["equal bits"], 1)
    assert [each.outcome for each in check(store, budget=1e-3 + made[0].seconds, sample=1)[0]] in (
        ["equal bits"],
        ["not compared"],  # where this machine is slower now
    )


def test_a_run_that_takes_longer_than_it_says_is_ended(store, made):
    store.save(replace(made[0], run=replace(made[0].run, epochs=2), seconds=0.0))
    checks, _ = check(store, budget=1e-6)
    assert [(each.outcome, each.reason) for each in checks] == [("not compared", "the time limit came first")]


def test_the_seed_chooses_the_sample(store, made):
    store.bundle("all", [replace(made[0], seed=seed) for seed in range(40)])
    chosen = [{each.name for each in check(store, sample=3, seed=seed)[0]} for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert [len(each) for each in chosen] == [3, 3, 3]


def test_an_empty_folder_is_refused(store):
    with pytest.raises(InputError, match=r"holds no result; name the folder of stored results$"):
        check(store)


def test_every_outcome_is_told_apart():
    assert len(set(OUTCOMES)) == len(OUTCOMES)
