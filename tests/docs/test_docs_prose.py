"""README and docs are written in short sentences and in one word for one thing.

Left out: fenced code but for its comments, tables, blocks that ``docs/tables.py`` fills, and pages that scripts write.
"""

from pathlib import Path

import pytest

from zeroinit.bench.catalogue import FIGURES

from .prose import LONGEST, forbidden, too_long, words

ROOT = Path(__file__).parents[2]
WRITTEN_BY_SCRIPTS = ("docs/field.md", "docs/reference/findings/", "docs/reference/api/", "docs/reference/cli.md")
WRITTEN = (*(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md"))
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in WRITTEN if path.name != "report.md")
PAGES = ["README.md", "CONTRIBUTING.md", *(name for name in DOCS if not name.startswith(WRITTEN_BY_SCRIPTS))]


@pytest.mark.parametrize("page", PAGES)
def test_no_sentence_is_too_long(page):
    found = too_long((ROOT / page).read_text())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES)
def test_one_word_for_one_thing(page):
    found = forbidden((ROOT / page).read_text())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", [name for name, figure in FIGURES.items() if figure.remarks])
def test_remarks_that_pages_print_are_prose_too(name):
    for remark in FIGURES[name].remarks:
        found = too_long(remark) + forbidden(remark)
        assert not found, "\n".join(found)


SHORT = "It adds no new directions. A rank-1 update stays rank 1, apart from amplified rounding error."
LONG = " ".join(["word"] * (LONGEST + 1)) + "."


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        f"{SHORT} {LONG.capitalize()}",
        f"* {LONG}\n* {SHORT}",
        f"1. {LONG}",
        f"## Heading\n{LONG}",
        LONG.replace("word word", "word\nword", 1).replace("word", "[0.1, 0.2] `some code`"),
        " ".join(["one, two; three:"] * 10),
        f"{SHORT}\n\n```\ncode\n```\n{LONG}",
        LONG.replace("word word", "[word](page.md) (word)"),
    ],
)
def test_a_long_sentence_is_found(text):
    assert len(too_long(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        SHORT,
        " ".join(["word"] * LONGEST) + ".",
        f"```\n{LONG}\n```",
        f"| {LONG} |\n|---|",
        f"<!-- results:some -->\n{LONG}\n<!-- end -->",
        "\n\n".join(["one two three"] * LONGEST),
        "\n".join(["* one two three"] * LONGEST),
        f"{SHORT} zeroinit says so. `inspect` says so. .97 is the accuracy. [A link](page.md) (and brackets.) " * 3,
    ],
)
def test_a_short_sentence_is_left_alone(text):
    assert not too_long(text)


def test_an_interval_belongs_to_its_number():
    assert len(words("It loses .026 [.019, .033] of `fit(model, data)` in [a page](page.md).")) == 8


@pytest.mark.parametrize(
    "text",
    [
        "Layers unlock one by one.",
        "The head wakes up at step 1.",
        "Weights are asleep, awake or locked.",
        "Units are twins.",
        "Units that are alike.",
        "The effective\nwidth is 3.",
        "Two copies of a unit.",
        "Biases tell units apart.",
        "They are told apart.",
        "Drawn from a law.",
        "A spoiler makes it worse, to spoil it.",
        "The recipe of a zero start.",
        "Constant over taps.",
        "The house has rooms and a floor.",
        "* `unlock_step` counts **unlocked** layers",
        "| layer | wakes up at |",
        "```\nfit(model)  # unlocks all\n```",
        "```\n# twins\n```",
    ],
)
def test_a_forbidden_word_is_found(text):
    assert forbidden(text)


@pytest.mark.parametrize(
    "text",
    [
        SHORT,
        "The wake-up chart shows the first gradients.",
        "Copies of a model, copies of layers, and two copies.",
        "Adam's moments, locks of threads, a tape, a roommate and a lawful flooring.",
        "It takes 1.5 times its floor, the matrix products alone.",
        "`until_awake` and `tests/theorems/test_t1_unlock_steps.py` are names. [Steps](unlock.md) is a link.",
        "```\nunlock(twins)\n```",
        "<!-- results:some -->\nunlocks twins\n<!-- end -->",
    ],
)
def test_ordinary_words_are_left_alone(text):
    assert not forbidden(text)
