"""Differences from PyTorch's default: paired by seed, by network, and the share of a gap that is closed."""

import numpy as np
import pytest

from zeroinit.bench.catalogue.studies.gap import GAP
from zeroinit.bench.catalogue.studies.transfer import TRANSFER
from zeroinit.bench.labels import NORMAL, split_label
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.reporting.views.differences import difference_frame
from zeroinit.bench.reporting.views.gaps import gaps, rank_frame
from zeroinit.bench.reporting.views.view import Heading
from zeroinit.bench.store import Result, Store

ENVIRONMENT = {"zeroinit": "0", "python": "3", "torch": "2", "device": "cpu", "threads": 1}
FINAL = {"PyTorch's default": 0.98, NORMAL: 0.96, "dropout": 0.975, "rescaled": 0.95}
RANK = {"PyTorch's default": 100.0, NORMAL: 1.0, "dropout": 50.0, "rescaled": 1.0}


def recorded(rank: float) -> dict:
    entry = {"shape": [5, 4], "weight_rank": [0.0, rank, 2 * rank, 3 * rank], "gradient_rank": [1.0, 1.0, 1.0]}
    return {"losses": [], "steps": [1, 2, 10], "parameters": {"dense_1.weight": entry}}


@pytest.fixture
def summary(tmp_path):
    """Seeds differ by far more than the starts do; dropout is there for one seed more."""
    store = Store(tmp_path)
    for curve in GAP.at("paper", "corrected"):
        network, name = split_label(curve.label)
        if network != "MNIST FNN" or name not in FINAL:
            continue
        for seed in range(4 if name == "dropout" else 3):
            accuracy = FINAL[name] - 0.1 * seed + 0.001 * (seed == 1) * (name == "dropout")
            history = {"test_accuracy": [0.5] * (curve.run.epochs - 1) + [accuracy], "outcome": "completed"}
            store.save(Result(curve.run, seed, history, "0" * 16, ENVIRONMENT, 1.0, recorded(RANK[name] + seed)))
    return summarize(GAP, store, range(9), "paper", "corrected")


def test_differences_are_paired_by_seed(summary):
    found = {gap.name: gap for gap in gaps(summary)}
    assert set(found) == set(FINAL)
    assert found[NORMAL].difference.value == pytest.approx(-0.02)
    assert found[NORMAL].difference.high - found[NORMAL].difference.low < 1e-9
    assert found["dropout"].difference.value == pytest.approx(-0.005 + 0.001 / 3)
    assert found["dropout"].difference.num_seeds == 3


def test_the_share_of_the_gap(summary):
    found = {gap.name: gap.closed for gap in gaps(summary)}
    assert found["dropout"].value == pytest.approx((0.015 + 0.001 / 3) / 0.02)
    assert found["rescaled"].value == pytest.approx(-0.5)
    assert found["PyTorch's default"] is None
    assert found[NORMAL] is None


def test_ranks_are_means_over_seeds(summary):
    frame = rank_frame(gaps(summary))
    normal = frame[frame["label"] == NORMAL].to_dict("list")
    assert normal == {"label": [NORMAL] * 3, "step": [1, 2, 10], "value": [0.0, 2.0, 4.0]}
    assert len(frame) == 3 * len(FINAL)


def test_the_table(summary):
    rows = [[cell.text for cell in row] for row in VIEWS["gaps"].table(summary, "paper", "corrected").rows]
    by_name = {row[1]: row for row in rows}
    assert by_name["PyTorch's default"][2:5] == ["88.0 ± 24.8 %", "–", "–"]
    assert by_name[NORMAL][5:] == ["2.0", "4.0", "–", "6.0", "3"]
    assert by_name["dropout"][4].startswith("77 % [")
    assert by_name["dropout"][8] == f"{3 * (50 + 1.5):.1f}"


