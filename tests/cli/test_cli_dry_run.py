"""``reproduce --dry-run``: what it prints, and that it runs and writes nothing."""

import re
from pathlib import Path

import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.progress import format_duration
from zeroinit.bench.running.calibrate import Speed, full_batch
from zeroinit.bench.running.runner import execute
from zeroinit.bench.store import Store

QUICK = ("fig7", "--profile", "quick", "--jobs", "1", "--device", "cpu", "--dry-run")


@pytest.fixture
def pretended(monkeypatch):
    """No calibration: a second for a step, timed with two images where the network has convolutions."""
    from zeroinit.bench.running import estimate

    def pretend(kinds, place, threads):
        return {(kind, n): Speed(1.0, 0.0, 2 if "cnn" in kind.model else kind.batch_size) for kind, n in kinds}

    monkeypatch.setattr(estimate, "calibrate", pretend)


def words(text: str) -> str:
    return " ".join(re.sub(r"[│┃]", " ", text).split())


def test_runs_operations_and_time_are_told(pretended, zeroinit, no_run):
    ended = zeroinit("reproduce", *QUICK, "--seeds", "3")
    assert (ended.code, ended.err) == (0, "")
    told = words(ended.out)
    assert "fig7: CNN zero mnist_cnn 20 3 1.6e+11 14 min*" in told
    assert "fig7: FNN zero mnist_fnn 30 3 1.0e+10 22 min" in told
    assert "fig7: Logistic regression logistic_regression 30 3 1.7e+08 22 min" in told
    assert told.index("CNN zero") < told.index("FNN zero") < told.index("Logistic regression")
    assert "9 runs, 5.0e+11 FLOPs: about 2.9 h on this machine (cpu, --jobs 1, " in told
    assert "good to about a third" in told
    assert "* timed with a smaller batch" in told
    assert "stored" not in told
    assert list(Path().iterdir()) == []


def test_a_real_calibration_needs_no_data_and_leaves_nothing(zeroinit, no_run, monkeypatch):
    """A busy machine may take too long for a whole batch. The note says so then, and only then."""
    from zeroinit.bench.running import estimate

    calibrate, timed = estimate.calibrate, {}

    def watched(kinds, place, threads):
        timed.update(calibrate(kinds, place, threads))
        return timed

    monkeypatch.setattr(estimate, "calibrate", watched)
    ended = zeroinit("reproduce", "fig3", "--dry-run", "--device", "cpu", "--data-dir", "nowhere")
    assert ended.code == 0
    assert timed
    assert re.search(r"fig3: zero weights, uniform.* mnist_fnn 10 5 1\.4e\+12", words(ended.out))  # names may break
    assert "20 runs, 2.1e+13 FLOPs: about " in words(ended.out)
    is_part = [speed.batch < full_batch(kind) for (kind, _), speed in timed.items()]
    assert ("smaller batch" in ended.out) == any(is_part)
    assert list(Path().iterdir()) == []


def test_stored_runs_are_counted_and_nothing_may_be_left(two_epochs, pretended, zeroinit, request):
    runs = [curve.run for curve in FIGURES["fig7"].at("quick", "corrected")]
    for run in runs[:2]:
        Store("results").save(execute(run, 0))
    request.getfixturevalue("no_run")
    ended = zeroinit("reproduce", *QUICK, "--seeds", "1")
    assert "2 of 3 runs are stored already in results" in words(ended.out)
    assert "1 runs" not in ended.out
    assert "1 run, " in ended.out
    Store("results").save(execute(runs[2], 0))
    ended = zeroinit("reproduce", *QUICK, "--seeds", "1")
    assert ended == (0, "nothing to run: 3 of 3 runs are stored already in results\n", "")
    assert [path.name for path in Path().iterdir()] == ["results"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fig33",), "figure='fig33': did you mean 'fig3'? It must be one of"),
        (("--profile", "papr"), "profile='papr': did you mean 'paper'? It must be one of"),
        (("--jobs", "0"), "jobs=0: must be at least 1"),
        (("--seeds", "0"), "seeds='0': leaves no seed"),
        (("--device", "tpu"), "device='tpu': did you mean 'cpu'? It must be one of auto, cpu"),
    ],
)
def test_bad_input_is_one_line(zeroinit, no_run, arguments, message):
    ended = zeroinit("reproduce", *arguments, "--dry-run")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"zeroinit: error: {message}")
    assert ended.err.count("\n") == 1


def test_durations_have_sensible_units():
    seconds = {0: "< 0.1 s", 9.94: "9.9 s", 9.96: "10 s", 119: "119 s", 120: "2.0 min", 7199: "120 min", 7200: "2.0 h"}
    assert {value: format_duration(value) for value in seconds} == seconds
    assert [format_duration(value) for value in (172_799, 172_800, 3e6)] == ["48 h", "2.0 days", "35 days"]
