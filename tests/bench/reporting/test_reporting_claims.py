"""Verdicts on made-up accuracies: what is clear is decided, what is not is left open, and many claims cost."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from zeroinit._common import InputError
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.data import DATASETS
from zeroinit.bench.profiles import PROFILES
from zeroinit.bench.reporting.verdicts import KINDS, Decision, decide
from zeroinit.bench.spec import Claim

TESTED = [name for name, kind in KINDS.items() if kind.p_values]
"""Kinds that rest on a test over the seeds; the others are decided by each seed alone."""


def claim(kind: str = "greater", margin: float = 0.01, id: str = "C1-test") -> Claim:
    return Claim(id, "one thing beats another", kind, "Normal", "Logistic regression", margin)


def verdict(kind: str, differences, margin: float = 0.01, factor: float = 1.0) -> str:
    return decide({claim(kind, margin): np.array(differences)}, factor)[0].verdict


def around(center: float, spread: float = 0.001, num_seeds: int = 5) -> np.ndarray:
    """Differences with exactly this mean."""
    return center + spread * np.linspace(-1, 1, num_seeds)


WIDE = around(0.0, 0.2)
EXPECTED = {
    "greater": {"supported": around(0.03), "refuted": around(0.0), "inconclusive": WIDE},
    "not_worse": {"supported": around(-0.005), "refuted": around(-0.03), "inconclusive": WIDE},
    "not_above": {"supported": around(0.0), "refuted": around(0.03), "inconclusive": WIDE},
    "close": {"supported": around(0.0), "refuted": around(-0.03), "inconclusive": WIDE},
}


@pytest.mark.parametrize("kind", TESTED)
@pytest.mark.parametrize("expected", ["supported", "refuted", "inconclusive"])
def test_every_kind_reaches_every_verdict(kind, expected):
    assert verdict(kind, EXPECTED[kind][expected]) == expected


def test_close_is_refuted_on_either_side():
    assert verdict("close", around(0.03)) == verdict("close", around(-0.03)) == "refuted"


@pytest.mark.parametrize(
    ("kind", "line"), [("greater", 0.01), ("not_worse", -0.01), ("not_above", 0.01), ("close", 0.01), ("close", -0.01)]
)
def test_on_the_line_nothing_is_decided(kind, line):
    assert verdict(kind, around(line)) == "inconclusive"


@pytest.mark.parametrize(("p_value", "is_decided"), [(0.049, True), (0.051, False), (0.09, False)])
def test_the_level_is_five_percent_for_and_against(p_value, is_decided):
    shape = np.linspace(-1, 1, 5)
    distance = stats.t.isf(p_value / 2, 4) * shape.std(ddof=1) / np.sqrt(5)  # both sides together
    assert verdict("greater", 0.01 * (shape + distance), 0.0) == ("supported" if is_decided else "inconclusive")
    assert verdict("greater", 0.01 * (shape - distance), 0.0) == ("refuted" if is_decided else "inconclusive")


@pytest.mark.parametrize("kind", TESTED)
def test_one_seed_decides_nothing(kind):
    (decision,) = decide({claim(kind): np.array([0.5])})
    assert decision.verdict == "inconclusive"
    assert decision.reason.endswith(
        "1 seed; " + KINDS[kind].criterion.format(margin="1 point") + "; one seed gives no interval"
    )
    assert decision.estimate.value == 0.5
    assert math.isnan(decision.estimate.low)


@pytest.mark.parametrize("kind", TESTED)
def test_without_spread_the_side_of_the_line_decides(kind):
    assert verdict(kind, [EXPECTED[kind]["supported"].mean()] * 5) == "supported"
    assert verdict(kind, [EXPECTED[kind]["refuted"].mean()] * 5) == "refuted"


@pytest.mark.parametrize("nothing", [None, np.array([])])
def test_missing_runs(nothing):
    given = {claim(id="C1-a"): nothing, claim(id="C1-b"): around(0.03)}
    missing, present = decide(given)
    assert missing == Decision(claim(id="C1-a"), "not run", "runs are missing", None)
    assert present.verdict == "supported"
    assert "Holm over 1 claim" in present.reason


def test_no_claim_at_all():
    assert decide({}) == []


def test_decisions_come_in_the_order_of_the_claims():
    claims = [claim(id=f"C{number}") for number in (3, 1, 2)]
    assert [decision.claim for decision in decide({entry: around(0.03) for entry in claims})] == claims


def test_unknown_kind():
    with pytest.raises(
        InputError, match=r"kind='bigger': .*must be one of close, every_seed, greater, not_above, not_worse"
    ):
        decide({claim("bigger"): WIDE})


def test_what_passes_alone_may_fail_among_many():
    weak = around(0.02, 0.009)
    p_weak = stats.ttest_1samp(weak, 0.01).pvalue
    assert 0.025 < p_weak < 0.05
    assert verdict("greater", weak) == "supported"
    (among_two, _) = decide({claim(id="C1-weak"): weak, claim(id="C1-wide"): WIDE})
    assert among_two.verdict == "inconclusive"
    assert f"p = {2 * p_weak:.2g} after Holm over 2 claims" in among_two.reason


def test_strong_claims_cost_the_weak_one_nothing():
    """Holm, not Bonferroni: the weakest of many is tested at the full level, whatever the verdicts of the strong."""
    weak = around(0.02, 0.009)
    strong = {claim(id=f"C1-strong-{number}"): around((-1) ** number * 0.5) for number in range(8)}
    decision, *others = decide({claim(id="C1-weak"): weak, **strong})
    assert decision.verdict == "supported"
    assert {other.verdict for other in others} == {"supported", "refuted"}


def test_verdicts_agree_with_holm_by_hand():
    rng = np.random.default_rng(4)
    centers = rng.uniform(-0.02, 0.04, 12)
    differences = {claim(id=f"C{i}"): rng.normal(center, 0.01, 5) for i, center in enumerate(centers)}
    tests = [stats.ttest_1samp(values, 0.01) for values in differences.values()]
    p = [test.pvalue for test in tests]
    expected = ["inconclusive"] * len(p)
    for step, index in enumerate(np.argsort(p)):
        if p[index] >= 0.05 / (len(p) - step):
            break
        expected[index] = "supported" if tests[index].statistic > 0 else "refuted"
    assert [decision.verdict for decision in decide(differences)] == expected
    assert set(expected) == {"supported", "refuted", "inconclusive"}


@pytest.mark.parametrize("kind", TESTED)
def test_the_margin_factor_widens_the_margin(kind):
    """Between the margin and its double the verdict changes."""
    differences = around(0.015 if kind in ("greater", "not_above") else -0.015)
    before, after = verdict(kind, differences), verdict(kind, differences, factor=2.0)
    assert (before, after) == (("supported", "refuted") if kind == "greater" else ("refuted", "supported"))
    assert verdict(kind, differences, margin=0.02) == after


def test_a_margin_of_zero_is_not_widened():
    assert verdict("greater", around(0.005), margin=0.0, factor=100.0) == "supported"


@pytest.mark.parametrize("kind", ["greater", "not_above"])
def test_opposite_claims_get_opposite_verdicts(kind):
    other = {"greater": "not_above", "not_above": "greater"}[kind]
    opposite = {"supported": "refuted", "refuted": "supported", "inconclusive": "inconclusive"}
    rng = np.random.default_rng(0)
    seen = set()
    for center in np.linspace(-0.02, 0.04, 25):
        differences = rng.normal(center, 0.01, 4)
        seen.add(verdict(kind, differences))
        assert verdict(other, differences) == opposite[verdict(kind, differences)]
    assert seen == set(opposite)


def test_the_reason_states_estimate_interval_seeds_criterion_and_p():
    differences = around(0.03, 0.005)
    low, high = stats.t.interval(0.95, 4, 0.03, stats.sem(differences))
    half = 100 * (high - 0.03)
    p_value = stats.ttest_1samp(differences, 0.02).pvalue
    (decision,) = decide({claim(): differences}, 2.0)
    assert decision.reason == (
        f"Normal minus Logistic regression: 3.00 ± {half:.2f} points, 5 seeds; must lie above 2 points; "
        f"p = {p_value:.2g} after Holm over 1 claim"
    )
    assert (decision.estimate.low, decision.estimate.high) == pytest.approx((low, high))


def test_without_reference_the_constant_answer_is_named():
    alone = Claim("C5", "stays at one class", "not_above", "FNN zero", margin=0.001)
    assert decide({alone: around(0.0, 1e-5)})[0].reason.startswith("FNN zero minus the most frequent class: ")


def hinted_seeds(reason: str) -> int | None:
    match = re.search(r"; undecided with \d+ seeds; about (\d+) would decide it$", reason)
    return int(match[1]) if match else None


@pytest.mark.parametrize("kind", TESTED)
def test_the_number_of_seeds_hinted_at_is_more_than_there_are(kind):
    rng, center = np.random.default_rng(1), -0.02 if kind == "not_worse" else 0.02
    hints = 0
    for num_claims, rounds in ((1, 12), (12, 2)):
        for _ in range(rounds):
            differences = {claim(kind, id=f"C{i}"): rng.normal(center, 0.01, 4) for i in range(num_claims)}
            for decision in decide(differences):
                if decision.verdict == "inconclusive" and (hint := hinted_seeds(decision.reason)):
                    hints += 1
                    assert hint > 4
    assert hints > 3


def test_the_number_of_seeds_hinted_at_does_tell():
    """With so many seeds of the same mean and spread the claim is decided."""
    few = around(0.014, 0.01, 4)
    others = {claim(id=f"C1-{number}"): WIDE for number in range(11)}
    hint = hinted_seeds(decide({claim(): few, **others})[0].reason)
    standard = np.tile([-1.0, 1.0], hint // 2 + 1)[:hint]
    many = few.mean() + few.std(ddof=1) * (standard - standard.mean()) / standard.std(ddof=1)
    assert decide({claim(): many, **others})[0].verdict == "supported"
    assert decide({claim(): few, **others})[0].verdict == "inconclusive"


def test_no_number_of_seeds_is_promised_where_none_would_do():
    reason = decide({claim(): around(0.01, 0.01)})[0].reason
    assert reason.endswith("; too close to the margin for any reasonable number of seeds")
    assert hinted_seeds(reason) is None
    assert hinted_seeds(decide({claim(): np.full(3, 0.01)})[0].reason) is None


def test_every_kind_is_tried_out():
    assert set(TESTED) == set(EXPECTED)
    assert set(KINDS) == {*TESTED, "every_seed"}


@pytest.mark.parametrize(
    ("hits", "verdict", "reason"),
    [
        (
            [1, 1, 1],
            "supported",
            "holds for 3 of 3 seeds, a share of 100.0 % [29.2, 100.0]; must hold for every seed",
        ),
        ([1, 0, 1], "refuted", "holds for 2 of 3 seeds, a share of 66.7 % [9.4, 99.2]; must hold for every seed"),
        ([0], "refuted", "holds for 0 of 1 seed, a share of 0.0 % [0.0, 97.5]; must hold for every seed"),
    ],
)
def test_what_must_hold_for_every_seed(hits, verdict, reason):
    (decision,) = decide({claim("every_seed"): np.array(hits, dtype=float)})
    assert (decision.verdict, decision.reason) == (verdict, reason)
    interval = stats.binomtest(sum(hits), len(hits)).proportion_ci(method="exact")
    assert (decision.estimate.low, decision.estimate.high) == pytest.approx((interval.low, interval.high))
    assert (decision.estimate.value, decision.estimate.num_seeds) == (np.mean(hits), len(hits))


@pytest.mark.parametrize("nothing", [None, np.array([])])
def test_what_must_hold_for_every_seed_without_any(nothing):
    (decision,) = decide({claim("every_seed"): nothing})
    assert decision == Decision(claim("every_seed"), "not run", "runs are missing", None)


def test_what_is_not_tested_costs_the_others_nothing():
    """Neither Holm's count nor the order of the decisions changes."""
    weak = around(0.02, 0.009)
    exact = {claim("every_seed", id=f"C10-{number}"): np.ones(5) for number in range(3)}
    alone = decide({claim(id="C1-weak"): weak})[0]
    decisions = decide({**exact, claim(id="C1-weak"): weak})
    assert decisions[-1] == alone
    assert [decision.claim.kind for decision in decisions] == ["every_seed"] * 3 + ["greater"]


def test_the_constant_answer_is_known_for_every_claim_that_needs_it():
    for figure in FIGURES.values():
        for profile in PROFILES.keys() - ({"paper_bf16"} if figure.name in {"precision", "first_gradients"} else set()):
            runs = {curve.label: curve.run for curve in figure.at(profile, "corrected")}
            for entry in figure.claims:
                if not entry.reference and entry.measure == "final_accuracy":
                    assert 0 < DATASETS[runs[entry.curve].dataset].sizes.majority_share < 1
