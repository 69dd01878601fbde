"""What is left of symmetry: made-up records through frames, table, drawing and claims, and a real run."""

import math

import pytest

from zeroinit.bench.catalogue.studies.remaining import REMAINING
from zeroinit.bench.labels import NORMAL, PYTORCH, ZERO_START, split_label
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.measures import MEASURES
from zeroinit.bench.reporting.verdicts import decide_claims
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.reporting.views.symmetries import remaining, symmetry_frame
from zeroinit.bench.reporting.views.view import Heading
from zeroinit.bench.running.runner import execute
from zeroinit.bench.store import Result, Store

ENVIRONMENT = {"zeroinit": "0", "python": "3", "torch": "2", "device": "cpu", "threads": 1}
SPREADS = {PYTORCH: 0.9, NORMAL: 0.3, ZERO_START: 0.85}


def recorded(spread: float, warnings: tuple[str, ...] = (), distinct: int = 4) -> dict:
    kernels = {"shape": [4, 1, 3, 3], "weight_rank": [0.0, 1.0, 2.0], "position_spread": [0.0, 1e-9, spread]}
    dense = {"shape": [2, 8], "weight_rank": [0.0, 1.0, 2.0], "position_spread": [0.0, 0.0, spread - 0.2]}
    plain = {"shape": [2, 2], "weight_rank": [0.0, 1.0, 2.0]}
    numbers = {"constant_features": 0.0, "duplicate_features": 0.0, "effective_rank_weights": 2.0}
    layers = [
        {"path": "conv_1", "units": 4, "distinct": distinct, "effective_rank_activations": 2.0} | numbers,
        {"path": "dense_1", "units": 256, "distinct": 256, "effective_rank_activations": 64.0} | numbers,
        {"path": "dense_2", "units": 2, "distinct": 2, "effective_rank_activations": None} | numbers,
    ]
    parameters = {"conv_1.weight": kernels, "dense_1.weight": dense, "dense_2.weight": plain}
    return {"losses": [], "steps": [1, 2], "parameters": parameters, "layers": layers, "warnings": list(warnings)}


@pytest.fixture
def summary(tmp_path):
    """Three seeds of the MNIST CNN; with normal biases one seed has a warning and a copy."""
    store = Store(tmp_path)
    for curve in REMAINING.at("paper", "corrected"):
        network, name = split_label(curve.label)
        for seed in range(3 if network == "MNIST CNN" else 0):
            is_odd = name == NORMAL and seed == 2
            found = recorded(SPREADS[name] + 0.01 * seed, ("ZI001",) if is_odd else (), 3 if is_odd else 4)
            history = {"test_accuracy": [0.5] * curve.run.epochs, "outcome": "completed"}
            store.save(Result(curve.run, seed, history, "0" * 16, ENVIRONMENT, 1.0, found))
    return summarize(REMAINING, store, range(9), "paper", "corrected")


def test_what_remains(summary):
    found = {each.name: each for each in remaining(summary)}
    assert list(found) == list(SPREADS)
    normal, start = found[NORMAL], found[ZERO_START]
    assert (normal.warnings, start.warnings) == (("ZI001",), ())
    assert normal.distinct.value == pytest.approx(1 - 1 / 262 / 3)
    assert start.distinct.value == 1
    assert start.weight_rank.value == pytest.approx((2 / 4 + 2 / 2 + 2 / 2) / 3)
    assert start.activation_rank.value == pytest.approx((2 / 4 + 64 / 128) / 2)
    assert {name: each.value for name, each in start.spreads.items()} == pytest.approx(
        {"conv_1.weight": 0.86, "dense_1.weight": 0.66}
    )
    assert start.mean_spread == pytest.approx(0.76)
    assert start.least_spread[0] == "dense_1.weight"


def test_the_course_over_steps(summary):
    frame = symmetry_frame(summary)
    normal = frame[(frame["label"] == NORMAL) & (frame["measure"] == "position_spread")]
    assert normal["step"].tolist() == [1, 2]
    assert normal["value"].tolist() == pytest.approx([0.0, 5e-10])
    assert set(frame["network"]) == {"MNIST CNN"}
    ranks = frame[(frame["label"] == ZERO_START) & (frame["measure"] == "weight_rank")]
    assert ranks["value"].tolist() == pytest.approx([0.0, (1 / 4 + 1 / 2 + 1 / 2) / 3])


def test_the_table(summary):
    table = VIEWS["symmetries"].table(summary, "paper", "corrected")
    rows = {row[1].text: [cell.text for cell in row] for row in table.rows}
    assert len(table.headings) == len(rows[ZERO_START])
    assert rows[ZERO_START][:4] == ["MNIST CNN", ZERO_START, "none", "100.0 ± 0.0 %"]
    assert rows[NORMAL][2] == "ZI001"
    assert rows[ZERO_START][6] == "76.0 %"
    assert rows[ZERO_START][7].startswith("dense_1: 66.0 ± ")
    assert rows[ZERO_START][8] == "3"


