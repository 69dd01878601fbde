"""Claims: statements about what is measured of runs, and how results support or refute them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from zeroinit._common import lookup
from zeroinit.stats import Estimate, equivalence, holm, mean_interval, num_seeds_needed, one_sample, share_interval

__all__ = ["KINDS", "MAJORITY_SHARE", "Claim", "Decision", "Evidence", "Kind", "decide", "weigh"]

MAJORITY_SHARE = {"cifar10": 0.1, "digits": 46 / 450, "mnist": 0.1135}
"""Share of the most frequent class among the test images: what a constant answer reaches at best."""

LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """A statement that results can support or refute.

    Attributes:
        id: Stable; starts with the paper's number, as in ``"C1-normal-beats-baseline"``.
        statement: One sentence.
        kind: A key of ``KINDS``.
        curve: Label of the curve that the statement is about.
        reference: Label of the curve it is compared with, seed by seed; a constant answer if empty.
        margin: What counts as close, harmless or unstable, in the unit of the measure; stated before the runs.
        measure: A key of ``MEASURES``: what the statement is about.
    """

    id: str
    statement: str
    kind: str
    curve: str
    reference: str = ""
    margin: float = 0.0
    measure: str = "final_accuracy"


@dataclass(frozen=True)
class Evidence:
    """What one claim's values say: an estimate with its 95 % interval, and p-values for and against."""

    estimate: Estimate
    p_supports: float
    p_refutes: float
    spread: float


@dataclass(frozen=True)
class Decision:
    """A claim with its verdict: ``"supported"``, ``"refuted"`` or ``"inconclusive"``, and the reason."""

    claim: Claim
    verdict: str
    reason: str
    estimate: Estimate | None


def _greater(differences: np.ndarray, margin: float) -> tuple[float, float]:
    test = one_sample(differences, margin)
    return test.p_greater, test.p_less


def _not_worse(differences: np.ndarray, margin: float) -> tuple[float, float]:
    return _greater(differences, -margin)


def _not_above(differences: np.ndarray, margin: float) -> tuple[float, float]:
    test = one_sample(differences, margin)
    return test.p_less, test.p_greater


def _close(differences: np.ndarray, margin: float) -> tuple[float, float]:
    test = equivalence(differences, margin)
    return test.p_equivalent, test.p_different


@dataclass(frozen=True)
class Kind:
    """How the values of a claim, one per seed, decide it.

    Attributes:
        criterion: What must hold, with ``{margin}`` where the margin stands.
        p_values: Values (seeds,) and the margin to the p-values for and against. ``None`` where nothing is tested: the
            values are 1 or 0, and the claim holds if every one is 1.
    """

    criterion: str
    p_values: Callable[[np.ndarray, float], tuple[float, float]] | None


KINDS: dict[str, Kind] = {
    "greater": Kind("must lie above {margin:g}", _greater),
    "not_worse": Kind("must lie above -{margin:g}", _not_worse),
    "not_above": Kind("must lie below {margin:g}", _not_above),
    "close": Kind("must lie within ±{margin:g}", _close),
    "every_seed": Kind("must hold for every seed", None),
}
"""``close`` is two one-sided tests; ``every_seed`` is refuted by a single seed."""


def weigh(claim: Claim, values: np.ndarray, margin: float) -> Evidence:
    """Turn the values of one claim (seeds,) into evidence, at the margin given."""
    p_values = KINDS[claim.kind].p_values
    assert p_values is not None
    p_supports, p_refutes = p_values(values, margin)
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return Evidence(mean_interval(values), p_supports, p_refutes, spread)


def decide(claims: Mapping[Claim, np.ndarray | None], margin_factor: float = 1.0) -> list[Decision]:
    """Decide all claims of a report together: Holm's correction over those that are tested, once for and once against.

    Args:
        claims: Each claim with its values by seed (seeds,), or ``None`` where runs are missing.
        margin_factor: Widens all margins, for data with few test images.

    Returns:
        One decision per claim, in the same order.
    """
    present = {claim: values for claim, values in claims.items() if values is not None and len(values)}
    tested = {claim: values for claim, values in present.items() if lookup(KINDS, claim.kind, "kind").p_values}
    decisions = {claim: _decide_by_each_seed(claim, present[claim]) for claim in present if claim not in tested}
    decisions |= _decide_by_tests(tested, margin_factor)
    missing = {claim: Decision(claim, "inconclusive", "runs are missing", None) for claim in claims}
    return list((missing | decisions).values())


def _decide_by_each_seed(claim: Claim, hits: np.ndarray) -> Decision:
    estimate = share_interval(hits)
    verdict = "supported" if hits.all() else "refuted"
    text = f"holds for {int(hits.sum())} of {_count(estimate.num_seeds)}, a share of {estimate}"
    return Decision(claim, verdict, f"{text}; {KINDS[claim.kind].criterion}", estimate)


def _decide_by_tests(claims: Mapping[Claim, np.ndarray], margin_factor: float) -> dict[Claim, Decision]:
    evidence = {claim: weigh(claim, values, claim.margin * margin_factor) for claim, values in claims.items()}
    supports = dict(zip(evidence, holm([entry.p_supports for entry in evidence.values()]), strict=True))
    refutes = dict(zip(evidence, holm([entry.p_refutes for entry in evidence.values()]), strict=True))
    decisions = {}
    for claim, entry in evidence.items():
        verdict, p_value = _verdict(supports[claim], refutes[claim])
        reason = _reason(claim, entry, claim.margin * margin_factor, verdict, p_value, len(evidence))
        decisions[claim] = Decision(claim, verdict, reason, entry.estimate)
    return decisions


def _verdict(p_supports: float, p_refutes: float) -> tuple[str, float]:
    if p_supports < LEVEL:
        return "supported", p_supports
    if p_refutes < LEVEL:
        return "refuted", p_refutes
    return "inconclusive", min(p_supports, p_refutes)


def _count(num_seeds: int) -> str:
    return "1 seed" if num_seeds == 1 else f"{num_seeds} seeds"


def _reason(claim: Claim, evidence: Evidence, margin: float, verdict: str, p_value: float, num_claims: int) -> str:
    estimate = evidence.estimate
    subject = f"{claim.curve} minus {claim.reference or 'the most frequent class'}"
    criterion = KINDS[claim.kind].criterion.format(margin=margin)
    text = f"{subject}: {estimate}, {_count(estimate.num_seeds)}; {criterion}"
    if math.isnan(p_value):
        return f"{text}; one seed gives no interval"
    text += f"; p = {p_value:.2g} after Holm over {num_claims} claims"
    if verdict == "inconclusive":
        text += _seeds_hint(claim, evidence, margin, num_claims)
    return text


def _seeds_hint(claim: Claim, evidence: Evidence, margin: float, num_claims: int) -> str:
    """Say how many seeds would tell, if the difference and the spread are what they look like now.

    The level is the strictest that Holm's correction asks for; hence always more seeds than there are.
    """
    value = evidence.estimate.value
    threshold = {"greater": margin, "not_worse": -margin, "not_above": margin, "close": math.copysign(margin, value)}
    gap = abs(value - threshold[claim.kind])
    if not evidence.spread or math.isnan(evidence.spread):
        return ""
    if gap < 0.02 * evidence.spread:
        return "; too close to the line for any reasonable number of seeds"
    return f"; about {num_seeds_needed(gap, evidence.spread, alpha=LEVEL / num_claims)} seeds would tell"
