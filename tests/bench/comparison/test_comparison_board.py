"""Boards: every network can be compared, its rules are those of the page, and a part or a time limit loses nothing."""

import re
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from zeroinit._common import InputError
from zeroinit.bench import compare
from zeroinit.bench.catalogue.boards import BOARDS
from zeroinit.bench.comparison.board import folder_of, open_board, read_board, verdict_on
from zeroinit.bench.comparison.compare import planned, prepare, run_comparison
from zeroinit.bench.comparison.entries import check_entry
from zeroinit.bench.comparison.results import VERDICTS
from zeroinit.bench.progress import Progress
from zeroinit.bench.running.schedule import Options
from zeroinit.bench.spec import Board, Run, Track

RUN = Run(dataset="digits", epochs=1, num_train=64, num_validation=32, batch_size=32, reduction="mean")
TRACK = Track(RUN, ("pytorch", "zero", "normal_bias"), (0.001, 0.01), num_seeds=2, target=0.5)
SMALLER = {"mnist_cnn": {"model": "mnist_cnn_quarter"}, "mnist_fnn": {"hidden": "16, 16"}}
"""Layers of the same kinds."""

RESULTS = Path(__file__).parents[3] / "docs" / "results"


@pytest.fixture
def small(monkeypatch):
    """A board of two networks that take a hundredth of a second a run."""
    tracks = {"dense": TRACK, "narrow": replace(TRACK, run=replace(RUN, hidden="8"), entries=("zero", "pytorch"))}
    monkeypatch.setitem(BOARDS, "small", Board("small", "small", tracks))
    return tracks


@pytest.fixture
def told() -> Console:
    return Console(file=StringIO(), width=300)


def carry_out(store, protocol, told, **options):
    return run_comparison(protocol, Options(store.root, device="cpu", **options), jobs=1, progress=Progress(told))


@pytest.mark.parametrize("name", BOARDS)
def test_every_network_takes_its_entries_and_tells_seeds_apart(name):
    board = BOARDS[name]
    assert board.name == name
    for title, protocol in open_board(name).items():
        track = board.tracks[title]
        assert [entry.label for entry in protocol.entries] == list(track.entries)
        assert (protocol.rates, protocol.margin) == (track.learning_rates, track.margin)
        assert replace(track.run, num_test=None) == replace(protocol.run, num_test=None)
        assert len(protocol.seeds) >= 5
        for entry in protocol.entries:
            check_entry(entry, replace(protocol.run, **SMALLER.get(protocol.run.model, {})))
        if track.headline:
            assert set(track.headline.holds) < set(VERDICTS)
            assert len(protocol.entries) == 2


def test_initbench_has_the_size_that_its_page_promises():
    tracks = BOARDS["initbench"].tracks
    page = (RESULTS / "initbench.md").read_text(encoding="utf-8")
    assert len(tracks["MNIST dense net"].entries) >= 14
    for title, track in tracks.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {title} |"))
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert cells[3] == f"{track.run.epochs}, {track.run.batch_size}"
        assert cells[5:] == [str(track.num_seeds), f"{100 * track.target:g} %"]
        if track.run.num_train is not None:
            assert cells[2] == f"{track.run.num_train:,}"


def test_each_headline_is_on_its_page():
    page = (RESULTS / "headlines.md").read_text(encoding="utf-8")
    rows = [
        line
        for line in page.split("## Statements about other networks")[0].splitlines()
        if re.match(r"\| .*\(.*\d{4}\)", line)
    ]
    tracks = BOARDS["headlines"].tracks.values()
    assert len(rows) == len(tracks) >= 8
    for row, track in zip(rows, tracks, strict=True):
        better = "as good or better" if "as good" in track.headline.holds else "better"
        assert row.endswith(f"| {better} |")
        assert f"| `{track.entries[0]}` |" in row
        assert f"`{track.entries[1].partition('+')[0]}`" in row


def test_your_own_entry_joins_all_networks_and_seeds_can_be_added(small):
    protocols = open_board("small", ["torch.nn.init:orthogonal_"], seeds=[0, 1, 2])
    assert [len(protocol.entries) for protocol in protocols.values()] == [4, 3]
    assert all(protocol.entries[-1].label == "torch.nn.init:orthogonal_" for protocol in protocols.values())
    assert all(protocol.seeds == (0, 1, 2) for protocol in protocols.values())
    assert list(open_board("small:narrow")) == ["narrow"]