def test_one_seed_has_no_interval(tmp_path):
    store = Store(tmp_path)
    for curve in GAP.at("paper", "corrected"):
        network, name = split_label(curve.label)
        if network == "MNIST FNN" and name in FINAL:
            history = {"test_accuracy": [FINAL[name]] * curve.run.epochs, "outcome": "completed"}
            store.save(Result(curve.run, 0, history, "0" * 16, ENVIRONMENT, 1.0, recorded(1.0)))
    table = VIEWS["gaps"].table(summarize(GAP, store, range(9), "paper", "corrected"), "paper", "corrected")
    assert {row[1].text: row[4].text for row in table.rows}["dropout"] == "75 % (one seed, no interval)"


def test_the_drawing(summary):
    figure = VIEWS["gaps"].draw(summary, Heading("Title"), "paper")
    left, right, names = figure.axes
    assert left.get_title(loc="left") or left.get_title() == "MNIST FNN"
    assert [label.get_text() for label in left.get_yticklabels()] == list(FINAL)
    assert [text.get_text() for text in names.texts] == ["PyTorch's default", NORMAL]  # the others are thin and gray
    line = right.lines[1]
    assert np.asarray(line.get_xdata()).tolist() == [2, 10]  # a rank of zero has no place on a logarithmic scale


def test_one_difference_for_each_network_and_their_mean(tmp_path):
    store = Store(tmp_path)
    for number, curve in enumerate(TRANSFER.at("paper", "corrected")[:6]):
        for seed in range(3 if number < 4 else 2):
            gain = 0.01 * (number // 2) if number % 2 else 0.0
            history = {"test_accuracy": [0.5] * 29 + [0.9 - 0.1 * seed + gain], "outcome": "completed"}
            store.save(Result(curve.run, seed, history, "0" * 16, ENVIRONMENT, 1.0))
    summary = summarize(TRANSFER, store, range(9), "paper", "corrected")
    frame = difference_frame(gaps(summary))
    networks = ["2 layers, 64 ReLU", "2 layers, 64 GELU", "2 layers, 64 tanh"]
    assert frame["row"].tolist() == [*networks, "All networks"]
    assert set(frame["label"]) == {"zero start"}
    assert frame["mean"].tolist() == pytest.approx([0.0, 0.01, 0.02, 0.01])
    figure = VIEWS["differences"].draw(summary, Heading("Title"), "paper")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == frame["row"].tolist()


def test_further_curves_of_a_network_are_named_and_not_in_the_mean(tmp_path):
    store = Store(tmp_path)
    finals = {"PyTorch's default": 0.8, "zero start": 0.83, "orthogonal once": 0.5, "default, orthonormal": 0.85}
    for curve in TRANSFER.at("paper", "corrected"):
        network, name = split_label(curve.label)
        if network == "8 layers, 64 ReLU":
            for seed in range(2):
                history = {"test_accuracy": [finals[name] + 0.01 * seed] * 30, "outcome": "completed"}
                store.save(Result(curve.run, seed, history, "0" * 16, ENVIRONMENT, 1.0))
    frame = difference_frame(gaps(summarize(TRANSFER, store, range(9), "paper", "corrected")))
    assert frame["row"].tolist() == ["8 layers, 64 ReLU"] * 3 + ["All networks"]
    assert frame["label"].tolist() == ["zero start", "orthogonal once", "default, orthonormal", "zero start"]
    assert frame["mean"].tolist() == pytest.approx([0.03, -0.3, 0.05, 0.03])


def test_without_the_default_there_is_nothing_to_compare(tmp_path):
    store = Store(tmp_path)
    curve = next(curve for curve in GAP.at("paper", "corrected") if curve.label == f"MNIST FNN: {NORMAL}")
    history = {"test_accuracy": [0.5] * curve.run.epochs, "outcome": "completed"}
    store.save(Result(curve.run, 0, history, "0" * 16, ENVIRONMENT, 1.0, recorded(1.0)))
    assert gaps(summarize(GAP, store, range(3), "paper", "corrected")) == []


def test_defaults_alone_have_no_difference_to_show(tmp_path):
    store = Store(tmp_path)
    curve = TRANSFER.at("paper", "corrected")[0]
    store.save(Result(curve.run, 0, {"test_accuracy": [0.5] * 30, "outcome": "completed"}, "0" * 16, ENVIRONMENT, 1.0))
    assert difference_frame(gaps(summarize(TRANSFER, store, range(3), "paper", "corrected"))).empty
