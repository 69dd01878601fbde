"""Numbers in the sentences of the pages "Explained" are those of the stored results, rounded."""

import json
import re
from pathlib import Path

import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.labels import NORMAL, PYTORCH
from zeroinit.bench.reporting.analysis import summarize
from zeroinit.bench.stats import mean_interval, paired_difference
from zeroinit.bench.store import Store

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


def rows(page: str) -> list[list[str]]:
    """The cells of all tables of a page of results, which another test compares with the stored runs."""
    text = (RESULTS / f"{page}.md").read_text(encoding="utf-8")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def row(page: str, *first: str) -> list[str]:
    """The only row with these first cells; of one that ends with a colon only the beginning counts."""
    (found,) = [
        each
        for each in rows(page)
        if len(each) > 4
        and all(
            cell == name or (name[-1] == ":" and cell.startswith(name)) for cell, name in zip(each, first, strict=False)
        )
    ]
    return found


def numbers(cell: str) -> list[float]:
    """An estimate, and its bounds where it has them."""
    return [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", cell)]


def percent(cell: str, decimals: int = 1) -> str:
    """A cell of percent or points, rounded."""
    return f"{numbers(cell)[0]:.{decimals}f}"


def accuracies(network: str, shown: str) -> str:
    """A row of the table on the gap."""
    starts = [row("recommended", network, start) for start in (NORMAL, PYTORCH, "zero start")]
    return f"| {shown} | {' | '.join(f'{each[2]} ({each[-1]} seeds)' for each in starts)} |"


def mechanism(name: str) -> str:
    """The end of a row of the table on large biases."""
    cells = row("large_bias", f"{name}:")
    return f"| {percent(cells[2])} % | {percent(cells[3])} points |"


def record(report: str, claim: str) -> dict:
    """A claim, by the beginning of its id."""
    claims = json.loads((RESULTS / report / "claims.json").read_text(encoding="utf-8"))
    (found,) = [each for each in claims if each["id"].startswith(claim)]
    return found


def estimate(report: str, claim: str) -> float:
    return record(report, claim)["estimate"]


def shares(report: str, claim: str) -> list[float]:
    return record(report, claim)["shares"]


def held() -> int:
    claims = json.loads((RESULTS / "transfer" / "claims.json").read_text(encoding="utf-8"))
    assert len(claims) == 21
    return sum(each["verdict"] == "supported" for each in claims)


FNN, CNN = ("gap", "MNIST FNN"), ("gap", "MNIST CNN")
BIASES = "normal biases, β = 0"


def facts() -> dict[str, list[str]]:
    """What each page says, made from the results."""
    signs, dropout, noise = (
        percent(row(*FNN, name)[4], 0) for name in ("signs per example", "dropout", "gradient noise")
    )
    closed, low, high = (f"{each:.0f}" for each in numbers(row(*CNN, "zero start")[4]))
    never = [shares("corrected", f"{claim}-fnn-one-class")[0] for claim in ("C5-mnist", "C8-cifar-10")]
    (plateau,) = [each[1] for each in rows("plateau") if each[0] == f"torch's norm: {BIASES}" and ":" in each[1]]
    ends = [numbers(each)[1] for each in plateau.split(",")]
    signal, random = (row("first_gradients", start) for start in ("β = 0, norms affine", "β random"))
    return {
        "gap": [
            accuracies("MNIST FNN", "MNIST FNN"),
            accuracies("CIFAR-10 FNN", "CIFAR-10 FNN"),
            accuracies("MNIST CNN", "MNIST CNN, 12,000 images"),
            accuracies("CIFAR-10 CNN", "CIFAR-10 CNN, quarter width"),
            f"have an effective rank of {row(*FNN, NORMAL)[7]}.",
            f"With PyTorch's default the rank is {row(*FNN, PYTORCH)[7]}.",
            f"close the whole gap: {signs}, {dropout} and {noise} %.",
            f"The default with such kernels loses {100 * estimate('gap', 'G4'):.1f} points",
            f"close {closed} % of it, with an interval from {low} to {high} %.",
            f"We tried 21 dense networks that played no part in the design. In {held()} of them",
        ],
        "large_biases": [
            f"Biases ×100 cost the MNIST FNN {100 * estimate('corrected', 'C2-upscaled'):.1f} points.",
            *(mechanism(name) for name in ("features", "outputs", "units")),
            f"gains {percent(row('large_bias', 'outputs:')[4])} points at ×100",
        ],
        "identical_units": [
            f"this is {100 * never[0]:.2f} % of the test images, and on CIFAR-10 {100 * never[1]:.2f} %."
        ],
        "signal_or_rounding": [
            f"all {signal[2]} layers, against {random[2]} with a random β",
            f"all three leave the plateau of constant accuracy, and they end between {min(ends)} and {max(ends)} %.",
        ],
        "first_gradients": ["We see the pattern in 5 of 5 seeds.", "at step 7 or 8, and not at step 54"],
    }


@pytest.mark.parametrize("page", ["gap", "large_biases", "identical_units", "signal_or_rounding", "first_gradients"])
def test_a_page_says_what_was_measured(page):
    text = " ".join((ROOT / "docs" / "explained" / f"{page}.md").read_text(encoding="utf-8").split())
    assert [fact for fact in facts()[page] if fact not in text] == []


def test_the_steps_of_the_resnet_are_those_of_the_table():
    whole = [each for each in rows("first_gradients") if len(each) == 7 and each[2].isdigit()]
    last = {int(each[-1]) for each in whole if int(each[2]) + int(each[3]) == 54 and not each[0].startswith("Stem")}
    assert last == {7, 8}
    wake_up = json.loads((RESULTS / "corrected" / "claims.json").read_text(encoding="utf-8"))
    (claim,) = [each for each in wake_up if each["id"].startswith("C10")]
    assert (claim["verdict"], claim["estimate"], claim["num_seeds"]) == ("supported", 1.0, 5)


def test_gradients_come_down_one_layer_an_update():
    steps: dict[str, list[str]] = {}
    for each in rows("three_starts"):
        if each[1].startswith("dense"):
            steps.setdefault(each[0], []).append(each[2])
    assert steps == {
        "all zero": ["never"] * 4,
        PYTORCH: ["1"] * 4,
        "zero weights, normal biases": ["4", "3", "2", "1"],
    }


def test_every_result_in_the_text_is_compared():
    """Each percentage and each difference in points outside of code is a part of a fact."""
    for page, compared in facts().items():
        text = (ROOT / "docs" / "explained" / f"{page}.md").read_text(encoding="utf-8")
        text = " ".join(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).split())
        for fact in compared:
            text = text.replace(fact, "")
        left = re.findall(r"[\d.]+ (?:%|points)", text)
        assert [each for each in left if each not in MARGINS] == [], page