def test_python_carries_out_a_board_as_the_command_does(small, store, told, one_thread):
    found = compare("torch.nn.init:orthogonal_", board="small", results=store.root, device="cpu")
    assert [[row.entry for row in comparison.rows] for comparison in found.values()] == [
        ["pytorch", "zero", "normal_bias", "torch.nn.init:orthogonal_"],
        ["zero", "pytorch", "torch.nn.init:orthogonal_"],
    ]
    assert all(list(row.accuracies) == [0, 1] for comparison in found.values() for row in comparison.rows)
    stored = sorted(store.root.rglob("seed-*.json"))
    again = compare(board="small:dense", results=store.root, device="cpu")
    assert [row.accuracies for row in again["dense"].rows] == [row.accuracies for row in found["dense"].rows[:3]]
    assert sorted(store.root.rglob("seed-*.json")) == stored
    more = compare(board="small:narrow", results=store.root, device="cpu", seeds=3)
    assert list(more["narrow"]["pytorch"].accuracies) == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "name"),
    [({"margin": 0.02}, "margin"), ({"learning_rates": [0.1]}, "learning_rates"), ({"epochs": 2}, "epochs")],
)
def test_what_a_board_fixes_cannot_be_given_in_python(small, store, given, name):
    with pytest.raises(InputError, match=f"^{name}: board='small' fixes it; leave one of them out$"):
        compare(board="small", results=store.root, **given)
    assert not list(store.root.rglob("*.json"))


@pytest.mark.parametrize(
    ("name", "own", "message"),
    [
        ("initbenc", [], "board='initbenc': did you mean 'initbench'"),
        ("small:dens", [], "board='small', network='dens': did you mean 'dense'"),
        ("small", ["mimetic"], "dense: initializer='mimetic': finds no self-attention"),
    ],
)
def test_what_a_board_does_not_have_is_named(small, name, own, message):
    with pytest.raises(InputError) as refused:
        open_board(name, own)
    assert message in str(refused.value)


def test_parts_together_are_all_runs_and_none_is_run_twice(small, store, told, one_thread):
    protocol = open_board("small:dense")["dense"]
    for number in (1, 2):
        assert carry_out(store, protocol, told, shard=(number, 2)) is None
        assert re.search(rf"shard {number}/2: (\d+) of \1 runs stored in ", told.file.getvalue())
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("seed-*.json")}
    comparison = carry_out(store, protocol, told)
    assert [row.entry for row in comparison.rows] == ["pytorch", "zero", "normal_bias"]
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("seed-*.json")} == before


def test_a_time_limit_keeps_what_is_done(small, store, told, one_thread):
    protocol = open_board("small:dense")["dense"]
    assert carry_out(store, protocol, told, deadline=time.monotonic() - 1) is None
    whole = len(planned(protocol, store))
    said = f"out of time: 0 of {whole} runs are done and stored in {store.root}; the same command goes on from there"
    assert said in told.file.getvalue()
    assert carry_out(store, protocol, told, deadline=time.monotonic() + 600) is not None


def test_a_network_with_missing_runs_has_no_verdict(small, store, told, one_thread):
    assert read_board("small", store) == {"dense": None, "narrow": None}
    comparison = carry_out(store, open_board("small")["narrow"], told)
    read = read_board("small", store)
    assert read["dense"] is None
    assert read["narrow"].rows == comparison.rows
    path = next(path for path in store.root.rglob("seed-1.json"))
    path.unlink()
    assert read_board("small", store)["narrow"] is None


def test_entries_of_a_board_have_runs_of_their_own(small, store):
    """The first network gives the same runs as a plain comparison: results are shared."""
    board = open_board("small:dense")["dense"]
    plain = prepare(
        ["zero"], "pytorch", [0, 1], [0.001, 0.01], 0.01, 0.5, None,
        {"epochs": 1, "num_train": 64, "num_validation": 32},
    )  # fmt: skip
    assert plain.tuning_tasks(plain.reference, store) == board.tuning_tasks(board.reference, store)


def test_a_headline_holds_only_under_its_verdicts():
    assert [verdict_on(("better",), each) for each in VERDICTS] == [
        *("holds", "does not hold", "does not hold", "undecided", "undecided")
    ]


def test_folders_of_a_board_differ():
    for board in BOARDS.values():
        assert len({folder_of(title) for title in board.tracks}) == len(board.tracks)
        assert all(re.fullmatch(r"[\w-]+", folder_of(title)) for title in board.tracks)
