"""More than an hour of work is not begun before somebody has said so; what is shorter begins at once."""

import io
import sys

import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.running.calibrate import Speed
from zeroinit.bench.running.schedule import Task

WITHOUT_DATA = ("reproduce", "--profile", "paper", "--seeds", "2", "--data-dir", "nowhere")
"""Goes on, once it is allowed to, until the data are missing."""
WENT_ON = "zeroinit: error: data folder nowhere: no such folder"


def whole_paper(num_seeds: int) -> int:
    runs = [curve.run for figure in FIGURES.values() if figure.in_paper for curve in figure.at("paper", "corrected")]
    return len({Task(run, seed) for run in runs for seed in range(num_seeds)})


@pytest.fixture
def each_step_takes(monkeypatch):
    """Replaces the calibration: every step takes so many seconds."""

    def pretend(seconds: float) -> None:
        from zeroinit.bench.running import estimate

        monkeypatch.setattr(
            estimate,
            "calibrate",
            lambda kinds, place, threads: {
                (kind, count): Speed(seconds, 0.0, kind.batch_size) for kind, count in kinds
            },
        )

    return pretend


@pytest.fixture
def terminal(monkeypatch):
    """A terminal at which somebody types."""

    def type_in(text: str) -> None:
        stream = io.StringIO(text)
        stream.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", stream)

    return type_in


@pytest.fixture
def no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))


@pytest.mark.parametrize(("more", "num_runs"), [((), whole_paper(2)), (("fig3",), 8)])
def test_without_a_terminal_it_is_refused_in_one_line(
    zeroinit, no_run, no_terminal, each_step_takes, more, num_runs, tmp_path
):
    each_step_takes(10.0)
    ended = zeroinit(*WITHOUT_DATA, *more, "--device", "cpu", "--jobs", "1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"zeroinit: error: {num_runs} runs, about ")
    assert ended.err.endswith(
        " on this machine (cpu, --jobs 1): --yes begins, --dry-run lists the runs, --time-limit 30m ends after half an "
        "hour; name fewer figures or seeds for less\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [("--yes",), ("--time-limit", "30m"), ("--time-limit", "1h", "fig3")])
def test_with_yes_or_a_short_limit_nobody_is_asked(zeroinit, no_run, no_terminal, each_step_takes, more):
    each_step_takes(10.0)
    assert zeroinit(*WITHOUT_DATA, *more).err.startswith(WENT_ON)


def test_a_long_limit_is_asked_about(zeroinit, no_run, no_terminal, each_step_takes):
    each_step_takes(10.0)
    assert "--yes begins" in zeroinit(*WITHOUT_DATA, "--time-limit", "2h").err


def test_less_than_an_hour_begins_at_once(zeroinit, no_run, no_terminal, each_step_takes):
    each_step_takes(0.001)
    assert zeroinit(*WITHOUT_DATA, "fig3").err.startswith(WENT_ON)


@pytest.mark.parametrize("more", [("--data-dir", "nowhere"), ("fig7", "--profile", "quick")])
def test_short_work_is_not_even_timed(zeroinit, monkeypatch, no_terminal, more):
    from zeroinit.bench import reproduce
    from zeroinit.bench.running import estimate

    monkeypatch.setattr(estimate, "calibrate", lambda *_: pytest.fail("a step was timed"))
    monkeypatch.setattr(reproduce, "run_all", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert "interrupted: 0 of " in zeroinit("reproduce", *more).err


@pytest.mark.parametrize(("typed", "goes_on"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_at_a_terminal_the_time_is_told_and_the_user_asked(zeroinit, no_run, terminal, each_step_takes, typed, goes_on):
    terminal(typed)
    each_step_takes(10.0)
    ended = zeroinit(*WITHOUT_DATA, "--device", "cpu", "--jobs", "1")
    text = " ".join(ended.err.split())
    assert text.startswith(f"{whole_paper(2)} runs, about ")
    assert " days on this machine (cpu, --jobs 1); Ctrl-C keeps what is done." in text
    assert "Run all of them? [y/N]:" in ended.out + ended.err
    assert (WENT_ON in text) == goes_on
    assert ended.code == (2 if goes_on else 1)


def test_nobody_is_asked_if_nothing_is_left(zeroinit, monkeypatch, no_run, no_terminal):
    from zeroinit.bench.running import estimate

    monkeypatch.setattr(estimate, "missing", lambda tasks, store: [])
    assert zeroinit(*WITHOUT_DATA).err.startswith(WENT_ON)


def test_a_closed_input_is_no_terminal(zeroinit, each_step_takes, monkeypatch):
    each_step_takes(1.0)
    monkeypatch.setattr(sys, "stdin", None)
    ended = zeroinit(*WITHOUT_DATA)
    assert ended.code == 2
    assert "--yes begins" in ended.err


def test_ctrl_c_at_the_question_ends_as_it_does_elsewhere(zeroinit, no_run, each_step_takes, monkeypatch):
    """The end of the input is a no; Ctrl-C is the user's signal."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    stream.readline = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    monkeypatch.setattr(sys, "stdin", stream)
    each_step_takes(10.0)
    ended = zeroinit(*WITHOUT_DATA, "--device", "cpu", "--jobs", "1")
    assert ended.code == 130
    command = " ".join(("zeroinit", *WITHOUT_DATA, "--device", "cpu", "--jobs", "1"))
    assert ended.err.rstrip().endswith(f"zeroinit: interrupted; go on with: {command}")
