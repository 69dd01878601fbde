"""Ctrl-C: one line, exit code 130, nothing half written, no process left, and the next start goes on."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from zeroinit.bench import profiles, reproduce
from zeroinit.bench.store import Store

ARGUMENTS = ["reproduce", "fig3", "--profile", "quick", "--seeds", "1"]
EPOCHS, NUM_RUNS = 8, 4

PROGRAM = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started this in the background
from dataclasses import replace
from zeroinit import cli
from zeroinit.bench import profiles
quick = profiles.PROFILES["quick"]
profiles.PROFILES["quick"] = replace(quick, overrides={{**quick.overrides, "epochs": {EPOCHS}}})
cli.main([*{ARGUMENTS}, "--jobs", "2"])
"""


def is_group_alive(group: int) -> bool:
    """Whether a process of the group still runs; one that ended and that nobody asked for does not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group_of_this, *_ = path.read_text().rpartition(")")[2].split()
            if int(group_of_this) == group:
                states.append(state)
    return any(state not in "ZX" for state in states) if Path("/proc/self/stat").exists() else True


def wait_until(condition, seconds: float) -> bool:
    """Ask again and again; return whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.skipif(os.name != "posix", reason="process groups and signals of POSIX")
def test_ctrl_c_ends_cleanly_and_the_next_start_goes_on(monkeypatch, zeroinit):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert wait_until(lambda: list(Path("results").glob("*/seed-*.json")), 300)
        assert is_group_alive(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert wait_until(lambda: not is_group_alive(process.pid), 10)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    kept = list(Store("results"))
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == (
        f"zeroinit: interrupted: {len(kept)} of {NUM_RUNS} runs {'is' if len(kept) == 1 else 'are'} kept in results; "
        "go on with: zeroinit reproduce fig3 --profile quick --seeds 1 --jobs 2"
    )
    assert all(re.match(r"\d+ s: ", line) for line in err.splitlines()[:-1])
    assert 1 <= len(kept) < NUM_RUNS
    files = [path for path in Path("results").rglob("*") if path.is_file()]
    states = [path for path in files if path.parent.suffix == ".checkpoint"]
    assert len(files) == len(kept) + len(states)
    assert len({path.parent for path in states}) <= 2  # of the runs in progress
    assert {path.name for path in files if path not in states} == {"seed-0.json"}
    assert not Path("report/index.html").exists()

    quick = profiles.PROFILES["quick"]
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(quick, overrides={**quick.overrides, "epochs": EPOCHS}))
    ended = zeroinit(*ARGUMENTS, "--jobs", "1")
    assert ended.code == 0
    verb = "is" if len(kept) == 1 else "are"
    assert f"{len(kept)} of {NUM_RUNS} runs {verb} stored already" in ended.err
    assert len(list(Store("results"))) == NUM_RUNS
    assert Path("report/index.html").exists()
    assert all(result in list(Store("results")) for result in kept)


@pytest.mark.parametrize("message", ["", "interrupted: 1 of 4 runs is kept in results"])
def test_ctrl_c_anywhere_is_one_line(monkeypatch, zeroinit, message):
    def interrupt(*_):
        raise KeyboardInterrupt(*[message] * bool(message))

    monkeypatch.setattr(reproduce, "choose_figures", interrupt)
    ended = zeroinit("report")
    assert ended == (130, "", f"zeroinit: {message or 'interrupted'}; go on with: zeroinit report\n")
