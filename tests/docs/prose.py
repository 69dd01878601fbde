"""Sentences that are too long, and words that have a better one: for pages, and for the text in source files."""

import re

LONGEST = 28  # words of a sentence

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
