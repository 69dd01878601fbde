"""The grid of settings: how it is drawn, what is known of a run before it starts, and what is read off its results."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zeroinit.bench.catalogue.grid import REFERENCES, draw_curves, part_of
from zeroinit.bench.catalogue.studies.large_bias_grid import LARGE_BIAS_GRID
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.predictor import QUANTITIES, expected_accuracy, fit_predictor, quantities
from zeroinit.bench.reporting.views import VIEWS
from zeroinit.bench.reporting.views.collapse import (
    loss_frame,
    read_grid,
    reference_differences,
    runs_of,
    seed_agreement,
)
from zeroinit.bench.reporting.views.view import Heading
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Result, Store

RUN = Run(initializer="normal_bias", hidden="500", num_train=16_000, num_validation=0, batch_size=32, epochs=1)
ENVIRONMENT = {"zeroinit": "0", "python": "3", "torch": "2", "device": "cpu", "threads": 1}


def test_a_draw_depends_on_its_seed_alone():
    assert draw_curves("fit", 3, 2, seed=1) == draw_curves("fit", 3, 2, seed=1)
    ours = [curve.run for curve in draw_curves("fit", 3, 2, seed=1)]
    others = [curve.run for curve in draw_curves("fit", 3, 2, seed=2)]
    assert not set(ours) & set(others)


def test_fitting_and_held_out_sets_share_no_run_and_have_their_counts():
    parts = {"fit": set(), "held out": set()}
    drawn = dict.fromkeys(parts, 0)
    for curve in LARGE_BIAS_GRID.curves:
        part, _, name = part_of(curve.label)
        parts[part].add(curve.run)
        drawn[part] += name not in REFERENCES
    assert not parts["fit"] & parts["held out"]
    assert drawn == {"fit": 252, "held out": 52}


def test_a_context_keeps_everything_but_the_scales():
    for context in (1, 2):
        runs = [curve.run for curve in draw_curves("fit", 2, 2, seed=5) if part_of(curve.label)[1] == context]
        plain = {replace(run, scale=1.0, output_scale=None, auto_scale=False) for run in runs}
        assert len(runs) == 2 + len(REFERENCES)
        assert len(plain) == 1


def test_quantities_of_one_hidden_layer_by_hand():
    found = quantities(replace(RUN, activation="identity", scale=2.0, output_scale=5.0))
    travel = 1e-3 * 500
    sizes = 500 * 2 * math.sqrt(2 / math.pi)
    assert found["offset"] == pytest.approx(math.log10(5 / travel))
    assert found["jolt"] == pytest.approx(math.log10(1e-3 * sizes), abs=0.01)
    assert found["unlearned"] == pytest.approx(math.log10(5 / (travel + 0.5 * sizes)), abs=0.01)
    assert found["beyond"] == pytest.approx(math.log10(2 / (travel * 100)))
    assert (found["bend"], found["slope"]) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_sgd_moves_by_the_summed_loss_and_squares():
    found = quantities(replace(RUN, activation="identity", optimizer="sgd", scale=2.0))
    assert found["travel"] == pytest.approx(math.log10(1e-3 * 32 * 500))
    assert found["jolt"] == pytest.approx(math.log10(1e-3 * 32 * 500 * 4), abs=0.02)


@pytest.mark.parametrize("activation", ["relu", "elu", "tanh", "gelu"])
def test_units_bend_less_with_larger_biases(activation):
    bends = [quantities(replace(RUN, activation=activation, scale=scale))["bend"] for scale in (1.0, 30.0, 300.0)]
    assert bends[0] > bends[1] > bends[2]
    assert quantities(replace(RUN, activation="identity"))["bend"] == pytest.approx(0, abs=1e-6)


def test_quantities_follow_the_automatic_scales():
    automatic = quantities(replace(RUN, auto_scale=True))
    by_hand = quantities(replace(RUN, scale=3 / 500**0.5, output_scale=0.01))
    assert automatic == pytest.approx(by_hand)


def test_the_predictor_learns_a_law_and_not_an_unseen_optimizer():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, len(QUANTITIES))), columns=list(QUANTITIES))
    frame["sgd"] = 0.0
    frame["accuracy"] = (frame["offset"] < 0).astype(float)
    predictor = fit_predictor(frame[:200])
    expected = expected_accuracy(predictor, frame[200:])
    assert np.mean((expected > 0.5) == (frame["accuracy"][200:] > 0.5)) > 0.9
    assert np.isnan(expected_accuracy(predictor, frame[200:].assign(sgd=1.0))).all()


def filled(store: Store, num_contexts: int, leave_out: str = "", seed: int = 0, sign: float = 1.0) -> None:
    """Made-up results: .9 less a tenth for each decade of the output scale over 1; ``auto`` is .01 better than x1."""
    results = []
    for curve in LARGE_BIAS_GRID.curves:
        if part_of(curve.label)[1] > num_contexts or curve.label == leave_out:
            continue
        run = curve.run
        output = 0.01 if run.auto_scale else run.scale if run.output_scale is None else run.output_scale
        accuracy = 0.9 - 0.1 * sign * max(0.0, math.log10(output + 1e-9)) + 0.01 * run.auto_scale
        history = {"test_accuracy": [accuracy], "outcome": "completed"}
        results.append(Result(run, seed, history, "0" * 16, ENVIRONMENT, 1.0))
    store.bundle(f"seed-{seed}", results)


def test_losses_are_relative_to_the_best_reference(tmp_path):
    filled(Store(tmp_path), 3, leave_out="fit 2, ×0.1")
    frame = loss_frame(runs_of(summarize(LARGE_BIAS_GRID, Store(tmp_path), [0], "paper", "corrected")))
    assert sorted(set(frame[frame["part"] == "fit"]["context"])) == [1, 3]
    automatic = frame[frame["name"] == "auto"]["loss"]
    assert automatic.abs().max() == 0
    assert frame[frame["name"] == "×1"]["loss"].to_numpy() == pytest.approx(0.01)
    for part in ("fit", "held out"):
        assert reference_differences(frame, part)["×1"].value == pytest.approx(0.01)


def test_the_law_of_made_up_results_is_found_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("zeroinit.bench.reporting.views.collapse.NUM_RESAMPLES", 20)
    monkeypatch.setattr("zeroinit.bench.reporting.predictor.NUM_TREES", 20)
    filled(Store(tmp_path), 15)
    summary = summarize(LARGE_BIAS_GRID, Store(tmp_path), [0], "paper", "corrected")
    reading = read_grid(summary)
    assert reading.correlations["held out"]["predictor"].value > 0.6
    assert reading.correlations["held out"]["scale of output biases"].value > 0.8
    figure = VIEWS["collapse"].draw(summary, Heading("Title"), "paper")
    assert figure.axes[0].get_xlabel() == "Loss of accuracy, predicted"
    table = VIEWS["collapse"].table(summary, "paper", "corrected")
    assert any(cell.text == "R²" for row in table.rows for cell in row)


def test_with_few_contexts_nothing_is_predicted(tmp_path):
    filled(Store(tmp_path), 5)
    summary = summarize(LARGE_BIAS_GRID, Store(tmp_path), [0], "paper", "corrected")
    assert read_grid(summary) is None
    assert VIEWS["collapse"].table(summary, "paper", "corrected").rows == ()
    VIEWS["collapse"].draw(summary, Heading("Title"), "paper")


@pytest.mark.parametrize(("sign", "agreement"), [(1.0, 1.0), (-0.04, -1.0)])
def test_agreement_of_two_seeds(tmp_path, monkeypatch, sign, agreement):
    monkeypatch.setattr("zeroinit.bench.reporting.views.collapse.NUM_RESAMPLES", 20)
    filled(Store(tmp_path), 12)
    summary = summarize(LARGE_BIAS_GRID, Store(tmp_path), [0], "paper", "corrected")
    assert seed_agreement(summary) == {}
    filled(Store(tmp_path), 12, seed=1, sign=sign)
    summary = summarize(LARGE_BIAS_GRID, Store(tmp_path), [0, 1], "paper", "corrected")
    found = seed_agreement(summary)
    assert set(found) == {"fit", "held out"}
    assert found["held out"].num_seeds == 12
    assert found["held out"].value * agreement > 0.8
