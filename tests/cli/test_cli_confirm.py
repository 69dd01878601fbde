"""``reproduce`` without a figure means weeks of work: it is not begun before somebody has said so."""

import io
import sys

import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.running.calibrate import Speed
from zeroinit.bench.running.schedule import Task

WITHOUT_DATA = ("reproduce", "--seeds", "2", "--data-dir", "nowhere")
"""Goes on, once it is allowed to, until the data are missing."""
WENT_ON = "zeroinit: error: data folder nowhere: no such folder"


def whole_paper(num_seeds: int) -> int:
    runs = [curve.run for figure in FIGURES.values() if figure.in_paper for curve in figure.at("paper", "corrected")]
    return len({Task(run, seed) for run in runs for seed in range(num_seeds)})


def ten_seconds_a_step(kinds, place, threads) -> dict:
    return {(kind, count): Speed(10.0, 0.0, kind.batch_size) for kind, count in kinds}


@pytest.fixture
def answer(monkeypatch):
    """A terminal at which somebody types; the calibration says that a step takes ten seconds."""

    def type_in(text: str) -> None:
        from zeroinit.bench.running import estimate

        terminal = io.StringIO(text)
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(estimate, "calibrate", ten_seconds_a_step)

    return type_in


def test_without_a_terminal_it_is_refused_in_one_line(zeroinit, no_run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    ended = zeroinit(*WITHOUT_DATA)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"zeroinit: error: figures: none is named, which means the whole paper: {whole_paper(2)} runs at full length, "
        "days to weeks on a CPU; name some, as in `zeroinit reproduce fig3`, or use --profile quick for a look in "
        "minutes; --dry-run estimates the time, --yes runs all of them\n"
    )


def test_with_yes_nobody_is_asked(zeroinit, no_run):
    ended = zeroinit(*WITHOUT_DATA, "--yes")
    assert ended.code == 2
    assert ended.err.startswith(WENT_ON)


@pytest.mark.parametrize("more", [("fig3",), ("--profile", "quick"), ("fig3", "--profile", "paper_bf16")])
def test_what_is_named_or_quick_runs_at_once(zeroinit, monkeypatch, more):
    from zeroinit.bench import reproduce

    monkeypatch.setattr(reproduce, "run_all", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    ended = zeroinit(*WITHOUT_DATA, *more)
    assert ended.err.startswith(WENT_ON) or "interrupted: 0 of " in ended.err
    assert "whole paper" not in ended.err


@pytest.mark.parametrize(("typed", "goes_on"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_at_a_terminal_the_time_is_told_and_the_user_asked(zeroinit, no_run, answer, typed, goes_on):
    answer(typed)
    ended = zeroinit(*WITHOUT_DATA, "--device", "cpu", "--jobs", "1")
    text = " ".join(ended.err.split())
    assert text.startswith(f"No figure is named, which means the whole paper: {whole_paper(2)} runs, about ")
    assert " days on this machine (cpu, --jobs 1). For less, name some, as in `zeroinit reproduce fig3`" in text
    assert "Run all of them? [y/N]:" in ended.out + ended.err
    assert (WENT_ON in text) == goes_on
    assert ended.code == (2 if goes_on else 1)


def test_nobody_is_asked_if_nothing_is_left(zeroinit, monkeypatch, no_run):
    from zeroinit.bench.running import schedule

    monkeypatch.setattr(schedule, "missing", lambda tasks, store: [])
    assert zeroinit(*WITHOUT_DATA).err.startswith(WENT_ON)
