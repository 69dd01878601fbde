"""``verify``: a line for each run, a sum, and exit code 1 where one is wrong. ``power``: numbers first."""

import re
from dataclasses import replace
from pathlib import Path

from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store

RUN = Run(dataset="digits", initializer="normal_bias", epochs=1, batch_size=64)


def test_verify_tells_what_it_found(zeroinit):
    store = Store("results")
    results = [execute(RUN, seed) for seed in range(2)]
    for result in results:
        store.save(result)
    ended = zeroinit("verify", "--seed", "7")
    assert (ended.code, ended.err) == (0, "")
    *lines, last = ended.out.splitlines()
    assert sorted(re.match(rf"equal bits: {RUN.key}/(seed-[01]): \d+\.\d\d %, ", line)[1] for line in lines) == [
        "seed-0",
        "seed-1",
    ]
    assert last == "2 runs: 2 equal bits; --seed 7 chooses the same ones again"

    store.save(replace(results[1], history=results[1].history | {"test_accuracy": [1.0]}))
    ended = zeroinit("verify", "--sample", "2")
    assert ended.code == 1
    assert f"differs: {RUN.key}/seed-1: another test accuracy from epoch 1 on" in ended.out
    assert re.search(r"^2 runs: 1 equal bits, 1 differs; --seed \d+ chooses", ended.out, re.MULTILINE)


def test_nothing_compared_is_no_success(zeroinit):
    Store("results").save(replace(execute(RUN, 0), seconds=1e5))
    ended = zeroinit("verify", "--time-limit", "10s")
    assert ended.code == 1
    assert ended.out.startswith("0 runs: 1 too long for --time-limit 10s; ")


def test_refusals(zeroinit):
    assert zeroinit("verify").err.startswith("zeroinit: error: results='results': holds no result")
    Path("results").mkdir()
    assert zeroinit("verify", "--sample", "0").err.startswith("zeroinit: error: sample=0: must be at least 1")
    assert zeroinit("verify", "--results", "results").code == 2


def test_power_prints_the_number_first(zeroinit, two_epochs):
    zeroinit("reproduce", "fig3", "--profile", "quick", "--seeds", "3", "--jobs", "1")
    ended = zeroinit("power", "C1-normal-close-to-pytorch", "--profile", "quick")
    assert ended.code == 0
    assert re.match(r"(\d[\d,]* more seeds?: |too close to the margin)", ended.out)
    ended = zeroinit("power", "C1-norml-close")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("zeroinit: error: claim='C1-norml-close': did you mean ")
    assert "'C1-normal-close-to-pytorch'" in ended.err
    assert zeroinit("power", "C1-normal-close-to-pytorch", "--profile", "quick", "--power", "2").code == 2
