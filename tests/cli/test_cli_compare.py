"""``zeroinit compare``: a table in 80 columns, formats, a dry run, and one line for what cannot be used."""

import json
import sys
from pathlib import Path

import pytest

from zeroinit.bench.comparison.compare import planned, prepare
from zeroinit.bench.running import runner, task
from zeroinit.bench.running.calibrate import Speed
from zeroinit.bench.store import Store

SMALL = ("--epochs", "1", "--lr-grid", "0.01", "--seeds", "2", "--jobs", "1", "--device", "cpu")


def test_a_table_and_a_folder_with_every_format(zeroinit):
    ended = zeroinit("compare", "zero", *SMALL)
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    for text in ("mnist_fnn on digits, 1 epoch,", "learning rate 0.01, not tuned", "pytorch", "reference", "zero: "):
        assert text in ended.out
    assert ended.out.endswith("tables and drawing: comparison\n")
    assert len(list(Path("comparison").iterdir())) == 7
    for option, start in (
        ("--csv", "entry,rate,"),
        ("--latex", r"% The rules need \usepackage{booktabs}."),
        ("--bibtex", "@software{zeroinit"),
    ):
        again = zeroinit("compare", "zero", *SMALL, option)
        assert again.out.startswith(start)
        assert "4 of 4 runs are stored already in results" in again.err
    content = json.loads(zeroinit("compare", "zero", *SMALL, "--json").out)
    assert [row["entry"] for row in content["rows"]] == ["pytorch", "zero"]


def test_a_dry_run_runs_and_writes_nothing(zeroinit, monkeypatch):
    from zeroinit.bench.running import estimate

    monkeypatch.setattr(
        estimate,
        "calibrate",
        lambda kinds, *_: {(kind, count): Speed(1.0, 0.0, kind.batch_size) for kind, count in kinds},
    )
    ended = zeroinit("compare", "zero", "--dry-run", "--jobs", "1", "--device", "cpu")
    assert ended.code == 0
    assert "30 runs, " in ended.out
    assert list(Path().iterdir()) == []
    refused = zeroinit("compare", "zero", "--jobs", "1", "--device", "cpu", "--epochs", "2000")
    assert refused.code == 2
    assert "--epochs and --seeds make it shorter" in refused.err
    assert list(Path().iterdir()) == []


def test_the_plan_names_each_run_once():
    protocol = prepare(["zero"], "pytorch", [0, 1, 2], None, 0.01, None, None, {})
    names = planned(protocol, Store("results"))
    assert len(names) == 2 * (5 * 2 + 3)
    assert sum("tuning" in name for name in names.values()) == 20
    assert names[protocol.tuning_task(protocol.reference, 0.0001, 1000)] == "pytorch, tuning, 0.0001"


def test_stopping_says_what_is_kept(zeroinit, monkeypatch):
    from zeroinit.bench import reproduce

    def stop(*_, **__):
        raise KeyboardInterrupt(2)

    monkeypatch.setattr(reproduce, "run_all", stop)
    ended = zeroinit("compare", "zero", *SMALL)
    assert ended.code == 130
    assert "interrupted: 0 of 4 runs are kept in results; go on with: zeroinit compare zero" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("zero --study=", "study='': must be one of "),
        ("zero --reference builtins:dict", "reference='builtins:dict': is a class"),
        ("zero --batch-size 0", "batch_size=0: must be at least 1"),
        ("zero*nan", "entry='zero*nan': scale=nan: must be a finite number"),
        ("zeroo", "initializer='zeroo': did you mean 'zero'? It must be one of "),
        *(
            (f"zero --lr-grid {grid}", f"lr-grid='{grid}': must be numbers above 0, ascending, ")
            for grid in ("1e-3,x", "1e-3,1e-4", "0.1,0.1", "nan", "0.1,inf", "0", "-1,1", "1,nan,2")
        ),
        ("zero --seeds 0", "seeds='0': leaves no seed"),
        ("zero --seeds 999-1001", "seeds: 1000 chooses the rates"),
        ("zero --model mnist_fn", "model='mnist_fn': did you mean 'mnist_fnn'"),
        ("zero --optimizer adm", "optimizer='adm': did you mean 'adam'"),
        ("zero --study fig33", "study='fig33': did you mean 'fig3'"),
        ("zero --epochs -1", "epochs=-1: must be at least 1"),
        ("zero --margin 0", "margin=0: must lie between 0 and 100, in points"),
        ("zero --target 150", "target=150: must lie between 0 and 100, in points"),
        ("zero --csv --json", "--csv and --json: print one format; the folder comparison gets all of them"),
        (
            "nowhere:start",
            "initializer='nowhere:start': nowhere cannot be imported (ModuleNotFoundError: No module named 'nowhere')",
        ),
        ("zero --reference zero", "initializers: need one besides the reference, zero"),
        ("zero --jobs 0", "jobs=0: must be at least 1"),
        ("zero --dataset mnist --data-dir nowhere --yes", "data folder nowhere: no such folder"),
    ],
)
def test_what_cannot_be_used_is_one_line(zeroinit, no_run, arguments, message):
    ended = zeroinit("compare", *arguments.split())
    assert (ended.code, ended.out if "--data-dir" not in arguments and "--jobs" not in arguments else "") == (2, "")
    assert ended.err.startswith(f"zeroinit: error: {message}")
    assert ended.err.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.fixture