def test_the_drawing(summary):
    figure = VIEWS["symmetries"].draw(summary, Heading("Title"), "paper")
    left, right = figure.axes[:2]
    assert left.get_title(loc="left") == "MNIST CNN"
    assert [line.get_label() for line in left.lines] == list(SPREADS)
    assert [list(line.get_xdata()) for line in left.lines] == [[1, 2]] * 3
    assert (left.get_yscale(), left.get_ylabel()) == ("linear", "Position spread (%)")
    assert right.get_ylabel() == "Rank (% of the largest possible)"


def test_the_claims(summary):
    verdicts = {each.claim.id: each for each in decide_claims([summary], "paper")["remaining"]}
    identical, start, normal = (
        verdicts[f"{claim}"]
        for claim in ("S1-mnist-cnn-told-apart", "S2-mnist-cnn-recipe-positions", "S3-mnist-cnn-normal-positions")
    )
    assert identical.verdict == start.verdict == normal.verdict == "supported"
    assert start.estimate.value == pytest.approx(-0.05)
    assert normal.estimate.value == pytest.approx(0.6)
    assert {each.verdict for id, each in verdicts.items() if "resnet" in id} == {"not run"}


def test_a_warning_or_a_copy_refutes(summary):
    by_name = {split_label(entry.curve.label)[1]: list(entry.results.values()) for entry in summary.curves}
    assert MEASURES["no_identical_units"](by_name[NORMAL], []).tolist() == [1, 1, 0]
    copied = [
        Result(each.run, each.seed, each.history, "", {}, 1.0, recorded(0.5, (), 3)) for each in by_name[ZERO_START]
    ]
    assert MEASURES["no_identical_units"](copied, []).tolist() == [0, 0, 0]
    warned = [Result(each.run, each.seed, each.history, "", {}, 1.0, recorded(0.5, ("ZI005",))) for each in copied]
    assert MEASURES["no_identical_units"](warned, []).tolist() == [0, 0, 0]
    assert MEASURES["position_spread"](by_name[ZERO_START], []).tolist() == pytest.approx([0.75, 0.76, 0.77])


def test_runs_that_diverged_or_recorded_nothing_are_left_out(tmp_path):
    store, curve = Store(tmp_path), REMAINING.curves[0]
    history = {"test_accuracy": [0.1], "outcome": "diverged"}
    lost = {"shape": [4, 1, 3, 3], "weight_rank": [None] * 3, "position_spread": [0.5, None, None]}
    without = {"losses": [], "steps": [1, 2], "parameters": {"conv_1.weight": lost}}
    for seed, found in enumerate(({"losses": [], "parameters": {}}, without)):
        store.save(Result(curve.run, seed, history, "0" * 16, ENVIRONMENT, 1.0, found))
    summary = summarize(REMAINING, store, range(3), "paper", "corrected")
    assert remaining(summary) == []
    frame = symmetry_frame(summary)
    assert frame["step"].tolist() == [1, 1, 2, 2]
    assert frame["value"].isna().tolist() == [False, True, True, True]
    assert MEASURES["no_identical_units"](list(summary.curves[0].results.values()), []).tolist() == [0, 0]
    assert VIEWS["symmetries"].table(summary, "paper", "corrected").rows == ()


def test_a_real_run_on_digits(tmp_path):
    """From zero weights, whose kernels do not vary, a zero start ends with kernels that do."""
    store = Store(tmp_path)
    for curve in REMAINING.at("quick", "corrected")[:3]:
        store.save(execute(curve.run, 0))
    summary = summarize(REMAINING, store, range(1), "quick", "corrected")
    found = {each.name: each for each in remaining(summary)}
    assert found[ZERO_START].distinct.value == 1
    assert found[ZERO_START].mean_spread > 0.7
    assert found[PYTORCH].mean_spread > 0.9
    assert not math.isnan(found[NORMAL].mean_spread)
    start = symmetry_frame(summary).query("label == 'zero start' and measure == 'position_spread' and step == 1")
    assert start["value"].tolist() == [0.0]


def test_a_seed_that_ended_early_shortens_the_course(tmp_path):
    store, curve = Store(tmp_path), REMAINING.curves[0]
    early = recorded(0.5) | {"steps": [1]}
    for entry in early["parameters"].values():
        for values in (entry["weight_rank"], entry.get("position_spread", [0])):
            values.pop(0)
    for seed, found in enumerate((recorded(0.5), early)):
        history = {"test_accuracy": [0.1], "outcome": "diverged"}
        store.save(Result(curve.run, seed, history, "0" * 16, ENVIRONMENT, 1.0, found))
    frame = symmetry_frame(summarize(REMAINING, store, range(2), "paper", "corrected"))
    assert set(frame["step"]) == {1}
