"""From names to a report: everything that can be checked is checked before the first run."""

import errno
import io
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from zeroinit._common import InputError, check_writable
from zeroinit.bench import reproduce as module
from zeroinit.bench import result as result_module
from zeroinit.bench import store as store_module
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.progress import Progress
from zeroinit.bench.reporting import analysis, report
from zeroinit.bench.reproduce import Interrupted, carry_out_missing, choose_figures, list_missing, reproduce
from zeroinit.bench.result import _checksum
from zeroinit.bench.running.remote import Remote
from zeroinit.bench.running.schedule import Options, Task, run_all
from zeroinit.bench.spec import Curve, Figure
from zeroinit.bench.store import Failure
from zeroinit.bench.training import Checkpoint, CheckpointWarning


@pytest.fixture
def figure(run) -> Figure:
    return Figure("study", "A study", (Curve("Normal", run), Curve("Zero", replace(run, initializer="zero"))))


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def start(figure, store, tmp_path, console):
    """Reproduces the figure with two seeds; options replace the defaults."""

    def reproduce_(**changes):
        arguments = {"seeds": [0, 1], "jobs": 1, "report_dir": tmp_path / "report", "progress": Progress(console)}
        arguments |= changes
        options = Options(
            **{"results": store.root} | {name: arguments.pop(name) for name in OPTIONS if name in arguments}
        )
        return reproduce([figure], options, **arguments)

    return reproduce_


OPTIONS = ("results", "data_dir", "device", "tensorboard", "deadline", "shard", "checkpoint_every")


@pytest.fixture
def no_drawing(monkeypatch):
    """Saves the time of drawing."""
    monkeypatch.setattr(report, "draw_summary", lambda *_: [])


@pytest.fixture
def no_run(monkeypatch):
    """Fails the test if anything is run."""
    monkeypatch.setattr(module, "run_all", lambda *_, **__: pytest.fail("a run was started"))


def test_everything_is_run_kept_and_written_up(start, figure, store, tmp_path, console):
    written = start()
    assert {(result.run, result.seed) for result in store} == {
        (curve.run, seed) for curve in figure.curves for seed in (0, 1)
    }
    assert written.seeds == "0-1"
    assert [entry.curve.label for entry in written.summaries[0].curves] == ["Normal", "Zero"]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "index.html",
        "report.md",
        "claims.json",
        "figures",
    }
    assert console.file.getvalue().strip() == ""


def test_the_next_start_goes_on_and_says_so(no_drawing, start, store, console):
    start(seeds=[0])
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")}
    start()
    assert f"2 of 4 runs are stored already in {store.root}\n" in console.file.getvalue()
    assert before.items() <= {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")}.items()
    start()
    assert f"4 of 4 runs are stored already in {store.root}\n" in console.file.getvalue()


@pytest.fixture
def drawn(monkeypatch):
    """The names of figures as they are drawn; their files are empty."""
    found = []

    def draw(summary, profile, protocol, folder):
        found.append(summary.figure.name)
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in (".svg", ".png"):
            (folder / f"{summary.figure.name}-{profile}-{protocol}{suffix}").touch()
        return []

    monkeypatch.setattr(report, "draw_summary", draw)
    return found


CHANGES = {
    "a number of a result": lambda store, run, folder: edit_result(store, run),
    "a result is gone and comes again with another time": lambda store, run, folder: store.path(run, 0).unlink(),
    "no page": lambda store, run, folder: (folder / "index.html").unlink(),
    "no Markdown": lambda store, run, folder: (folder / "report.md").unlink(),
    "no claims": lambda store, run, folder: (folder / "claims.json").unlink(),
    "no picture": lambda store, run, folder: (folder / "figures/study-paper-corrected.png").unlink(),
    "a page of an older version": lambda store, run, folder: (folder / "index.html").write_text("<html>"),
}


def edit_result(store, run) -> None:
    result = store.load(run, 0)
    result.history["test_accuracy"][-1] /= 2
    store.save(result)


@pytest.mark.parametrize("change", CHANGES)
def test_a_report_is_drawn_again_if_what_it_is_made_from_changed(start, drawn, store, run, tmp_path, change):
    start()
    CHANGES[change](store, run, tmp_path / "report")
    start()
    assert len(drawn) == 2
    start()
    assert len(drawn) == 2


def test_a_report_is_left_as_it_is_if_nothing_changed(start, drawn, tmp_path, console, monkeypatch):
    start()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "report").rglob("*")}
    again = start()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "report").rglob("*")} == before
    assert (
        "nothing that the report is made from has changed; `zeroinit report` draws it again" in console.file.getvalue()
    )
    assert [len(entry.results) for entry in again.summaries[0].curves] == [2, 2]
    start(seeds=[0])
    assert len(drawn) == 2
    monkeypatch.setattr(analysis, "_of_program", lambda: "another version")
    start(seeds=[0])
    assert len(drawn) == 3


