"""The benchmark of the paper's networks: all contestants do the same work, and the figures follow from the times."""

import copy
import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zeroinit._common import InputError
from zeroinit.bench.data import load_dataset

FOLDER = Path(__file__).parents[2] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench():
    """The modules of the benchmarks, which are scripts beside the package."""
    names = ("measure", "contestants", "paper_speed")
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def case(bench):
    """Makes a case on the digits."""

    def make(name="mnist_fnn", steps=2, batch=8, precision="float32"):
        return bench.contestants.make_case(name, load_dataset("digits"), steps, batch, CPU, precision)

    return make


@pytest.mark.parametrize("name", ["mnist_fnn", "mnist_cnn", "cifar_cnn"])
def test_fit_the_plain_loop_and_a_stack_make_the_same_step(bench, case, name):
    """With one batch the order cannot matter; and what they do is not nothing."""
    one = case(name, steps=1, batch=32)
    before = copy.deepcopy(one.model)
    trained = {}
    for way in ("fit", "plain", "stacked"):
        model = copy.deepcopy(before)
        this = SimpleNamespace(**{**vars(one), "model": model, "widths": one.widths})
        if way == "plain":
            bench.contestants.plain(this)
        else:
            bench.contestants.ours(this, [model, copy.deepcopy(model)] if way == "stacked" else None)
        trained[way] = nn.utils.parameters_to_vector(model.parameters()).detach()
    start = nn.utils.parameters_to_vector(before.parameters()).detach()
    for way, values in trained.items():
        assert (values - start).abs().mean() > 3e-4, way  # Adam's first step is 1e-3, up or down
        assert (values - trained["fit"]).abs().mean() < 1e-5, way  # down for up where a gradient is mere rounding


@pytest.mark.parametrize("name", ["mnist_fnn", "cifar_fnn"])
def test_the_floor_has_the_products_of_a_training_step_and_no_others(bench, case, name):
    one = case(name, steps=1, batch=8)
    with FlopCounterMode(display=False) as counted:
        bench.contestants.plain(one)
    products = bench.measure.dense_products(one.widths, one.batch, CPU, torch.float32)
    with FlopCounterMode(display=False) as floor:
        products()
    assert floor.get_total_flops() == counted.get_total_flops() > 0


def test_a_network_with_convolutions_has_no_floor(bench, case):
    assert case("mnist_cnn").widths == []
    assert case("cifar_fnn").widths == [64, 512, 256, 128, 10]


def test_the_figures_of_a_network_follow_from_the_times(monkeypatch, bench, case):
    seconds = {"fit": [2.0, 4.0], "plain": [4.0, 4.0], "floor": [1.0, 1.0], "peak": [0.5, 0.5]}
    monkeypatch.setattr(bench.paper_speed, "measure_in_turn", lambda contestants, rounds, wait: seconds)
    one = case(steps=4, batch=8)
    row = bench.paper_speed.measure_network(one, num_train=320, rounds=2)
    assert (row["network"], row["precision"], row["batch"], row["steps"]) == ("mnist_fnn", "float32", 8, 4)
    assert row["images_per_second"] == {"median": 12.0, "low": 8.0, "high": 16.0}
    assert row["seconds_per_epoch"] == {"median": 30.0, "low": 20.0, "high": 40.0}
    assert row["to_plain"] == {"median": 0.75, "low": 0.5, "high": 1.0}
    assert row["to_floor"] == {"median": 3.0, "low": 2.0, "high": 4.0}
    product = 2 * bench.measure.SQUARE["cpu"] ** 3
    assert row["share_of_peak"]["high"] == pytest.approx((one.operations / 2.0) / (product / 0.5))
    assert row["peak_tflops"]["median"] == pytest.approx(product / 0.5 / 1e12)
    assert one.operations == 3 * 2 * (64 * 500 + 500 * 10) * 32


