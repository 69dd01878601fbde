"""Docstrings, comments and messages are written in short sentences and in one word for one thing.

A message is ``what: why; what to type``: each part counts as a sentence. Left out: examples, and strings of one or two
words, which are names.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from .prose import LONGEST, forbidden, too_long

SOURCE = Path(__file__).parents[2] / "src" / "zeroinit"
FILES = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py"))
SECTIONS = r"(Args|Attributes|Columns|Example|Raises|Returns|Source|Tags|Warns|Yields):"
DIRECTIVES = r"noqa|type: ignore|fmt: "


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the strings that stand alone: those of modules, classes and functions, and those below a constant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


def paragraphs(docstring: str) -> str:
    """Put an empty line before each entry of a section, and drop names of entries and examples."""
    lines, in_example = [], False
    for line in docstring.splitlines():
        text = line.strip()
        in_example = text.startswith(">>>") or (in_example and bool(text))
        if in_example or re.fullmatch(SECTIONS, text):
            lines.append("")
            continue
        entry = re.match(r" +[\w*`, .]+: (.*)", line)
        lines += ["", entry[1]] if entry else [text]
    return "\n".join(lines).replace("``", "`")


def messages(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of three words or more that are no docstrings; what is filled in counts as one word."""
    left_out = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    left_out |= {id(string) for string in docstrings(tree)}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "`value`" for part in node.values)
            text = "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            text = node.value
        if len(text.split()) > 2:
            yield text.replace("; ", ".\n\n")


def comments(source: str) -> Iterator[str]:
    """Yield comments; lines of comments that follow each other are one."""
    above, last = [], 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or re.search(DIRECTIVES, token.string):
            continue
        is_alone = not token.line[: token.start[1]].strip()
        if above and not (is_alone and token.start[0] == last + 1):
            yield " ".join(above)
            above = []
        above.append(token.string.lstrip("# "))
        last = token.start[0] if is_alone else 0
    if above:
        yield " ".join(above)


def faults(source: str) -> list[str]:
    tree = ast.parse(source)
    texts = [paragraphs(ast.literal_eval(ast.unparse(string))) for string in docstrings(tree)]
    return [
        fault for text in [*texts, *messages(tree), *comments(source)] for fault in too_long(text) + forbidden(text)
    ]


@pytest.mark.parametrize("name", FILES)
def test_source_is_written_in_plain_words(name):
    found = faults((SOURCE / name).read_text())
    assert not found, "\n".join(found)


SHORT = " ".join(["word"] * LONGEST)
LONG = f"{SHORT} word"


@pytest.mark.parametrize(
    "source",
    [
        f'"""{LONG}."""',
        f'def f():\n    """Words.\n\n    {LONG}.\n    """',
        f'def f():\n    """Words.\n\n    Args:\n        x: {LONG}.\n    """',
        f'LIMIT = 1\n"""{LONG}."""',
        f'raise E("{SHORT} " "word")',
        f'raise E(f"{{name}}: {SHORT}")',
        f'raise E("{LONG}; word")',
        f"# {SHORT}\n# word\nx = 1",
        f"x = 1  # {LONG}",
        '"""Units are twins."""',
        'raise E("the units are told apart")',
        "x = 1  # until it unlocks",
    ],
)
def test_long_sentences_and_forbidden_words_are_found(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        f'"""{SHORT}."""',
        f'def f():\n    """{SHORT}.\n\n    Args:\n        x: {SHORT}.\n        y, z: {SHORT}.\n    """',
        f'def f():\n    """Words.\n\n    Example:\n        >>> f("{LONG}")\n        {LONG}\n    """',
        f'raise E(f"{{name}}: {SHORT[5:]}; {SHORT}")',
        f"# {SHORT}\nx = 1  # {SHORT}\ny = 2  # {SHORT}",
        'unlocked = ["twins", "wakes up"]  # noqa: E501',
    ],
)
def test_short_sentences_and_names_are_left_alone(source):
    assert not faults(source)