def test_each_result_is_read_once(start, no_drawing, monkeypatch):
    start()
    read, plain = [], store_module.read_result
    monkeypatch.setattr(store_module, "read_result", lambda path: read.append(path) or plain(path))
    start()
    assert len(read) == len(set(read)) == 4


def test_stored_runs_write_no_logs_and_the_user_is_told(no_drawing, start, tmp_path, console):
    start()
    start(tensorboard=tmp_path / "logs")
    note = "stored runs write no TensorBoard logs: give --results an empty folder to run them again"
    assert note in console.file.getvalue()
    assert not (tmp_path / "logs").exists()


def test_brackets_in_a_folders_name_are_shown(no_drawing, start, tmp_path, console):
    start(results=tmp_path / "[bold]results")
    start(results=tmp_path / "[bold]results")
    assert "[bold]results" in console.file.getvalue()


def test_progress_is_shown_on_a_terminal(no_drawing, start):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, force_interactive=True)
    with Progress(screen) as progress:
        start(progress=progress)
    for text in ("loading digits", "4 of 4 runs", "100 %", "left", "drawing the report: study"):
        assert text in screen.file.getvalue()


def test_the_published_protocol_runs_other_settings(no_drawing, start, store):
    start(protocol="published", seeds=[0])
    assert {(result.run.order, result.run.evaluation_mode) for result in store} == {("fixed", "train")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"profile": "papr"},
            r"^profile='papr': did you mean 'paper'\? It must be one of first, paper, paper_bf16, quick$",
        ),
        (
            {"protocol": "publshed"},
            r"^protocol='publshed': did you mean 'published'\? It must be one of corrected, published$",
        ),
        ({"device": "tpu"}, r"^device='tpu': did you mean 'cpu'\? It must be one of auto, cpu"),
        ({"jobs": 0}, r"^jobs=0: must be at least 1$"),
    ],
)
def test_bad_input_is_refused_before_the_first_run(start, no_run, changes, message):
    with pytest.raises(InputError, match=message):
        start(**changes)


@pytest.mark.parametrize("name", ["results", "report_dir", "tensorboard"])
def test_a_folder_that_cannot_be_written_to_is_found_before_the_first_run(start, no_run, tmp_path, name):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"^cannot write .*file.*; choose a folder that can be written to$"):
            start(**{name: folder})


def test_missing_data_is_found_before_the_first_run(start, no_run, monkeypatch, figure, tmp_path):
    (tmp_path / "data").mkdir()
    mnist = tuple(Curve(curve.label, replace(curve.run, dataset="mnist")) for curve in figure.curves)
    for folder, message in (("data", r"data set 'mnist': no .*MNIST/raw"), ("nowhere", r"nowhere: no such folder")):
        with pytest.raises(InputError, match=message):
            reproduce(
                [replace(figure, curves=mnist)],
                Options(tmp_path / "results", tmp_path / folder),
                seeds=[0],
                report_dir=tmp_path / "report",
                progress=Progress(Console(file=io.StringIO())),
            )


