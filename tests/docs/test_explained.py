"""Numbers in the sentences of the pages "Explained" are those of the stored results, rounded."""

import json
import re
from pathlib import Path

import pytest

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
    return [float(each) for each in re.findall(r"-?\d+\.\d+", cell)]


def percent(cell: str, decimals: int = 1) -> str:
    return f"{100 * numbers(cell)[0]:.{decimals}f}"


def accuracies(network: str, shown: str) -> str:
    """A row of the table on the gap."""
    starts = [row("recommended", network, start) for start in ("Normal", "PyTorch default", "zero start")]
    return f"| {shown} | {' | '.join(f'{percent(each[2])} % ({each[-1]} seeds)' for each in starts)} |"


def mechanism(name: str) -> str:
    """The end of a row of the table on large biases."""
    cells = row("large_bias", f"{name}:")
    return f"| {percent(cells[2], 0)} % | {percent(cells[3])} points |"


def estimate(report: str, claim: str) -> float:
    """Of a claim, by the beginning of its id."""
    claims = json.loads((RESULTS / report / "claims.json").read_text(encoding="utf-8"))
    (found,) = [each["estimate"] for each in claims if each["id"].startswith(claim)]
    return found


def held() -> int:
    claims = json.loads((RESULTS / "transfer" / "claims.json").read_text(encoding="utf-8"))
    assert len(claims) == 21
    return sum(each["verdict"] == "supported" for each in claims)


FNN, CNN = ("gap", "MNIST FNN"), ("gap", "MNIST CNN")


def facts() -> dict[str, list[str]]:
    """What each page says, made from the results."""
    signs, dropout, noise = (
        percent(row(*FNN, name)[4], 0) for name in ("signs per example", "dropout", "gradient noise")
    )
    closed, low, high = (f"{100 * each:.0f}" for each in numbers(row(*CNN, "zero start")[4]))
    never = [row("paper", figure, "FNN zero") for figure in ("fig7", "fig10")]
    signal, random = (row("first_gradients", start) for start in ("β = 0, norms affine", "β random"))
    return {
        "gap": [
            accuracies("MNIST FNN", "MNIST FNN"),
            accuracies("CIFAR-10 FNN", "CIFAR-10 FNN"),
            accuracies("MNIST CNN", "MNIST CNN, 12,000 images"),
            accuracies("CIFAR-10 CNN", "CIFAR-10 CNN, quarter width"),
            f"have an effective rank of {row(*FNN, 'Normal')[7]}.",
            f"With PyTorch's default the rank is {row(*FNN, 'PyTorch default')[7]}.",
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
            f"this is {percent(never[0][3], 2)} % of the test images, and on CIFAR-10 {percent(never[1][3], 2)} %."
        ],
        "signal_or_rounding": [f"all {signal[2]} layers, against {random[2]} with a random β"],
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


def test_every_result_in_the_text_is_compared():
    """Each percentage and each difference in points outside of code is a part of a fact."""
    for page, compared in facts().items():
        text = (ROOT / "docs" / "explained" / f"{page}.md").read_text(encoding="utf-8")
        text = " ".join(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).split())
        for fact in compared:
            text = text.replace(fact, "")
        left = re.findall(r"[\d.]+ (?:%|points)", text)
        assert [each for each in left if each not in MARGINS] == [], page


MARGINS = {"2 points", "1 %"}
"""Margins and settings."""