def small_board(monkeypatch):
    from zeroinit.bench.catalogue.boards import BOARDS
    from zeroinit.bench.spec import Board, Run, Track

    run = Run(dataset="digits", epochs=1, num_train=64, num_validation=32)
    track = Track(run, ("pytorch", "zero"), (0.01,), num_seeds=2, target=0.9)
    monkeypatch.setitem(BOARDS, "small", Board("small", "small", {"one net": track, "other": track}))


def test_a_board_has_a_table_and_a_folder_for_each_network(zeroinit, small_board):
    ended = zeroinit("compare", "normal_bias", "--board", "small", "--jobs", "1", "--device", "cpu")
    assert ended.code == 0, ended.err
    assert ended.out.count("reference") == 2
    assert ended.out.startswith("one net\nmnist_fnn on digits, 1 epoch,")
    assert {path.name for path in Path("comparison").iterdir()} == {"one-net", "other"}
    assert "normal_bias" in Path("comparison/other/comparison.csv").read_text()
    one = zeroinit("compare", "--board", "small:other", "--csv", "--jobs", "1", "--device", "cpu")
    assert one.out.startswith("entry,rate,")


def test_a_time_limit_and_a_part_write_no_table(zeroinit, small_board):
    late = "out of time: 0 of 4 runs are done and stored in results; the same command goes on from there\n"
    for options, code, said in (
        ("--time-limit 0.000001s", 0, late),
        ("--time-limit 0.000001s --shard 1/2", 1, late.replace("4", "2")),
        ("--shard 1/2", 0, "shard 1/2: 2 of 2 runs stored in results; the same command without --shard writes the"),
        ("--time-limit 0.000001s --shard 1/2", 0, "shard 1/2: 2 of 2 runs stored in results"),
    ):
        ended = zeroinit("compare", "--board", "small:other", *options.split(), "--jobs", "1", "--device", "cpu")
        assert ended.code == code
        assert said in ended.err
        assert "reference" not in ended.out
        assert not Path("comparison").exists()


def test_a_time_limit_before_the_first_run_of_all(zeroinit, small_board, monkeypatch):
    """One line for all networks that have not begun. With everything stored there is nothing to be late for."""
    rest = ("--time-limit", "0.000001s", "--jobs", "1", "--device", "cpu")
    for entries, number in ((("zero", *SMALL[:6]), 4), (("--board", "small", "--seeds", "3"), 6)):
        ended = zeroinit("compare", *entries, *rest)
        assert (ended.code, ended.out) == (0, "")
        assert ended.err == (
            f"out of time: 0 of {number} runs are done and stored in results; the same command goes on from there\n"
        )
    assert list(Path().iterdir()) == []
    assert zeroinit("compare", "zero", *SMALL).code == 0
    again = zeroinit("compare", "zero", *SMALL[:6], *rest)
    assert (again.code, "out of time" in again.err, "reference" in again.out) == (0, False, True)


def test_a_part_whose_run_failed_says_so_in_its_exit_code(zeroinit, monkeypatch):
    monkeypatch.setattr(task, "TRIES", 1)
    monkeypatch.setattr(task, "execute", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
    ended = zeroinit("compare", "zero", *SMALL, "--shard", "1/2")
    assert ended.code == 1
    assert "shard 1/2: 1 of 2 runs stored in results" in ended.err  # the other run has a process of its own


@pytest.mark.filterwarnings("error")
def test_a_name_that_the_font_lacks_is_drawn_without_a_warning(zeroinit, monkeypatch):
    Path("初期化.py").write_text("from torch import nn\n\n\ndef 開始(weight, generator):\n    nn.init.zeros_(weight)\n")
    monkeypatch.syspath_prepend(".")
    ended = zeroinit("compare", "初期化:開始", *SMALL)
    assert ended.code == 0
    assert "Glyph" not in ended.err
    assert "開始" in Path("comparison/differences.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "initializers: name at least one, as zero_start, or a board, as --board initbench"),
        ("--board initbenc", "board='initbenc': did you mean 'initbench'"),
        ("--board small --epochs 3", "--epochs: --board small fixes it; leave one of them out"),
        ("--board small --lr-grid 0.1", "--lr-grid: --board small fixes it"),
        ("--board small --json", "--json: name one network, as --board 'small:one net'"),
    ],
)
def test_what_a_board_refuses_is_one_line(zeroinit, no_run, small_board, arguments, message):
    ended = zeroinit("compare", *arguments.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"zeroinit: error: {message}")