@pytest.mark.parametrize("kind", ["truncated", "of another run", "of another seed", "a folder"])
def test_a_damaged_result_is_set_aside_and_computed_again(no_drawing, start, store, figure, make_result, kind):
    """The others stay as they are, and the report has them all."""
    for seed in (0, 1):
        store.save(make_result(figure.curves[0].run, seed, [0.5]))
    run = figure.curves[1].run
    path, other = store.path(run, 1), store.path(figure.curves[0].run, 1)
    path.parent.mkdir()
    damaged = other.read_bytes()[:-30] if kind == "truncated" else other.read_bytes()
    if kind == "of another seed":
        store.save(make_result(run, 0, [0.5]))
        damaged = store.path(run, 0).read_bytes()
    if kind == "a folder":
        path.mkdir()
    else:
        path.write_bytes(damaged)
    before = other.read_bytes()
    screen = Console(file=io.StringIO(), width=300)
    with Progress(screen) as progress:
        report = start(progress=progress)
    told = screen.file.getvalue()
    said = {
        "truncated": r"cannot be read as a result \(.*\)",
        "of another run": "holds other settings than its name says",
        "of another seed": "holds seed 0, not seed 1",
        "a folder": "is no regular file",
    }
    assert re.search(rf"{path}: {said[kind]}; set aside as {path}\.damaged-1, its run is computed again", told)
    assert f"{3 if kind == 'of another seed' else 2} of 4 runs are stored already" in told
    aside = path.with_name(f"{path.name}.damaged-1")
    assert aside.is_dir() if kind == "a folder" else aside.read_bytes() == damaged
    assert (len(list(store)), report.problems, other.read_bytes()) == (4, (), before)


def test_a_folder_that_is_moved_meanwhile_is_not_called_out_of_time(start, store, figure, monkeypatch):
    def run_and_move(tasks, options, **_):
        run_all(tasks[:2], options)
        store.root.rename(store.root.with_name("moved"))

    monkeypatch.setattr(module, "run_all", run_and_move)
    with pytest.raises(InputError, match=r"^results='.*': 4 results that this command made cannot be found there; was"):
        start()
    assert len(list(store.root.with_name("moved").rglob("seed-*.json"))) == 2


