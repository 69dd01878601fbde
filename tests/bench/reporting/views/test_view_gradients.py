"""What recorded gradients say: the staircase of figure 12, signal or rounding, frames of what was recorded."""

from dataclasses import replace

import numpy as np
import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.labels import NORMAL, PYTORCH
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.measures import MEASURES, one_layer_per_step, signal_everywhere, signal_in_last_alone
from zeroinit.bench.reporting.verdicts import decide_claims
from zeroinit.bench.reporting.views.gradients import DRAWN, quantile_frame
from zeroinit.bench.reporting.views.wake_up import (
    gradient_sizes,
    has_gradient,
    precision_pairs,
    wake_causes,
    wake_frame,
)
from zeroinit.bench.spec import Curve, Figure, Run
from zeroinit.bench.store import QUANTILES

STAIRCASE = np.array([[0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], dtype=float)
"""Largest absolute gradient by layer, from the input, and by step: what paper.md reads off figure 12."""
EVERYWHERE = np.ones((4, 5))
FIG12 = FIGURES["fig12"]
PLAIN = Run(epochs=1)


@pytest.fixture
def recorded(make_result):
    """Makes a result whose recorder found these sizes (layers, steps); biases and quantiles go with them."""

    def make(sizes: np.ndarray, run: Run = PLAIN, seed: int = 0):
        parameters = {}
        for layer, row in enumerate(np.asarray(sizes, dtype=float).tolist(), start=1):
            spread = [[size * (2 * share - 1) for share in QUANTILES] for size in row]
            entry = {"zeros": [float(size == 0) for size in row], "max_abs": row}
            entry |= {"quantiles": spread, "edges": [*spread]}
            parameters[f"dense_{layer}.weight"] = {"shape": [2, 3], **entry}
            parameters[f"dense_{layer}.bias"] = {"shape": [2], **entry, "max_abs": [1.0] * len(row)}
        return replace(make_result(run, seed, [0.1]), recorded={"losses": [], "parameters": parameters})

    return make


@pytest.fixture
def store_fig12(store, recorded):
    """Stores results of figure 12 with these sizes, seed by seed; returns its summary."""

    def save(normal, pytorch, profile="paper", protocol="corrected"):
        for curve in FIG12.at(profile, protocol):
            for seed, sizes in enumerate({NORMAL: normal, PYTORCH: pytorch}[curve.label]):
                store.save(recorded(sizes, curve.run, seed))
        return summarize(FIG12, store, range(5), profile, protocol)

    return save


def test_sizes_are_those_of_the_weights_from_input_to_output(recorded):
    names, sizes = gradient_sizes(recorded(STAIRCASE))
    assert names == [f"dense_{layer}.weight" for layer in (1, 2, 3, 4)]
    assert (sizes == STAIRCASE).all()
    assert (has_gradient(recorded(1e-30 * STAIRCASE)) == STAIRCASE.astype(bool)).all()


def test_what_is_not_finite_is_no_zero(recorded):
    result = recorded(STAIRCASE)
    result.recorded["parameters"]["dense_1.weight"]["max_abs"][0] = None
    assert has_gradient(result)[0, 0]


def changed(layer: int, step: int, size: float) -> np.ndarray:
    sizes = STAIRCASE.copy()
    sizes[layer - 1, step - 1] = size
    return sizes


@pytest.mark.parametrize(
    ("normal", "hit"),
    [
        (STAIRCASE, 1),
        (1e-20 * STAIRCASE, 1),
        (EVERYWHERE, 0),
        (changed(3, 1, 1e-12), 0),  # not exactly zero before
        (changed(2, 3, 0.0), 0),  # a step too late
        (changed(1, 5, 0.0), 0),  # asleep again
        (STAIRCASE[::-1], 0),
        (STAIRCASE[:3], 0),  # three layers: the first is at step 4 instead of 3
        (STAIRCASE[1:], 1),
    ],
)
def test_the_staircase_of_one_seed(recorded, normal, hit):
    assert one_layer_per_step([recorded(normal)], []).tolist() == [hit]


@pytest.mark.parametrize(("pytorch", "hit"), [(EVERYWHERE, 1), (STAIRCASE, 0), (changed(1, 1, 1.0), 0)])
def test_the_reference_has_gradients_from_the_first_step_on(recorded, pytorch, hit):
    assert one_layer_per_step([recorded(STAIRCASE)], [recorded(pytorch)]).tolist() == [hit]


@pytest.mark.parametrize(
    ("normal", "pytorch", "verdict", "share"),
    [
        ([STAIRCASE] * 3, [EVERYWHERE] * 3, "supported", 1.0),
        ([STAIRCASE, changed(3, 1, 1e-9), STAIRCASE], [EVERYWHERE] * 3, "refuted", 2 / 3),
        ([STAIRCASE] * 2, [EVERYWHERE, STAIRCASE], "refuted", 0.5),
    ],
)
def test_claim_10(store_fig12, normal, pytorch, verdict, share):
    for protocol in ("corrected", "published"):
        summary = store_fig12(normal, pytorch, protocol=protocol)
        (decision,) = decide_claims([summary], "paper")["fig12"]
        assert decision.claim.id.startswith("C10-")
        assert (decision.verdict, decision.estimate.value) == (verdict, pytest.approx(share))


def test_claim_10_without_runs(store_fig12):
    (decision,) = decide_claims([store_fig12([STAIRCASE], [])], "paper")["fig12"]
    assert (decision.verdict, decision.reason) == ("not run", "runs are missing")


def test_a_claim_about_gradients_costs_those_about_accuracies_nothing(store_fig12, store, fill):
    """Holm's count is that of the tested claims."""
    figure = FIGURES["fig4"]
    fill(figure, {NORMAL: [0.971, 0.972], f"{NORMAL} ×0.01": [0.970, 0.972], f"{NORMAL} ×100": [0.8, 0.9]})
    fig4 = summarize(figure, store, range(5), "paper", "corrected")
    alone = decide_claims([fig4], "paper")["fig4"]
    assert decide_claims([fig4, store_fig12([STAIRCASE], [EVERYWHERE])], "paper")["fig4"] == alone


@pytest.mark.parametrize(
    ("single", "double", "cause"),
    [
        ([0, 2.0, 1], [0, 1.0, 1], (2, "signal")),
        ([0, 1.0, 1], [0, 2.0, 1], (2, "signal")),
        ([0, 2.1, 1], [0, 1.0, 1], (2, "unclear")),
        ([0, 1.0, 1], [0, 2.1, 1], (2, "unclear")),
        ([0, 1e-4, 1], [0, 1e-7, 1], (2, "rounding")),
        ([0, 1e-4, 1], [0, 1.1e-7, 1], (2, "unclear")),
        ([0, 1.0, 1], [0, 0, 1], (2, "rounding")),  # exactly zero there
        ([0, 1.0, 1], [1e-12, 1.0, 1], (2, "unclear")),  # float64 was first
        ([0, 0, 0], [0, 0, 0], (None, "never")),
        ([0, 0, 0], [0, 0, 1], (None, "never")),
        ([1.0, 1, 1], [1.0, 1, 1], (1, "signal")),
    ],
)
def test_causes_of_first_gradients(recorded, single, double, cause):
    assert wake_causes(recorded([single]), recorded([double])) == [("dense_1.weight", *cause)]


def test_a_first_gradient_that_is_not_finite_is_unclear(recorded):
    result = recorded([[0, 1.0]])
    result.recorded["parameters"]["dense_1.weight"]["max_abs"][1] = None
    assert wake_causes(result, recorded([[0, 1.0]]))[0][1:] == (2, "unclear")


@pytest.mark.parametrize(
    ("double", "everywhere", "in_last_alone"),
    [([1, 1, 1], 1, 0), ([1e-9, 1e-9, 1], 0, 1), ([1e-9, 1, 1], 0, 0), ([1, 1, 1e-9], 0, 0), ([1e-9] * 3, 0, 0)],
)
def test_measures_of_signals(recorded, double, everywhere, in_last_alone):
    pair = [recorded(np.ones((3, 1)))], [recorded(np.array([double]).T)]
    assert signal_everywhere(*pair).tolist() == [everywhere]
    assert signal_in_last_alone(*pair).tolist() == [in_last_alone]


def test_every_measure_gives_one_value_per_seed(recorded):
    for measure in MEASURES.values():
        assert measure([recorded(STAIRCASE)] * 3, [recorded(EVERYWHERE)] * 3).shape == (3,)


RUN = Run(dataset="digits", epochs=1, max_steps=3, recorder="gradient_sizes")
DOUBLE = replace(RUN, precision="float64")
STUDY = Figure(
    "study",
    "Two precisions",
    (Curve("A", RUN), Curve("A, float64", DOUBLE), Curve("B", replace(RUN, scale=2.0))),
    view="wake_up",
)


def test_curves_are_paired_by_their_settings(store, recorded):
    for curve in STUDY.curves:
        store.save(recorded(STAIRCASE, curve.run))
    pairs = precision_pairs(summarize(STUDY, store, [0], "paper", "corrected"))
    assert [(single.curve.label, double.curve.label) for single, double in pairs] == [("A", "A, float64")]


def test_the_frame_of_first_gradients(store, recorded):
    single, double = [[0, 0, 0], [0, 1.0, 1], [1.0, 1, 1]], [[0, 0, 0], [0, 1e-9, 1], [1.0, 1, 1]]
    for seed in (0, 1):
        store.save(recorded(single, RUN, seed))
    store.save(recorded(double, DOUBLE, 0))
    frame = wake_frame(summarize(STUDY, store, range(2), "paper", "corrected"))
    assert set(frame["variant"]) == {"A"}
    assert set(frame["seed"]) == {0}  # the other has no partner
    assert frame["name"].tolist() == ["dense_1", "dense_2", "dense_3"]
    assert frame["cause"].tolist() == ["never", "rounding", "signal"]
    assert frame["step"].fillna(0).tolist() == [0, 2, 1]
    assert set(frame["num_steps"]) == {3}


def test_the_frame_of_quantiles_holds_medians_over_the_seeds(store_fig12):
    summary = store_fig12([STAIRCASE, 3 * STAIRCASE, 2 * STAIRCASE], [EVERYWHERE] * 3)
    frame = quantile_frame(summary, 5)
    assert len(frame) == len(DRAWN) * 2 * 4 * 5
    assert set(frame["measure"]) == set(DRAWN.values())
    for (reading, layer, step), rows in frame[frame["label"] == NORMAL].groupby(["measure", "layer", "step"]):
        (row,) = rows.to_dict("records")
        size = 2 * STAIRCASE[layer - 1, step - 1]
        assert row["is_zero"] == (size == 0), reading
        assert [row[f"q{round(100 * share)}"] for share in QUANTILES] == [size * (2 * q - 1) for q in QUANTILES]


def test_a_gradient_is_zero_if_it_is_in_every_seed(store_fig12):
    frame = quantile_frame(store_fig12([STAIRCASE, EVERYWHERE], [EVERYWHERE] * 2), 5)
    assert not frame["is_zero"].any()


def test_only_so_many_steps_are_in_the_frame(store_fig12):
    frame = quantile_frame(store_fig12([STAIRCASE], [EVERYWHERE]), 2)
    assert set(frame["step"]) == {1, 2}


def test_quantiles_that_a_seed_lacks_are_not_drawn(store, recorded, store_fig12):
    store_fig12([STAIRCASE], [EVERYWHERE])
    result = recorded(STAIRCASE, FIG12.curves[1].run, 1)
    result.recorded["parameters"]["dense_4.weight"]["quantiles"][0] = [None] * len(QUANTILES)
    store.save(result)
    frame = quantile_frame(summarize(FIG12, store, range(5), "paper", "corrected"), 1)
    broken = frame[frame[[f"q{round(100 * share)}" for share in QUANTILES]].isna().all(axis=1)]
    assert broken[["label", "layer", "step"]].values.tolist() == [[NORMAL, 4, 1]]