FAILING = """
import inspect

from torch import nn

from zeroinit.bench.running import runner

fit = runner.fit


def no_training(*arguments, **settings):
    runner.fit = fit
    raise RuntimeError("no luck")


def broken(weight, generator):
    nn.init.normal_(weight, std=0.1, generator=generator)
    called_by = {frame.function for frame in inspect.stack()}
    runner.fit = no_training if "execute" in called_by else fit
"""


@pytest.mark.parametrize("rates", ["0.01", "0.01,0.02"])
def test_an_entry_that_fails_leaves_the_table_of_the_others(zeroinit, monkeypatch, rates):
    Path("failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(".")
    monkeypatch.delitem(sys.modules, "failing", raising=False)
    monkeypatch.setattr(runner, "fit", runner.fit)
    monkeypatch.setattr(task, "TRIES", 1)
    small = ("--epochs", "1", "--lr-grid", rates, "--seeds", "2", "--jobs", "1", "--device", "cpu")
    ended = zeroinit("compare", "failing:broken", "zero", *small)
    assert ended.code == 1
    assert "failed: failing:broken" in ended.err
    assert "zero: " in ended.out
    rows = json.loads(Path("comparison/comparison.json").read_text())["rows"]
    assert [row["entry"] for row in rows] == ["pytorch", "zero"]
    alone = zeroinit("compare", "failing:broken", *small)
    assert (alone.code, "reference" in alone.out, "failed: failing:broken" in alone.err) == (1, True, True)
    refused = zeroinit("compare", "zero", "--reference", "failing:broken", *small)
    assert refused.code == 2
    assert "reference='failing:broken': has no result; failing:broken" in refused.err


UNLUCKY = """
import torch
from torch import nn

from zeroinit._common import derive_seed


def start(weight, generator):
    nn.init.normal_(weight, std=0.1, generator=generator)
    if generator.initial_seed() in {derive_seed(seed, "init") for seed in SEEDS}:
        weight.fill_(torch.nan)
"""


@pytest.mark.parametrize("seeds", [(), (1,), (0,)])
def test_a_function_that_leaves_nan_with_one_seed(zeroinit, monkeypatch, seeds):
    """Seed 0 is tried before all runs: what fails there is refused, and nothing is run."""
    Path("unlucky.py").write_text(UNLUCKY.replace("SEEDS", str(list(seeds))))
    monkeypatch.syspath_prepend(".")
    monkeypatch.delitem(sys.modules, "unlucky", raising=False)
    monkeypatch.setattr(task, "TRIES", 1)
    ended = zeroinit("compare", "unlucky:start", *SMALL)
    assert ended.code == {(): 0, (1,): 1, (0,): 2}[seeds]
    assert [path.name for path in Path().rglob("seed-*.failed")] == ["seed-1.failed"] * (seeds == (1,))
    assert len(list(Path().rglob("seed-*.json"))) == {(): 4, (1,): 3, (0,): 0}[seeds]
    assert ("failed: unlucky:start, final, 0.01, seed 1: initializer='unlucky:start': leaves" in ended.err) == (
        seeds == (1,)
    )


@pytest.mark.parametrize("command", [("compare", "zero", *SMALL), ("reproduce", "--seeds", "1", *SMALL[-4:])])
@pytest.mark.filterwarnings("ignore")
def test_the_last_line_says_where_results_are_that_a_url_does_not_take(zeroinit, monkeypatch, two_epochs, command):
    from fsspec.implementations.local import LocalFileSystem

    url = f"local://{Path('there').absolute()}"
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "pipe_file", lambda *_: (_ for _ in ()).throw(PermissionError("it has expired")))
        ended = zeroinit(*command, "--results", url)
    assert ended.code == 1
    last = ended.err.rstrip("\n").rsplit("\n", 1)[-1]
    assert last.startswith("results: ")
    way_out = "log in again or renew the token, then type the same command again, which sends them"
    assert last.endswith(f", and not all of it in {url}; {way_out}")
    again = zeroinit(*command, "--results", url)
    assert again.code == 0
    assert "not all of it" not in again.err


@pytest.mark.parametrize("command", ["compare", "reproduce", "verify"])
def test_the_help_says_what_one_job_and_a_time_limit_do(zeroinit, command):
    """``verify`` has no jobs, and a time limit of another kind."""
    text = " ".join(zeroinit(command, "--help").out.replace("│", " ").split())
    assert ("With 1 job, the run uses all cores, so bits may differ" in text) == (command != "verify")
    assert ("The exit code is then 0, with --shard 1." in text) == (command != "verify")
    assert "one thread each" not in text
