"""README and docs are written in short sentences and in one word for one thing.

Left out: fenced code but for its comments, tables, blocks that ``docs/tables.py`` fills, and pages that scripts write.
"""

import re
from pathlib import Path

import pytest

from zeroinit.bench.catalogue import FIGURES

ROOT = Path(__file__).parents[2]
LONGEST = 28  # words of a sentence
WRITTEN_BY_SCRIPTS = ("docs/field.md", "docs/reference/findings/", "docs/reference/api/", "docs/reference/cli.md")
WRITTEN = (*(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md"))
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in WRITTEN if path.name != "report.md")
PAGES = ["README.md", "CONTRIBUTING.md", *(name for name in DOCS if not name.startswith(WRITTEN_BY_SCRIPTS))]

GENERATED = r"<!-- results:\w+ -->.*?<!-- end -->"

# A sentence ends with a mark, perhaps in brackets or quotes, before a space and no small letter. Names that are written
# small may begin one. "C." is an initial.
END = r"(?:(?<=[.!?])|(?<=[.!?][)\"]))(?<!\bC\.)\s+(?=[^a-z\s]|(?:zeroinit|bfloat16|cuDNN)\b)"
FORBIDDEN = {  # what to say instead: pattern
    "first gradient, first_gradient_step": r"unlock(s|ed|ing)?|asleep|awake|locked|(wake|wakes|woke)( |-)up",
    "identical units": r"twins?|alike|effective width|copies of (a )?units?|copy of another( unit)?|units are copies",
    "symmetry broken by, differ by": r"(tell|tells|telling|told) (\w+ ){0,4}apart",
    "distribution": r"laws?",
    "ablation": r"spoil(s|ed|er|ers|ing)?",
    "zero start": r"recipes?",
    "TrainState": r"(train|context) moments?",
    "kernel position": r"taps?",
    "package, subpackage, module": r"houses?|rooms?|floors?",
}
# Ordinary senses: the least time that arithmetic allows.
ALLOWED = r"times (its|the|their) floor|wake-up charts?|law of large numbers"


def prose(text: str) -> str:
    """Text without code, tables, generated blocks and comments of HTML."""
    text = re.sub(GENERATED, "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "\n\n", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join("" if line.lstrip().startswith("|") else line for line in text.splitlines())


def blocks(text: str) -> list[str]:
    """Paragraphs, headings and entries of lists, each on one line."""
    text = re.sub(r"^(#+ .*)$", r"\n\1\n", prose(text), flags=re.MULTILINE)
    text = re.sub(r"^ *(?:[*-]|[1-9]\d?\.) +", "\n\n", text, flags=re.MULTILINE)
    return [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()]


def sentences(text: str) -> list[str]:
    """Sentences without marks of emphasis. A heading is one, and so is an entry of a list."""
    found = []
    for block in blocks(text):
        plain = re.sub(r"\*\*|(?<!\w)\*|\*(?!\w)", "", block)
        found += re.split(END, plain)
    return found


def words(sentence: str) -> list[str]:
    """A name in code is one word, a link its text; an interval belongs to the number before."""
    sentence = re.sub(r"`[^`]*`", "code", sentence)
    sentence = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", sentence)
    sentence = re.sub(r"\[[^\]A-Za-z]*\]", "", sentence)
    return [word for word in sentence.split() if re.search(r"\w", word)]


def too_long(text: str) -> list[str]:
    return [f"{len(words(one))} words: {one}" for one in sentences(text) if len(words(one)) > LONGEST]


def forbidden(text: str) -> list[str]:
    """Words of prose and of comments in code. Names in code are as the code has them."""
    text = re.sub(GENERATED, "", text, flags=re.DOTALL)
    code = "\n".join(re.findall(r"^```.*?^```", text, flags=re.DOTALL | re.MULTILINE))
    comments = re.findall(r"(?:^|  )# (.*)$", code, flags=re.MULTILINE)
    tables = [line for line in text.splitlines() if line.lstrip().startswith("|")]
    plain = "\n".join([*blocks(text), *comments, *tables])
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)", "", plain)
    plain = re.sub(ALLOWED, "", plain)
    return [
        f"{match[0]!r}: say {instead!r} in {plain[max(0, match.start() - 40) : match.end() + 20]!r}"
        for instead, pattern in FORBIDDEN.items()
        for match in re.finditer(rf"\b(?:{pattern})\b", plain, flags=re.IGNORECASE)
    ]


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