MARGINS = {"2 points", "95 %"}
"""Margins and levels."""


NUMBER = r"[-+]?(?:\d*\.\d+|\d+)"
INTERVAL = re.compile(rf"({NUMBER})(?: %)? \[({NUMBER}), ({NUMBER})\]")
SYMMETRIC = re.compile(rf"({NUMBER}) ± ({NUMBER})")
BLOCK = re.compile(r"<!-- results:\w+ -->(.*?)<!-- end -->", re.DOTALL)
TOLD = {  # of what is no longer stored, or at another level than the claim's
    "large_bias_grid": ["the predictor's first version", ".57 [.33, .76]", "-4.3 [-6.9, -1.7]"],
    "remaining": ["-5.5 [-9.3, -1.8]", "-12.4 [-14.2, -10.6]"],
}


def stored_intervals() -> list[tuple[float, ...]]:
    """Every estimate with its bounds in the tables of results and in claims, and two differences that a text adds."""
    blocks = [block for path in RESULTS.glob("*.md") for block in BLOCK.findall(path.read_text(encoding="utf-8"))]
    found = [tuple(map(float, each)) for block in blocks for each in INTERVAL.findall(block)]
    for value, half in (map(float, each) for block in blocks for each in SYMMETRIC.findall(block)):
        found.append((value, value - half, value + half))
    for path in RESULTS.glob("*/claims.json"):
        claims = (
            each for each in json.loads(path.read_text(encoding="utf-8")) if each["interval"] not in (None, [None] * 2)
        )
        found += [tuple(100 * number for number in (each["estimate"], *each["interval"])) for each in claims]
    return [*found, *differences_in_transfer(), *differences_of_the_gpt()]


