"""Claims: statements about final test accuracies, and how results support or refute them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from zeroinit._common import lookup
from zeroinit.stats import Estimate, equivalence, holm, mean_interval, num_seeds_needed, one_sample

__all__ = ["KINDS", "MAJORITY_SHARE", "Claim", "Decision", "Evidence", "decide", "weigh"]

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
        margin: What counts as close, harmless or unstable, in accuracy; stated before the runs.
    """

    id: str
    statement: str
    kind: str
    curve: str
    reference: str = ""
    margin: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """What one claim's differences say: an estimate with its 95 % interval, and p-values for and against."""

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


KINDS: dict[str, Callable[[np.ndarray, float], tuple[float, float]]] = {
    "greater": _greater,
    "not_worse": _not_worse,
    "not_above": _not_above,
    "close": _close,
}
"""By kind: differences (seeds,) and the margin to the p-values for and against the claim.

``greater``: above the margin; ``not_worse``: above minus the margin; ``not_above``: below the margin; ``close``:
within it on both sides (two one-sided tests).
"""


def weigh(claim: Claim, differences: np.ndarray, margin: float) -> Evidence:
    """Turn the differences of one claim (seeds,) into evidence, at the margin given."""
    p_supports, p_refutes = lookup(KINDS, claim.kind, "kind")(differences, margin)
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else math.nan
    return Evidence(mean_interval(differences), p_supports, p_refutes, spread)


def decide(claims: Mapping[Claim, np.ndarray | None], margin_factor: float = 1.0) -> list[Decision]:
    """Decide all claims of a report together: Holm's correction over them, once for and once against.

    Args:
        claims: Each claim with its differences by seed (seeds,), or ``None`` where runs are missing.
        margin_factor: Widens all margins, for data with few test images.

    Returns:
        One decision per claim, in the same order.
    """
    evidence = {
        claim: weigh(claim, differences, claim.margin * margin_factor)
        for claim, differences in claims.items()
        if differences is not None and len(differences)
    }
    supports = dict(zip(evidence, holm([entry.p_supports for entry in evidence.values()]), strict=True))
    refutes = dict(zip(evidence, holm([entry.p_refutes for entry in evidence.values()]), strict=True))
    decisions = []
    for claim in claims:
        if claim not in evidence:
            decisions.append(Decision(claim, "inconclusive", "runs are missing", None))
            continue
        verdict, p_value = _verdict(supports[claim], refutes[claim])
        reason = _reason(claim, evidence[claim], claim.margin * margin_factor, verdict, p_value, len(evidence))
        decisions.append(Decision(claim, verdict, reason, evidence[claim].estimate))
    return decisions


def _verdict(p_supports: float, p_refutes: float) -> tuple[str, float]:
    if p_supports < LEVEL:
        return "supported", p_supports
    if p_refutes < LEVEL:
        return "refuted", p_refutes
    return "inconclusive", min(p_supports, p_refutes)


_CRITERIA = {
    "greater": "must lie above {margin:g}",
    "not_worse": "must lie above -{margin:g}",
    "not_above": "must lie below {margin:g}",
    "close": "must lie within ±{margin:g}",
}


def _reason(claim: Claim, evidence: Evidence, margin: float, verdict: str, p_value: float, num_claims: int) -> str:
    estimate = evidence.estimate
    subject = f"{claim.curve} minus {claim.reference or 'the most frequent class'}"
    seeds = "1 seed" if estimate.num_seeds == 1 else f"{estimate.num_seeds} seeds"
    text = f"{subject}: {estimate}, {seeds}; {_CRITERIA[claim.kind].format(margin=margin)}"
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
