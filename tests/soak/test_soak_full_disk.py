"""A disk that is full: a clear line, nothing half written, and the same command goes on once there is room.

A limit on the size of files stands for the disk. On a tmpfs of 2 MB the same was seen by hand.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zeroinit.bench.reporting.report import build_report, write_report
from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.running.start import load
from zeroinit.bench.spec import Curve, Figure, Run
from zeroinit.bench.store import Store

resource = pytest.importorskip("resource")
RUN = Run(dataset="digits", hidden="8", epochs=2, batch_size=256)
TASKS = [Task(replace(RUN, learning_rate=rate), 0) for rate in (1e-3, 2e-3)]
FIGURE = Figure("one", "One", tuple(Curve(f"start {n}", task.run) for n, task in enumerate(TASKS)))


def message_without_room(work: Callable[[], object], num_bytes: int) -> str:
    """Return how work ends in a process whose files may have so many bytes at most."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        said = "no error"
        try:
            torch.set_num_threads(1)
            warnings.simplefilter("ignore")
            resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
            work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode()[:2000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(process, 0)
    return said


def test_results_and_states(tmp_path):
    """A state that cannot be saved costs nothing; a result that cannot be stored ends the study until there is room."""
    load("digits", None)
    options = Options(tmp_path / "results", checkpoint_every=0.0)
    said = message_without_room(lambda: run_all(TASKS, options), 1000)
    assert said.startswith("InputError: cannot write ")
    assert said.endswith(".json: File too large; raise the limit on file sizes (ulimit -f)")
    assert [path for path in options.results.rglob("*") if path.is_file()] == []
    assert message_without_room(lambda: run_all(TASKS, options), 100_000) == "no error"
    alone = Options(tmp_path / "alone")
    run_all(TASKS, alone)
    for task in TASKS:
        found, expected = (Store(each.results).load(task.run, 0) for each in (options, alone))
        assert (found.history, found.initial_hash) == (expected.history, expected.initial_hash)


def test_pages_and_figures(tmp_path):
    """Each file stays whole, as it was or as it should be, whichever there is no room for."""
    store, page = Store(tmp_path / "results"), tmp_path / "report"
    contents = []
    for folder, task in ((page, TASKS[0]), (tmp_path / "new", TASKS[1])):
        run_all([task], Options(store.root))
        report = build_report([FIGURE], store, [0], "paper", "corrected")
        write_report(report, folder)
        contents.append(files_in(folder))
    before, after = contents
    for num_bytes in (100, 5_000, 40_000):
        said = message_without_room(lambda: write_report(report, page), num_bytes)
        assert said.startswith("InputError: cannot write ")
        assert said.endswith(": File too large; raise the limit on file sizes (ulimit -f)")
        now = files_in(page)
        assert set(before) <= set(now) <= set(after)
        assert all(content in (before.get(name), after[name]) for name, content in now.items())
    assert message_without_room(lambda: write_report(report, page), 10**8) == "no error"
    assert files_in(page) == after != before


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
