"""From stored results to estimates, bands and paired differences."""

from dataclasses import replace

import numpy as np
import pytest

from zeroinit._common import InputError
from zeroinit.bench.reporting.analysis import accuracy_matrix, summarize
from zeroinit.bench.reporting.verdicts import decide_claims
from zeroinit.bench.spec import Claim, Curve, Figure, Run
from zeroinit.bench.stats import mean_interval, percentile_bootstrap

FIGURE = Figure(
    "study",
    "A study",
    (
        Curve("Logistic regression", Run(model="logistic_regression", epochs=2)),
        Curve("Normal", Run(initializer="normal_bias", epochs=2)),
        Curve("Zero", Run(initializer="zero", epochs=2)),
    ),
    published_results={"Normal": 0.97},
    claims=(
        Claim("S1", "normal beats logistic regression", "greater", "Normal", "Logistic regression"),
        Claim("S2", "zero stays at one class", "not_above", "Zero", margin=0.01),
    ),
)
NOISE = (-0.1, 0.05, 0.1, -0.05, 0.0)
GAIN = (0.011, 0.009, 0.010, 0.012, 0.008)
SEEDS = range(5)
BASE = [0.8 + noise for noise in NOISE]
BETTER = [base + gain for base, gain in zip(BASE, GAIN, strict=True)]


def summary(store, seeds=SEEDS, profile="paper", protocol="corrected"):
    return summarize(FIGURE, store, seeds, profile, protocol)


def decisions(store, **options):
    return {entry.claim.id: entry for entry in decide_claims([summary(store, **options)], "paper")["study"]}


def test_noise_that_the_seeds_share_cancels(store, fill):
    fill(FIGURE, {"Logistic regression": BASE, "Normal": BETTER})
    decision = decisions(store)["S1"]
    assert decision.verdict == "supported"
    assert decision.estimate.value == pytest.approx(0.01)


def test_the_same_accuracies_paired_wrongly_show_nothing(store, fill):
    fill(FIGURE, {"Logistic regression": BASE, "Normal": BETTER[1:] + BETTER[:1]})
    decision = decisions(store)["S1"]
    assert decision.verdict == "inconclusive"
    assert decision.estimate.value == pytest.approx(0.01)


def test_only_seeds_that_both_curves_have_are_compared(store, fill, make_result):
    fill(FIGURE, {"Logistic regression": BASE[:3]})
    normal = FIGURE.curves[1].run
    for seed in (4, 2, 1):
        store.save(make_result(normal, seed, [0.1, BETTER[seed]]))
    for seeds in ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0)):
        decision = decisions(store, seeds=seeds)["S1"]
        assert decision.estimate.num_seeds == 2
        assert decision.estimate.value == pytest.approx(np.mean(GAIN[1:3]))


def test_curves_without_a_common_seed(store, make_result):
    store.save(make_result(FIGURE.curves[0].run, 0, [0.5]))
    store.save(make_result(FIGURE.curves[1].run, 1, [0.5]))
    assert decisions(store)["S1"].reason == "runs are missing"


def test_without_reference_the_share_of_the_most_frequent_class_is_taken_off(store, fill):
    fill(FIGURE, {"Zero": [0.1135, 0.1136, 0.1134]})
    decision = decisions(store)["S2"]
    assert decision.estimate.value == pytest.approx(0.0, abs=1e-12)  # 1,135 of 10,000 are ones
    assert decision.verdict == "supported"
    fill(FIGURE, {"Zero": [0.5, 0.51, 0.49]})
    assert decisions(store)["S2"].verdict == "refuted"


def test_a_summary_says_what_the_results_say(store, fill):
    fill(FIGURE, {"Normal": BETTER})
    figure = summary(store)
    assert figure.absent == ("Logistic regression", "Zero")
    assert figure.num_seeds == 0
    (normal,) = figure.curves
    assert list(normal.final.values()) == BETTER
    assert normal.estimate == mean_interval(BETTER)
    assert normal.first == pytest.approx(np.mean(BETTER) / 2)
    assert (normal.published, normal.num_diverged) == (0.97, 0)
    assert normal.difference == pytest.approx(np.mean(BETTER) - 0.97)
    assert list(figure.frame.columns) == ["label", "epoch", "mean", "low", "high"]
    assert figure.frame["epoch"].tolist() == [1, 2]
    assert figure.frame["mean"].tolist() == pytest.approx([normal.first, np.mean(BETTER)])