@pytest.mark.parametrize("kind", ["of a newer zeroinit", "cannot be read"])
def test_a_result_that_may_be_whole_is_never_set_aside(start, store, figure, make_result, monkeypatch, kind):
    """Nothing is run. It is not called damaged either."""
    run = figure.curves[0].run
    store.save(make_result(run, 0, [0.5]))
    path = store.path(run, 0)
    if kind == "cannot be read":

        def refuse(asked, at_most, follow):
            if asked == path:
                raise InputError(f"{asked}: cannot be read (Input/output error)") from OSError(errno.EIO, "")
            return plain(asked, at_most, follow)

        plain = result_module.read_regular
        monkeypatch.setattr(result_module, "read_regular", refuse)
    else:
        content = json.loads(path.read_text()) | {"format": 3}
        del content["sha256"]
        path.write_text(json.dumps(content | {"sha256": _checksum(content)}))
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))}: (is of a newer zeroinit|cannot be read \()"):
        start(progress=Progress(Console(file=io.StringIO())))
    assert [each.name for each in store.root.rglob("*") if each.is_file()] == ["seed-0.json"]
    assert path.read_bytes() == before
    listed = list_missing([figure], Options(store.root), seeds=[0], profile="paper", protocol="corrected")
    assert any(line.endswith("\tunreadable") for line in listed)


@pytest.fixture
def own(run, store, tmp_path, monkeypatch):
    """Carries out a run whose initializer is a function of the user's, and says what the next start tells of it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"own_start_{tmp_path.name}"
    module_file = tmp_path / f"{name.replace('-', '_')}.py"
    text = "import torch\n\n\ndef start(weight, generator):\n    torch.nn.init.orthogonal_(weight, {}, generator)\n"
    module_file.write_text(text.format(1.0))
    task = Task(replace(run, initializer=f"{module_file.stem}:start", epochs=1), 0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run_all([task], Options(store.root))

    def again(threads=1, gain=1.0, processor=None):
        if processor is not None:
            result = store.load(task.run, 0)
            store.save(replace(result, origin=result.origin | {"processor": processor}))
        module_file.write_text(text.format(gain))
        sys.modules.pop(module_file.stem, None)
        torch.set_num_threads(threads)
        screen = Console(file=io.StringIO(), width=300)
        with Progress(screen) as progress:
            carry_out_missing([task], Options(store.root), store, progress, jobs=1, names={task.run: "own"})
        return screen.file.getvalue()

    yield again
    torch.set_num_threads(before)
    sys.modules.pop(module_file.stem, None)


def test_a_function_that_sets_other_values_now_is_carried_out_again(own):
    assert "sets other values than it did for" in own(gain=0.25)


def test_a_function_that_rounds_with_the_number_of_threads_is_the_same(own):
    """An orthogonal matrix differs in its last bits between one thread, as of a worker, and two."""
    assert "set aside" not in own(threads=2)


def test_another_kind_of_machine_may_round_otherwise(own):
    assert "set aside" not in own(gain=0.25, processor="another one")


def test_what_a_kill_left_is_removed_at_the_next_start(no_drawing, start, store, figure):
    """Between a result and its clean-up: a saved state, a file half written. Those of other runs stay."""
    start()
    run = figure.curves[0].run
    Checkpoint(store.checkpoint_folder(run, [0])).save(5, {})
    Checkpoint(store.checkpoint_folder(run, [7])).save(5, {})
    half, other = (store.path(run, 0).with_name(f".seed-{seed}.json.0123abcd") for seed in (0, 7))
    half.write_text("{")
    other.write_text("{")
    start()
    assert not store.checkpoint_folder(run, [0]).exists()
    assert not half.exists()
    assert other.exists()
    assert store.checkpoint_folder(run, [7]).exists()


def test_an_interruption_says_what_is_kept(no_drawing, start, store, monkeypatch):
    run_all = module.run_all

    def stop_after_one(todo, *args, **kwargs):
        run_all(todo[:1], *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_all", stop_after_one)
    with pytest.raises(Interrupted) as caught:
        start()
    assert str(caught.value) == (f"interrupted: 1 of 4 runs is kept in {store.root}")
    monkeypatch.undo()
    start()
    assert len(list(store)) == 4


def test_an_interruption_reads_the_bundles_once(no_drawing, start, store, monkeypatch, make_result, figure):
    """They hold thousands of results: to read them again for each run takes longer than a user waits after Ctrl-C."""
    store.bundle("study", [make_result(figure.curves[0].run, 0, [0.5])])
    reads = []
    monkeypatch.setattr(store_module, "read_bundle", lambda path: reads.append(path) or ([], {}))

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_all", stop)
    with pytest.raises(Interrupted, match=f"0 of 4 runs are kept in {store.root}"):
        start()
    assert len(reads) == 1


def test_the_probe_leaves_nothing_and_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new" / "folder", tmp_path / "there", Path("relative"), Path()):
        check_writable(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_the_probe_finds_what_stands_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=f"^cannot write {folder}: .*; choose a folder that can be written to$"):
            check_writable(folder)
    with pytest.raises(InputError, match=f"^cannot write {tmp_path}/broken: the link leads to nothing; make what it"):
        check_writable(tmp_path / "broken")


def test_several_processes_probe_one_folder(tmp_path):
    """What one leaves or removes does not trouble another."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check_writable, [tmp_path / "results"] * 400))
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_leaves_no_folder(start, figure, no_run, tmp_path):
    folders = {"results": tmp_path / "results", "report_dir": tmp_path / "report", "tensorboard": tmp_path / "logs"}
    folders["data_dir"] = tmp_path / "nowhere"
    mnist = tuple(Curve(curve.label, replace(curve.run, dataset="mnist")) for curve in figure.curves)
    object.__setattr__(figure, "curves", mnist)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError):
        start(**folders)
    assert sorted(tmp_path.rglob("*")) == before


def test_figures_by_name():
    assert choose_figures(["fig4", "fig3", "fig4"]) == [FIGURES["fig4"], FIGURES["fig3"]]
    assert [figure.name for figure in choose_figures([], "first")] == ["starts", "starts_cnn", "fig12"]
    assert choose_figures(["fig3"], "first") == [FIGURES["fig3"]]
    for nothing in (None, []):
        assert [figure.name for figure in choose_figures(nothing)][:5] == ["fig3", "fig4", "fig5", "fig6", "fig7"]
        assert all(figure.in_paper for figure in choose_figures(nothing))
    with pytest.raises(InputError, match=r"^figure='fig33': did you mean 'fig3'\? It must be one of .*$"):
        choose_figures(["fig3", "fig33"])


def test_claims_json_agrees_with_the_report(no_drawing, start, tmp_path):
    written = start()
    assert json.loads((tmp_path / "report" / "claims.json").read_text()) == []
    assert written.decisions == {"study": []}


