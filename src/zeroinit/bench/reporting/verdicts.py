"""Verdicts: how the values of claims, one per seed, support or refute them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zeroinit._common import counted, lookup
from zeroinit.bench.profiles import PROFILES
from zeroinit.bench.reporting.analysis import CurveSummary, FigureSummary
from zeroinit.bench.reporting.measures import MEASURES, SHARES, accuracies, majority_share
from zeroinit.bench.reporting.wording import write_estimate, write_margin, write_share
from zeroinit.bench.spec import Claim
from zeroinit.bench.stats import (
    Estimate,
    equivalence,
    holm,
    mean_interval,
    num_seeds_for_equivalence,
    num_seeds_needed,
    one_sample,
    share_interval,
)
from zeroinit.bench.store import Result

__all__ = [
    "KINDS",
    "VERDICTS",
    "WORDS",
    "Decision",
    "Evidence",
    "Kind",
    "decide",
    "decide_claims",
    "seeds_to_decide",
    "values_of",
    "weigh",
]

VERDICTS = ("supported", "refuted", "inconclusive", "not run")
WORDS = {"inconclusive": "undecided"}
"""What pages and the terminal call a verdict, where not by its key."""

LEVEL = 0.05
"""Probability of any wrong verdict, for or against, over all claims of a report, if all claims are at their margins."""

CLOSEST = 0.02
"""A mean nearer to its margin than this share of the spread needs about 20 000 seeds or more."""


@dataclass(frozen=True)
class Evidence:
    """The evidence in the values of one claim.

    Attributes:
        estimate: The mean with its 95 % interval.
        p_supports: Below 0.05 exactly if the claim holds everywhere in this interval; NaN for one seed.
        p_refutes: Below 0.05 exactly if the claim holds nowhere in this interval; NaN for one seed.
        spread: The standard deviation over the seeds.
    """

    estimate: Estimate
    p_supports: float
    p_refutes: float
    spread: float

    @property
    def p_value(self) -> float:
        """The smaller of both p-values; at the margin, p < a has probability a at most."""
        return min(self.p_supports, self.p_refutes)


@dataclass(frozen=True)
class Decision:
    """A claim with its verdict, one of ``VERDICTS``, and the reason.

    The interval of ``estimate`` never contradicts the verdict. The claim holds everywhere in the interval (supported),
    nowhere (refuted), or only in a part of it (inconclusive). The level of the interval is usually 95 %. It is higher
    if the 95 % interval alone would decide, but the correction for many claims does not. ``shares``, accuracies as a
    rule, are those of the claim's curve and of its reference, over the seeds of both; empty if it is not about shares.
    """

    claim: Claim
    verdict: str
    reason: str
    estimate: Estimate | None
    shares: tuple[Estimate, ...] = ()

    @property
    def word(self) -> str:
        """The verdict as readers see it."""
        return WORDS.get(self.verdict, self.verdict)

    @property
    def numbers(self) -> str:
        """What the claim compares, in percent; else its estimate. A dash if nothing was run."""
        if self.estimate is None:
            return "–"
        return " against ".join(map(write_share, self.shares)) or self.difference

    @property
    def difference(self) -> str:
        """The estimate in its unit, with its interval; a dash if nothing was run."""
        return "–" if self.estimate is None else write_estimate(self.claim, self.estimate)


def _greater(differences: np.ndarray, margin: float) -> tuple[float, float]:
    test = one_sample(differences, margin)
    return _for_both_sides(test.p_greater), _for_both_sides(test.p_less)


def _not_worse(differences: np.ndarray, margin: float) -> tuple[float, float]:
    return _greater(differences, -margin)


def _not_above(differences: np.ndarray, margin: float) -> tuple[float, float]:
    return _greater(differences, margin)[::-1]


def _close(differences: np.ndarray, margin: float) -> tuple[float, float]:
    test = equivalence(differences, margin)
    return _for_both_sides(test.p_equivalent), test.p_different


def _for_both_sides(p_value: float) -> float:
    """Double a one-sided p-value: a claim is tested for and against, and both tests together must keep the level."""
    return min(1.0, 2 * p_value) if not math.isnan(p_value) else math.nan


@dataclass(frozen=True)
class Kind:
    """How the values of a claim, one per seed, decide it.

    Attributes:
        criterion: What must hold, with ``{margin}`` where the margin stands.
        p_values: From values (seeds,) and the margin to the p-values for and against; see ``Evidence``. ``None``
            without a test: the values are then 1 or 0, and the claim holds if all are 1.
    """

    criterion: str
    p_values: Callable[[np.ndarray, float], tuple[float, float]] | None


KINDS: dict[str, Kind] = {
    "greater": Kind("must lie above {margin}", _greater),
    "not_worse": Kind("must lie above -{margin}", _not_worse),
    "not_above": Kind("must lie below {margin}", _not_above),
    "close": Kind("must lie within ±{margin}", _close),
    "every_seed": Kind("must hold for every seed", None),
}
"""``close`` is two one-sided tests; ``every_seed`` is refuted by a single seed."""


def weigh(claim: Claim, values: np.ndarray, margin: float) -> Evidence:
    """Turn the values of one claim (seeds,) into evidence, at the given margin."""
    p_values = KINDS[claim.kind].p_values
    assert p_values is not None
    p_supports, p_refutes = p_values(values, margin)
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return Evidence(mean_interval(values), p_supports, p_refutes, spread)


def decide(claims: Mapping[Claim, np.ndarray | None], margin_factor: float = 1.0) -> list[Decision]:
    """Decide all claims of a report together, with Holm's correction over all tests, for and against.

    If every true mean lies at its margin, any wrong verdict comes in at most 5 % of cases.

    Args:
        claims: Each claim with its values by seed (seeds,), or ``None`` where runs are missing.
        margin_factor: Widens all margins, for data with few test images.

    Returns:
        One decision per claim, in the same order.

    Raises:
        InputError: A claim of an unknown kind.

    Source:
        Holm 1979, as in ``holm``; Shaffer, "Control of directional errors with stagewise multiple test procedures",
        Annals of Statistics 8, 1980 (a rejection tells the direction, too).

    Example:
        >>> claim = Claim("C1-a", "a beats b", "greater", "a", "b", margin=0.01)
        >>> [decision.verdict for decision in decide({claim: np.array([0.03, 0.031, 0.029])})]
        ['supported']
    """
    present = {claim: values for claim, values in claims.items() if values is not None and len(values)}
    tested = {claim: values for claim, values in present.items() if lookup(KINDS, claim.kind, "kind").p_values}
    decisions = {claim: _decide_by_each_seed(claim, present[claim]) for claim in present if claim not in tested}
    decisions |= _decide_by_tests(tested, margin_factor)
    missing = {claim: Decision(claim, "not run", "runs are missing", None) for claim in claims}
    return list((missing | decisions).values())


def _decide_by_each_seed(claim: Claim, hits: np.ndarray) -> Decision:
    estimate = share_interval(hits)
    verdict = "supported" if hits.all() else "refuted"
    seeds = counted(estimate.num_seeds, "seed")
    text = f"holds for {int(hits.sum())} of {seeds}, a share of {write_share(estimate)}"
    return Decision(claim, verdict, f"{text}; {KINDS[claim.kind].criterion}", estimate)


def _decide_by_tests(claims: Mapping[Claim, np.ndarray], margin_factor: float) -> dict[Claim, Decision]:
    evidence = {claim: weigh(claim, values, claim.margin * margin_factor) for claim, values in claims.items()}
    p_values = dict(zip(evidence, holm([entry.p_value for entry in evidence.values()]), strict=True))
    num_tests = sum(not math.isnan(p_value) for p_value in p_values.values())
    num_open = sum(p_value >= LEVEL for p_value in p_values.values())
    decisions = {}
    for claim, entry in evidence.items():
        verdict, level = _verdict(entry, p_values[claim]), entry.estimate.level
        if verdict == "inconclusive" and entry.p_value < LEVEL:
            level = 1 - LEVEL / num_open  # where Holm's correction stopped: the interval has the margin in it
            entry = replace(entry, estimate=mean_interval(claims[claim], level))
        reason = _reason(claim, entry, claim.margin * margin_factor, verdict, p_values[claim], num_tests)
        decisions[claim] = Decision(claim, verdict, reason, entry.estimate)
    return decisions


def _verdict(evidence: Evidence, p_value: float) -> str:
    if not p_value < LEVEL:
        return "inconclusive"
    return "supported" if evidence.p_supports < evidence.p_refutes else "refuted"


def _reason(claim: Claim, evidence: Evidence, margin: float, verdict: str, p_value: float, num_claims: int) -> str:
    estimate = evidence.estimate
    subject = f"{claim.curve} minus {claim.reference or 'the most frequent class'}"
    criterion = KINDS[claim.kind].criterion.format(margin=write_margin(claim, margin))
    text = f"{subject}: {write_estimate(claim, estimate)}, {counted(estimate.num_seeds, 'seed')}; {criterion}"
    if math.isnan(p_value):
        return f"{text}; one seed gives no interval"
    text += f"; p = {p_value:.2g} after Holm over {counted(num_claims, 'claim')}"
    if verdict == "inconclusive":
        text += _seeds_hint(claim, evidence, margin, num_claims)
    return text


def _seeds_hint(claim: Claim, evidence: Evidence, margin: float, num_claims: int) -> str:
    """Say how many seeds would decide, if the difference and the spread stay as they are now."""
    if not evidence.spread or math.isnan(evidence.spread):
        return ""
    needed = seeds_to_decide(claim, evidence.estimate.value, evidence.spread, margin, num_claims)
    if needed is None:
        return "; too close to the margin for any reasonable number of seeds"
    return f"; undecided with {counted(evidence.estimate.num_seeds, 'seed')}; about {needed} would decide it"


def seeds_to_decide(
    claim: Claim, value: float, spread: float, margin: float, num_claims: int, power: float = 0.8
) -> int | None:
    """Return with how many seeds a claim is decided with probability ``power``; ``None`` where too many are needed.

    Args:
        claim: The claim; its kind has a test.
        value: The true mean of its measure.
        spread: The standard deviation over the seeds.
        margin: The margin that holds.
        num_claims: How many claims are decided together. The level is the strictest one of Holm's correction. So the
            answer is always more seeds than an undecided claim has.
        power: The probability.
    """
    threshold = {"greater": margin, "not_worse": -margin, "not_above": margin, "close": math.copysign(margin, value)}
    gap, alpha = value - threshold[claim.kind], LEVEL / num_claims
    if abs(gap) < CLOSEST * spread:
        return None
    if claim.kind == "close":
        return num_seeds_for_equivalence(value, spread, margin, power, alpha)
    return num_seeds_needed(gap, spread, power, alpha)


def decide_claims(summaries: Sequence[FigureSummary], profile: str) -> dict[str, list[Decision]]:
    """Decide all claims of the figures together, paired by seed.

    Returns:
        By figure name, in the order of its claims.
    """
    values: dict[Claim, np.ndarray | None] = {}
    for summary in summaries:
        by_label = {entry.curve.label: entry for entry in summary.curves}
        for claim in summary.figure.claims:
            values[claim] = values_of(claim, by_label)
    decided = {decision.claim: decision for decision in decide(values, PROFILES[profile].margin_factor)}
    return {
        summary.figure.name: [
            replace(decided[claim], shares=_shares_of(claim, {e.curve.label: e for e in summary.curves}))
            for claim in summary.figure.claims
        ]
        for summary in summaries
    }


def values_of(claim: Claim, by_label: dict[str, CurveSummary]) -> np.ndarray | None:
    """Measure a claim for each seed that its curve and its reference have; ``None`` without any."""
    results, references = _common_results(claim, by_label)
    return lookup(MEASURES, claim.measure, "measure")(results, references) if results else None


def _common_results(claim: Claim, by_label: dict[str, CurveSummary]) -> tuple[list[Result], list[Result]]:
    """Return the results of a claim's curve and of its reference for the seeds of both; empty without any."""
    if claim.curve not in by_label or (claim.reference and claim.reference not in by_label):
        return [], []
    results = by_label[claim.curve].results
    if not claim.reference:
        return list(results.values()), []
    references = by_label[claim.reference].results
    common = [seed for seed in results if seed in references]
    return [results[seed] for seed in common], [references[seed] for seed in common]


def _shares_of(claim: Claim, by_label: dict[str, CurveSummary]) -> tuple[Estimate, ...]:
    """Return the two shares whose difference a claim is about, the second one perhaps that of the largest class."""
    results, references = _common_results(claim, by_label)
    share = SHARES.get(claim.measure)
    if not results or share is None:
        return ()
    if references:
        return mean_interval(share(results)), mean_interval(share(references))
    largest = Estimate(majority_share(results), math.nan, math.nan, len(results))
    return (mean_interval(share(results)), *([largest] if share is accuracies else []))
