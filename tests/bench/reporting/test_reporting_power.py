"""How many more seeds decide a claim: the number is that of simulated studies, and what is decided needs none."""

import re
from dataclasses import replace

import numpy as np
import pytest

from zeroinit._common import InputError
from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.labels import BASELINE, NORMAL, PYTORCH, UNIFORM
from zeroinit.bench.reporting.power import find_claim, plan_seeds
from zeroinit.bench.reporting.verdicts import KINDS, seeds_to_decide, weigh
from zeroinit.bench.spec import Claim

FIG3 = FIGURES["fig3"]
CLOSE = "C1-normal-close-to-pytorch"


@pytest.mark.parametrize(
    ("kind", "value", "margin"),
    [
        ("greater", 0.014, 0.01),
        ("greater", 0.004, 0.01),
        ("not_worse", 0.0, 0.006),
        ("not_above", -0.005, 0.0),
        ("close", 0.0, 0.009),
        ("close", -0.004, 0.009),
        ("close", 0.016, 0.009),
    ],
)
def test_simulated_studies_decide_as_often_as_promised(kind, value, margin):
    """The decision rule itself, on drawn studies: with the number of seeds 80 % are decided, with fewer less."""
    claim, spread, generator = Claim("C", "c", kind, "a", "b", margin=margin), 0.01, np.random.default_rng(0)
    needed = seeds_to_decide(claim, value, spread, margin, num_claims=4)

    def share_decided(num_seeds: int) -> float:
        studies = generator.normal(value, spread, size=(400, num_seeds))
        return float(np.mean([weigh(claim, study, margin).p_value < 0.05 / 4 for study in studies]))

    assert 0.8 - 0.06 <= share_decided(needed) <= 0.8 + 0.09  # 400 studies: a standard error of 0.02
    assert share_decided(max(2, needed // 2)) < 0.72


def test_nearer_to_the_margin_needs_more_and_at_the_margin_no_number_does():
    claim = Claim("C", "c", "close", "a", "b")
    needed = [seeds_to_decide(claim, value, 0.01, 0.01, 1) for value in (0.0, 0.004, 0.008, 0.0097, 0.00999)]
    assert needed[:4] == sorted(set(needed[:4]))
    assert needed[4] is None
    assert seeds_to_decide(claim, 0.004, 0.01, 0.01, 6) > needed[1]
    assert seeds_to_decide(claim, 0.004, 0.01, 0.01, 1, power=0.95) > needed[1]


@pytest.fixture
def stored(store, fill):
    """Five seeds of figure 3 on digits; zero weights lie 0.4 points below, with a spread of 1.5 points."""
    spread = 0.015 * np.array([-1.2, -0.4, 0.1, 0.2, 1.3])
    finals = {
        BASELINE: [0.90] * 5,
        PYTORCH: [0.95] * 5,
        NORMAL: (0.946 + spread - spread.mean()).tolist(),
        UNIFORM: [0.9, 0.8, 0.7, 0.8, 0.9],
    }
    fill(FIG3, finals, profile="quick")
    return store


def test_the_plan_counts_from_what_is_stored(stored):
    plan = plan_seeds(CLOSE, stored, "quick")
    assert plan.decision.verdict == "inconclusive"
    assert (plan.estimate.num_seeds, plan.num_claims) == (5, 6)
    claim = find_claim(CLOSE)[1]
    assert plan.needed == seeds_to_decide(claim, plan.estimate.value, plan.spread, 0.02, 6)  # quick doubles the margin
    assert plan.num_more == plan.needed - 5 > 0
    assert plan.most > plan.needed
    text = str(plan)
    assert text.startswith(f"{plan.num_more} more seeds: {plan.needed} in all decide it with probability 0.8")
    assert "-0.4 ± " in text
    assert "spread 1.37 points" in text
    assert "must lie within ±2 points" in text
    assert f"computing: about {plan.num_more * 3:.0f} s" in text  # 1.5 s for each of the two runs


def test_the_report_names_the_same_number(stored):
    plan = plan_seeds(CLOSE, stored, "quick")
    assert int(re.search(r"about (\d+) would decide it", plan.decision.reason)[1]) == plan.needed


def test_a_decided_claim_needs_no_more(stored):
    plan = plan_seeds("C1-normal-beats-baseline", stored, "quick")
    assert (plan.decision.verdict, plan.num_more) == ("supported", 0)
    assert str(plan).startswith("0 more seeds: supported with 5 seeds\n")


@pytest.mark.parametrize("power", [1.5, 1.0, 0.0, -1])
def test_a_probability_that_is_none_is_refused_before_results_are_read(store, power):
    with pytest.raises(InputError, match=f"^power={power}: must be a finite number above 0.05 and below 1"):
        plan_seeds(CLOSE, store, power=power)


def test_too_few_seeds_are_refused_with_what_to_type(store, fill):
    needed = r"has 0 stored seeds in .*, and needs at least 2 to show a spread; run `zeroinit reproduce fig3 --profile "
    with pytest.raises(InputError, match=needed + "paper "):
        plan_seeds(CLOSE, store)
    fill(FIG3, {NORMAL: [0.9], PYTORCH: [0.9, 0.8]})
    with pytest.raises(InputError, match="1 stored seed in"):
        plan_seeds(CLOSE, store)


def test_an_unknown_claim_names_the_nearest():
    with pytest.raises(InputError, match=r"^claim='C1-norml-beats-baseline': did you mean 'C1-normal-beats-baseline'"):
        find_claim("C1-norml-beats-baseline")
    with pytest.raises(InputError, match=r"^claim='c1': did you mean 'C1-normal-beats-baseline' or 'C1-normal-close"):
        find_claim("c1")
    for nothing in ("", "xyz"):
        with pytest.raises(InputError, match=rf"^claim='{nothing}': no such claim; `claims.json` of a report lists"):
            find_claim(nothing)


def test_every_claim_of_the_catalogue_is_found_and_its_kind_has_an_answer():
    for figure in FIGURES.values():
        for claim in figure.claims:
            assert find_claim(claim.id) == (figure, claim)
            if KINDS[claim.kind].p_values:
                assert seeds_to_decide(replace(claim, margin=0.01), 0.03, 0.01, 0.01, 1) >= 2
