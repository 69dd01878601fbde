"""Verdicts and intervals: no contradiction, ever, and wrong verdicts at the margin in at most 5 % of cases in all."""

import math

import numpy as np
import pytest
from scipy import stats

from zeroinit.bench.reporting import verdicts as claims
from zeroinit.bench.reporting.verdicts import KINDS, VERDICTS, Decision, decide
from zeroinit.bench.spec import Claim

MARGIN = 0.01
LINES = {"greater": (MARGIN,), "not_worse": (-MARGIN,), "not_above": (MARGIN,), "close": (MARGIN, -MARGIN)}
"""Where each kind's claim begins to hold."""


def claim(kind: str, number: int = 0) -> Claim:
    return Claim(f"C{number}", "one thing beats another", kind, "a", "b", MARGIN)


def holds(kind: str, low: float, high: float) -> str:
    """What an interval says by itself."""
    if kind == "close":
        inside, outside = -MARGIN < low <= high < MARGIN, low > MARGIN or high < -MARGIN
    else:
        above, below = low > LINES[kind][0], high < LINES[kind][0]
        inside, outside = (below, above) if kind == "not_above" else (above, below)
    return "supported" if inside else "refuted" if outside else "inconclusive"


def assert_agree(decisions: list[Decision]) -> None:
    for decision in decisions:
        low, high = decision.estimate.low, decision.estimate.high
        if math.isnan(low):
            assert decision.verdict == "inconclusive"
        else:
            assert decision.verdict == holds(decision.claim.kind, low, high), decision
            assert low <= decision.estimate.value <= high


@pytest.mark.parametrize("num_claims", [1, 2, 12])
@pytest.mark.parametrize("kind", LINES)
def test_verdict_and_interval_never_contradict_each_other(monkeypatch, kind, num_claims):
    """Both ways: an interval that lies wholly on one side stands beside a verdict, and no other does."""
    monkeypatch.setattr(claims, "_seeds_hint", lambda *_: "")  # takes most of the time
    rng, seen, widened = np.random.default_rng(num_claims), set(), 0
    for _ in range(120 // num_claims + 10):
        centers = rng.choice(LINES[kind], num_claims) + rng.normal(0, 0.01, num_claims)
        values = [rng.normal(center, 0.006, rng.integers(1, 8)) for center in centers]
        decisions = decide({claim(kind, number): each for number, each in enumerate(values)})
        assert_agree(decisions)
        seen |= {decision.verdict for decision in decisions}
        widened += sum(decision.estimate.level > 0.95 for decision in decisions)
    assert seen == {"supported", "refuted", "inconclusive"}
    assert (widened > 0) == (num_claims > 1)


def test_the_check_of_agreement_notices():
    """The negative case: verdicts of one-sided tests, as they were once, do contradict their intervals."""
    values = 0.02 + 0.011 * np.linspace(-1, 1, 5)
    assert stats.ttest_1samp(values, MARGIN, alternative="greater").pvalue < 0.05
    (decision,) = decide({claim("greater"): values})
    with pytest.raises(AssertionError):
        assert_agree([Decision(decision.claim, "supported", "", decision.estimate)])


def test_an_interval_is_widened_only_where_it_would_decide_alone():
    weak, wide = 0.02 + 0.009 * np.linspace(-1, 1, 5), 0.2 * np.linspace(-1, 1, 5)
    alone, both = decide({claim("greater"): weak}), decide({claim("greater"): weak, claim("greater", 1): wide})
    assert (alone[0].verdict, alone[0].estimate.level) == ("supported", 0.95)
    assert [entry.verdict for entry in both] == ["inconclusive"] * 2
    assert [entry.estimate.level for entry in both] == [0.975, 0.95]
    assert " points (at 97.5 %), 5 seeds; must lie above 1 point; p = " in both[0].reason
    low, high = stats.t.interval(0.975, 4, 0.02, stats.sem(weak))
    assert (both[0].estimate.low, both[0].estimate.high) == pytest.approx((low, high))
    strong, one = {claim("greater", number): 1.0 + wide for number in (2, 3)}, {claim("greater", 4): np.array([0.5])}
    decided = decide({claim("greater"): weak, claim("greater", 1): wide, **strong, **one})
    assert [entry.verdict for entry in decided] == ["inconclusive"] * 2 + ["supported"] * 2 + ["inconclusive"]
    assert decided[0].estimate == both[0].estimate  # claims that are decided, or cannot be tested, do not count


@pytest.fixture
def share_decided(monkeypatch):
    """How often at least one of some claims gets a verdict although each true mean lies at its margin."""
    monkeypatch.setattr(claims, "_reason", lambda *_: "")  # half the time, and no part of the verdict

    def simulate(kinds: tuple[str, ...], num_seeds: int, spread: float, num_rounds: int) -> float:
        rng, count = np.random.default_rng(7), 0
        entries = [claim(kind, number) for number, kind in enumerate(kinds)]
        margins = np.array([LINES[kind][0] for kind in kinds])[:, None]
        for _ in range(num_rounds):
            values = rng.normal(margins, spread, (len(kinds), num_seeds))
            decisions = decide(dict(zip(entries, values, strict=True)))
            count += any(decision.verdict != "inconclusive" for decision in decisions)
        return count / num_rounds

    return simulate


def most(num_rounds: int) -> float:
    """Five percent and what chance adds in one of a thousand simulations."""
    return stats.binom.isf(1e-3, num_rounds, 0.05) / num_rounds


def test_wrong_verdicts_at_the_margin(share_decided):
    """One-sided tests at 5 % for and at 5 % against would give 9.75 %."""
    assert 0.03 < share_decided(("greater",), 5, 0.01, 1000) < most(1000) < 0.0975


def test_wrong_verdicts_at_the_margin_over_several_claims(share_decided):
    """Without Holm's correction four claims at 5 % would give 18.5 %."""
    assert 0.02 < share_decided(tuple(LINES), 5, 0.003, 300) < most(300) < 0.185


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("kinds", [*((kind,) for kind in LINES), tuple(LINES), tuple(LINES) * 3])
def test_wrong_verdicts_at_the_margin_at_length(share_decided, kinds, num_seeds, spread):
    assert share_decided(kinds, num_seeds, spread, 3000) < most(3000)


def test_a_verdict_is_one_of_those_that_are_promised():
    runs = {claim("greater", 0): None, claim("greater", 1): 0.03 + np.arange(3) * 1e-3}
    runs |= {claim("greater", 2): np.arange(3) * 1e-3, claim("greater", 3): np.array([1.0])}
    verdicts = [decision.verdict for decision in decide(runs)]
    assert verdicts == ["not run", "supported", "refuted", "inconclusive"]
    assert set(verdicts) == set(VERDICTS)
    assert set(LINES) == {name for name, kind in KINDS.items() if kind.p_values}
