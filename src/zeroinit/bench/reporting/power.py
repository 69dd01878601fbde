"""How many more seeds decide a claim, from its stored differences, their spread and its margin."""

import difflib
import math
from dataclasses import dataclass

import scipy

from zeroinit._common import InputError, counted
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.profiles import PROFILES, profile_for
from zeroinit.bench.progress import format_duration
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.reporting.verdicts import KINDS, Decision, decide_claims, seeds_to_decide, values_of
from zeroinit.bench.reporting.wording import POINTS, write_estimate, write_margin
from zeroinit.bench.spec import Claim, Figure
from zeroinit.bench.stats import Estimate
from zeroinit.bench.stats.sample_size import check_power
from zeroinit.bench.store import Store

__all__ = ["Plan", "find_claim", "plan_seeds"]

CAREFUL = 0.8
"""With this probability the true spread is no larger than the one that ``most`` is for."""


@dataclass(frozen=True)
class Plan:
    """The seeds that a claim needs.

    Attributes:
        decision: Its verdict now.
        figure: The figure that it belongs to.
        estimate: The mean of its measure with its 95 % interval.
        spread: Standard deviation over the seeds.
        criterion: What must hold, with the margin of the profile.
        needed: Seeds in all that decide it with probability ``power``; ``None`` if too many.
        most: The same, should the true spread be as large as a few seeds allow.
        seconds: Computing for each further seed of its two curves.
        num_claims: Claims that are decided together.
        power: The probability.
    """

    decision: Decision
    figure: Figure
    estimate: Estimate
    spread: float
    criterion: str
    needed: int | None
    most: int | None
    seconds: float
    num_claims: int
    power: float

    @property
    def num_more(self) -> int | None:
        """Further seeds; 0 if the claim is decided."""
        if self.decision.verdict != "inconclusive":
            return 0
        return None if self.needed is None else max(1, self.needed - self.estimate.num_seeds)

    def __str__(self) -> str:
        claim, present = self.decision.claim, counted(self.estimate.num_seeds, "seed")
        spread = f"{100 * self.spread:.2f} points" if claim.measure in POINTS else f"{self.spread:.4f}"
        numbers = f"{claim.id}: {write_estimate(claim, self.estimate)}, spread {spread}, {present}; {self.criterion}"
        if self.num_more == 0:
            return f"0 more seeds: {self.decision.word} with {present}\n{numbers}"
        if self.num_more is None or self.needed is None:
            return f"too close to the margin for any reasonable number of seeds\n{numbers}"
        upper = "more than 20,000" if self.most is None else f"{max(self.most, self.needed):,}"
        return (
            f"{counted(self.num_more, 'more seed')}: {self.needed:,} in all decide it with probability "
            f"{self.power:g} if difference and spread stay as they are; {upper} if the spread is as large as "
            f"{present} allow\n{numbers}\n"
            f"level: 0.05 over {counted(self.num_claims, 'claim')} of {self.figure.name}; computing: about "
            f"{format_duration(self.num_more * self.seconds)}"
        )


def find_claim(name: str) -> tuple[Figure, Claim]:
    """Return a claim by its id, with its figure.

    Raises:
        InputError: There is none; the nearest ids are named.

    Example:
        >>> find_claim("C1-normal-beats-baseline")[0].name
        'fig3'
    """
    claims = {claim.id: (figure, claim) for figure in FIGURES.values() for claim in figure.claims}
    if name in claims:
        return claims[name]
    begins = [each for each in claims if name and each.lower().startswith(name.lower())]
    near = begins or difflib.get_close_matches(name, list(claims), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near[:3]))}? " if near else "no such claim; "
    raise InputError(f"claim={name!r}: {hint}`claims.json` of a report lists the ids of its claims")


def plan_seeds(
    name: str, store: Store, profile: str | None = None, protocol: str = "corrected", power: float = 0.8
) -> Plan:
    """Say how many more seeds decide a claim, with all stored seeds of its figure.

    Args:
        name: The claim's id.
        store: Where the results lie.
        profile: A key of ``PROFILES``; if ``None``, that of a figure that is named.
        protocol: A key of ``PROTOCOLS``.
        power: The probability of a decision.

    Raises:
        InputError: An unknown name, a probability that is none, or fewer than two stored seeds.
    """
    figure, claim = find_claim(name)
    check_power(power)
    profile = profile_for([figure.name]) if profile is None else profile
    keys = {curve.run.key for curve in figure.at(profile, protocol)}
    seeds = sorted({seed for key, seed in store.stored() if key in keys})
    summary = summarize(figure, store, seeds, profile, protocol)
    by_label = {entry.curve.label: entry for entry in summary.curves}
    values = values_of(claim, by_label)
    if values is None or len(values) < 2:
        present = counted(0 if values is None else len(values), "stored seed")
        raise InputError(
            f"claim={name!r}: has {present} in {store.root}, and needs at least 2 to show a spread; run "
            f"`zeroinit reproduce {figure.name} --profile {profile} --protocol {protocol} --seeds 3`"
        )
    decisions = {decision.claim: decision for decision in decide_claims([summary], profile)[figure.name]}
    margin = claim.margin * PROFILES[profile].margin_factor
    tested = [
        each
        for each, decision in decisions.items()
        if KINDS[each.kind].p_values and decision.estimate is not None and decision.estimate.num_seeds > 1
    ]
    curves = [by_label[label] for label in dict.fromkeys((claim.curve, claim.reference)) if label]
    needed, most, spread, freedom = None, None, float(values.std(ddof=1)), len(values) - 1
    if claim in tested:
        larger = spread * math.sqrt(freedom / float(scipy.stats.chi2.ppf(1 - CAREFUL, freedom)))
        needed, most = (
            seeds_to_decide(claim, float(values.mean()), each, margin, len(tested), power) if each else None
            for each in (spread, larger)
        )
    estimate = decisions[claim].estimate
    assert estimate is not None
    return Plan(
        decisions[claim],
        figure,
        estimate,
        spread,
        KINDS[claim.kind].criterion.format(margin=write_margin(claim, margin)),
        needed,
        most,
        sum(sum(each.seconds for each in entry.results.values()) / len(entry.results) for entry in curves),
        len(tested),
        power,
    )
