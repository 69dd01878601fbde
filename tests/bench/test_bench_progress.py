"""What long work tells: a bar in a terminal, else a plain line again and again, from a thread of its own."""

import io
import re
import threading
import time

import pytest
from rich.console import Console

from zeroinit.bench.progress import EVERY, Progress, format_duration


def console(**settings) -> Console:
    return Console(file=io.StringIO(), width=80, **settings)


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_outside_a_terminal_a_line_comes_again_and_again_while_the_work_is_silent():
    screen = console()
    with Progress(screen, every=0.01) as progress:
        progress.begin("loading digits")
        wait_for(lambda: screen.file.getvalue().count("loading digits") >= 3)
        progress.update(0.5, "35 of 70 runs")
        wait_for(lambda: "35 of 70 runs" in screen.file.getvalue())
    told = screen.file.getvalue()
    assert "\x1b" not in told
    for line in told.splitlines():
        assert re.fullmatch(r"[<\d. ]+ s: (loading digits|35 of 70 runs, 50 %, about [<\d. ]+ s left)", line)
    time.sleep(0.05)
    assert screen.file.getvalue() == told  # nothing comes afterwards


@pytest.mark.parametrize("settings", [{}, {"force_terminal": True}])
def test_without_a_thread_the_work_goes_on_in_silence(monkeypatch, settings):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Progress(console(**settings), every=0.01) as progress:
        progress.begin("loading digits")
        progress.update(0.5, "35 of 70 runs")


def test_short_work_prints_no_line():
    screen = console()
    with Progress(screen) as progress:
        progress.begin("loading digits")
    assert screen.file.getvalue() == ""
    assert EVERY == 10


@pytest.mark.parametrize(
    ("share", "passed", "left"),
    [(0.0, 9, ""), (0.01, 9, "1 %"), (0.25, 9, "25 %, about 27 s left"), (1.0, 9, "100 %, about < 0.1 s left")],
)
def test_the_time_left_is_that_of_the_phase(monkeypatch, share, passed, left):
    now = [100.0]
    monkeypatch.setattr("zeroinit.bench.progress.time.monotonic", lambda: now[0])
    progress = Progress(console())
    now[0] += 1000  # an earlier phase, which tells nothing of this one
    progress.begin("running")
    now[0] += passed
    progress.update(share, "running")
    assert progress._left() == left


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end():
    screen = console(force_terminal=True, force_interactive=True)
    with Progress(screen, every=0.001) as progress:
        progress.begin("drawing the report")
        progress.update(1.0, "70 of 70 runs")
    told = screen.file.getvalue()
    assert "drawing the report" in told
    assert "70 of 70 runs" in told
    assert not re.search(r"^[<\d. ]+ s: ", told, flags=re.MULTILINE)
    assert told.endswith("\x1b[2K")


def test_after_a_pause_the_next_line_comes_no_later():
    screen = console()
    progress = Progress(screen, every=0.2)
    for _ in range(8):  # each too short for a line of its own
        with progress:
            progress.begin("loading digits")
            time.sleep(0.05)
    assert "loading digits" in screen.file.getvalue()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_passes_and_leaves_no_thread(error):
    before = threading.active_count()
    with pytest.raises(error), Progress(console(), every=0.01):
        raise error
    assert threading.active_count() == before


def test_a_stream_that_is_closed_ends_nobodys_work():
    screen = console()
    with Progress(screen, every=0.01) as progress:
        progress.begin("running")
        screen.file.close()
        time.sleep(0.1)


def test_durations():
    assert [format_duration(seconds) for seconds in (0, 59, 3600, 86400 * 3)] == [
        "< 0.1 s",
        "59 s",
        "60 min",
        "3.0 days",
    ]