def test_the_growth_with_seeds_follows_from_the_times(monkeypatch, bench, case):
    seconds = {"alone": [1.0, 2.0], "2": [1.5, 3.0], "4": [2.0, 6.0]}
    monkeypatch.setattr(bench.paper_speed, "measure_in_turn", lambda contestants, rounds, wait: dict(seconds))
    rows = bench.paper_speed.measure_seeds(case(steps=2, batch=8), [1, 2, 4], rounds=2)
    assert [(row["seeds"], row["to_one"]["median"]) for row in rows] == [(1, 1.0), (2, 1.5), (4, 2.5)]
    assert rows[2]["images_per_second"]["high"] == 4 * 16 / 2.0


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_everything_runs_in_this_precision(monkeypatch, bench, case, precision):
    monkeypatch.setitem(bench.measure.SQUARE, "cpu", 32)
    one = case(steps=2, batch=4, precision=precision)
    row = bench.paper_speed.measure_network(one, num_train=8, rounds=1)
    assert row["images_per_second"]["median"] > 0
    assert {parameter.dtype for parameter in one.model.parameters()} == {torch.float32}
    rows = bench.paper_speed.measure_seeds(one, [1, 3], rounds=1)
    assert rows[0]["to_one"]["median"] == 1.0


def test_tf32_asks_for_cuda(bench, case):
    with pytest.raises(InputError, match="needs a CUDA device"):
        bench.contestants.plain(case(precision="tf32"))


def test_a_cuda_device_is_waited_for_before_and_after_each_contestant(monkeypatch, bench):
    said = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append(device.type))
    wait = bench.measure.waiting_for(torch.device("cuda"))
    contestants = {"a": lambda: said.append("a"), "b": lambda: said.append("b")}
    seconds = bench.measure.measure_in_turn(contestants, rounds=2, warmups=1, wait=wait)
    assert said == ["cuda", "a", "cuda", "cuda", "b", "cuda"] * 3
    assert [len(values) for values in seconds.values()] == [2, 2]
    del said[:]
    bench.measure.waiting_for(CPU)()
    assert said == []


@pytest.fixture
def start(monkeypatch, bench, tmp_path, capsys):
    """Starts the script on two small networks; returns what it printed."""
    small = {name: bench.paper_speed.Network("digits", 2, 2, batch=8) for name in ("mnist_fnn", "mnist_cnn")}
    monkeypatch.setattr(bench.paper_speed, "NETWORKS", small)
    monkeypatch.setattr(bench.measure, "RESULTS", tmp_path)
    monkeypatch.setitem(bench.measure.SQUARE, "cpu", 32)
    monkeypatch.setattr(bench.paper_speed, "keep_freed_memory", lambda: None)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["paper_speed.py", "--rounds", "1", "--seeds", "1", "2", *arguments])
        try:
            bench.paper_speed.main()
        finally:
            torch.set_flush_denormal(False)
        return capsys.readouterr().out

    return run


def test_the_script_prints_and_writes_tables_that_the_readme_can_show(start, tmp_path):
    printed = start()
    content = json.loads((tmp_path / "paper_speed.json").read_text())
    assert [row["network"] for row in content["networks"]] == ["mnist_fnn", "mnist_cnn"]
    assert [(row["network"], row["seeds"]) for row in content["seeds"]] == [("mnist_fnn", 1), ("mnist_fnn", 2)]
    assert (content["device"], content["threads"]) == ("cpu", torch.get_num_threads())
    for table in content["tables"]:
        assert table["title"] in printed
        assert all(len(cells) == len(table["header"]) for cells in table["cells"])
        assert all(cell in printed for cells in table["cells"] for cell in cells)


@pytest.mark.parametrize("part", [("--networks", "mnist_fnn"), ("--seeds-only",)])
def test_a_part_of_the_figures_does_not_overwrite_the_whole(start, tmp_path, part):
    assert "not written: only a part was measured" in start(*part)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_network_is_refused(start, capsys):
    with pytest.raises(SystemExit):
        start("--networks", "resnet51")
    assert "invalid choice: 'resnet51'" in capsys.readouterr().err