def test_a_deadline_ends_it_and_the_same_command_goes_on(no_drawing, start, store, console):
    assert start(deadline=0.0) is None
    assert list(store) == []
    told = console.file.getvalue()
    assert f"out of time: 0 of 4 runs are done and stored in {store.root}; the same command goes on from there" in told
    start(seeds=[0])
    written = start(deadline=0.0)
    assert [entry.estimate.num_seeds for entry in written.summaries[0].curves] == [1, 1]
    assert "out of time: 0 of 2 runs are done" in console.file.getvalue()
    start()
    assert len(list(store)) == 4


def test_a_deadline_far_away_is_not_mentioned(no_drawing, start, console):
    start(deadline=1e12)
    assert console.file.getvalue().strip() == ""


def test_two_shards_make_a_whole_and_write_no_report(no_drawing, start, figure, store, tmp_path, console):
    assert start(shard=(1, 2)) is None
    assert len(list(store)) == 2
    assert start(shard=(2, 2)) is None
    assert len(list(store)) == 4
    told = console.file.getvalue()
    for shard in ("1/2", "2/2"):
        assert f"shard {shard}: 2 of 2 runs stored in {store.root}; `zeroinit report` writes the report when" in told
    assert not (tmp_path / "report").exists()
    assert start() is not None
    assert "4 of 4 runs are stored already" in console.file.getvalue()


def test_what_is_missing_is_listed_with_its_reason(figure, store, make_result):
    """Damaged results are missing, too; parts of the list are lists of the parts."""
    normal, zero = (curve.run for curve in figure.curves)
    store.save(make_result(normal, 0, [0.5]))
    store.save(make_result(normal, 1, [0.5]))
    store.path(normal, 1).write_text("{")
    store.save_failure(Failure(zero, 0, "2026-01-01T00:00:00+00:00", ("x", "OSError: gone")))
    settings = {"seeds": [0, 1], "profile": "paper", "protocol": "corrected"}
    lines = list_missing([figure], Options(store.root), **settings)
    assert [line.split("\t") for line in lines] == [
        [str(store.path(zero, 0)), "study: Zero, seed 0", f"failed 2 times, last on {WHEN}: OSError: gone"],
        [str(store.path(normal, 1)), "study: Normal, seed 1", "damaged"],
        [str(store.path(zero, 1)), "study: Zero, seed 1"],
    ]
    parts = [list_missing([figure], Options(store.root, shard=(number, 3)), **settings) for number in (1, 2, 3)]
    assert sorted(line for part in parts for line in part) == sorted(lines)
    for run, seed in ((normal, 1), (zero, 0), (zero, 1)):
        store.save(make_result(run, seed, [0.5]))
    assert list_missing([figure], Options(store.root), **settings) == []


WHEN = "2026-01-01T00:00:00+00:00"


def test_states_that_cannot_be_written_are_a_warning_and_no_end(no_drawing, start, store, figure):
    """A file stands where the state of one run would lie; no other run is touched by that."""
    path = store.checkpoint_folder(figure.curves[0].run, [0])
    path.parent.mkdir(parents=True)
    path.write_text("in the way")
    with pytest.warns(CheckpointWarning, match=r"^cannot write .*step-1\.pt: .*; training goes on, without") as caught:
        start(checkpoint_every=0)
    assert len(caught) == 1
    assert len(list(store)) == 4
    assert path.read_text() == "in the way"


def test_if_every_run_failed_the_place_is_named_as_the_user_does(figure, store, tmp_path, console, monkeypatch):
    for curve in figure.curves:
        store.save_failure(Failure(curve.run, 0, "2026-01-01T00:00:00+00:00", ("it broke",)))
    monkeypatch.setattr(module, "run_all", lambda *_, **__: None)
    options = Options(store.root, remote=Remote("ftp://anna:geheim@host/study"))
    with pytest.raises(InputError, match=r"^results='ftp://anna:\*\*\*@host/study': holds no result of "):
        reproduce([figure], options, seeds=[0], jobs=1, report_dir=tmp_path / "report", progress=Progress(console))


@pytest.mark.parametrize(
    ("name", "way"), [("first", "zeroinit reproduce"), ("quick", "zeroinit reproduce --profile quick")]
)
def test_a_profile_given_as_a_figure_is_told_what_to_type(name, way):
    with pytest.raises(InputError, match=f"^figure='{name}': is a profile; type `{way}`$"):
        choose_figures([name])