def test_without_any_result(store):
    figure = summary(store)
    assert (figure.curves, figure.absent, len(figure.frame)) == ((), ("Logistic regression", "Normal", "Zero"), 0)
    assert {entry.reason for entry in decisions(store).values()} == {"runs are missing"}


def test_the_fewest_seeds_count(store, fill):
    fill(FIGURE, {"Logistic regression": BASE, "Normal": BETTER[:2], "Zero": [0.1, 0.1, 0.1]})
    assert summary(store).num_seeds == 2
    assert summary(store).curves[0].difference is None


def test_seeds_not_asked_for_are_left_out(store, fill):
    fill(FIGURE, {"Normal": BETTER})
    assert list(summary(store, seeds=[3, 1]).curves[0].final.items()) == [(3, BETTER[3]), (1, BETTER[1])]


def test_each_profile_and_protocol_reads_its_own_results(store, fill):
    fill(FIGURE, {"Normal": BETTER}, protocol="published")
    assert summary(store).curves == ()
    assert summary(store, profile="quick").curves == ()
    assert len(summary(store, protocol="published").curves) == 1


def test_corrected_bands_are_t_intervals_and_published_ones_percentile_bootstrap(store, fill):
    for protocol in ("corrected", "published"):
        fill(FIGURE, {"Normal": BETTER}, protocol=protocol)
    corrected, published = summary(store), summary(store, protocol="published")
    t, percentile = corrected.curves[0].estimate, published.curves[0].estimate
    assert (t.method, percentile.method) == ("t", "percentile_bootstrap")
    reference = percentile_bootstrap(np.array(BETTER), np.random.default_rng(0))
    assert (percentile.low, percentile.high) == pytest.approx((reference.low, reference.high), abs=0.003)
    assert min(BETTER) <= percentile.low
    assert percentile.high <= max(BETTER)
    assert t.low < percentile.low < percentile.high < t.high
    for figure, estimate in ((corrected, t), (published, percentile)):
        last = figure.frame.iloc[-1]
        assert (last["low"], last["high"]) == pytest.approx((estimate.low, estimate.high), abs=0.003)


def test_the_bootstrap_draws_the_same_each_time(store, fill):
    fill(FIGURE, {"Normal": BETTER, "Zero": BASE}, protocol="published")
    first, second = summary(store, protocol="published"), summary(store, protocol="published")
    assert first.frame.equals(second.frame)
    assert [entry.estimate for entry in first.curves] == [entry.estimate for entry in second.curves]


def test_a_diverged_run_stays_at_its_last_accuracy(make_result):
    run = Run(epochs=4)
    results = [make_result(run, 0, [0.1, 0.2, 0.3, 0.4]), make_result(run, 1, [0.15, 0.05], "diverged")]
    assert accuracy_matrix(results).tolist() == [[0.1, 0.2, 0.3, 0.4], [0.15, 0.05, 0.05, 0.05]]
    assert accuracy_matrix(results[1:]).tolist() == [[0.15, 0.05]]


def test_diverged_runs_are_counted_and_kept(store, make_result):
    run = FIGURE.curves[1].run
    store.save(make_result(run, 0, [0.1], "diverged"))
    store.save(make_result(run, 1, [0.8, 0.9]))
    (normal,) = summary(store).curves
    assert normal.num_diverged == 1
    assert list(normal.final.values()) == [0.1, 0.9]
    assert normal.estimate.value == pytest.approx(0.5)


def test_margins_are_widened_where_there_are_few_test_images(store, fill):
    figure = replace(FIGURE, claims=(Claim("S3", "close", "close", "Normal", "Zero", margin=0.01),))
    zero = [0.90, 0.91, 0.92, 0.93, 0.94]
    fill(
        figure,
        {"Zero": zero, "Normal": [z + 0.015 + e for z, e in zip(zero, (0, 1e-3, -1e-3, 5e-4, -5e-4), strict=True)]},
        "quick",
    )
    summaries = [summarize(figure, store, SEEDS, "quick", "corrected")]
    assert decide_claims(summaries, "quick")["study"][0].verdict == "supported"
    assert decide_claims(summaries, "paper")["study"][0].verdict == "refuted"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("papr", "corrected"),
            r"^profile='papr': did you mean 'paper'\? It must be one of first, paper, paper_bf16, quick$",
        ),
        (
            ("paper", "public"),
            r"^protocol='public': did you mean 'published'\? It must be one of corrected, published$",
        ),
    ],
)
def test_unknown_profile_or_protocol(store, names, message):
    with pytest.raises(InputError, match=message):
        summarize(FIGURE, store, SEEDS, *names)