def differences_of_the_gpt() -> list[tuple[float, ...]]:
    """Losses of the small GPT minus those of PyTorch's default, in nats."""
    found = json.loads((ROOT / "benchmarks" / "results" / "small_gpt.json").read_text(encoding="utf-8"))
    losses = {
        start: [found[f"{start}, 0.01, seed {seed}"]["loss"] for seed in range(10)]
        for start in ("default", "zero projections", "zero start")
    }
    gaps = [paired_difference(losses[start], losses["default"]) for start in list(losses)[1:]]
    return [(each.estimate.value, each.estimate.low, each.estimate.high) for each in gaps]


def differences_in_transfer() -> list[tuple[float, ...]]:
    """The zero start minus the default made orthonormal, and minus the default on the seeds that were new."""
    figure = FIGURES["transfer"]
    curves = summarize(figure, Store(RESULTS / "runs"), range(10), "paper", "corrected").curves
    finals = {each.curve.label: each.final for each in curves}
    found = []
    for label, zero in finals.items():
        network, _, start = label.rpartition(": ")
        for other, seeds in (("default, orthonormal", range(10)), (PYTORCH, range(5, 10))):
            control = finals.get(f"{network}: {other}", {})
            if start == "zero start" and set(seeds) <= set(zero) & set(control):
                estimate = mean_interval([zero[seed] - control[seed] for seed in seeds])
                found.append((100 * estimate.value, 100 * estimate.low, 100 * estimate.high))
    return found


def is_stored(written: tuple[str, ...], stored: list[tuple[float, ...]]) -> bool:
    """Whether an interval is one of those, rounded, perhaps of the difference the other way round."""
    units = [10 ** -len(each.partition(".")[2]) for each in written]
    both = [sign for value, low, high in stored for sign in ((value, low, high), (-value, -high, -low))]
    return any(
        all(
            abs(float(text) - number) <= unit / 2 + 1e-9
            for text, number, unit in zip(written, each, units, strict=True)
        )
        for each in both
    )


def test_every_interval_in_the_text_on_results_is_stored():
    stored = stored_intervals()
    assert len(stored) > 250
    tried, blocks = 0, " ".join(block for path in RESULTS.glob("*.md") for block in BLOCK.findall(path.read_text()))
    for path in RESULTS.glob("*.md"):
        if path.stem == "what_did_not_work":  # numbers of the day
            continue
        text = " ".join(BLOCK.sub("", path.read_text(encoding="utf-8")).split())
        halves = {each.lstrip("+") for each in re.findall(rf"{NUMBER} ± {NUMBER}", text)}
        assert [each for each in halves if each not in blocks] == [], path.name
        for each in INTERVAL.findall(text):
            tried += 1
            shown = f"{each[0]} [{each[1]}, {each[2]}]"  # without the sign of percent
            assert is_stored(each, stored) or shown in TOLD.get(path.stem, []), f"{path.name}: {shown}"
    assert tried > 50


def test_an_interval_that_is_not_stored_is_noticed():
    stored = [(0.02141, -0.0003, 0.0431)]
    assert is_stored((".021", "-.000", ".043"), stored)
    assert is_stored(("-.021", "-.043", "+.000"), stored)
    assert not is_stored((".022", "-.000", ".043"), stored)
    assert not is_stored((".021", "-.000", ".044"), stored)
