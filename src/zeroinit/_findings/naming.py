"""How places are named in messages: in backquotes, and those that differ by a number once."""

import re
from collections.abc import Iterable

__all__ = ["LONG", "NUMBERS", "exact", "few", "in_common", "joined", "of_model", "pattern_of", "starred"]

MOST_NAMES = 3
NUMBERS = re.compile(r"\d+")
LONG = 40
"""Names of at least this length that differ by a number are told once."""


def starred(path: str) -> str:
    """Replace the numbers in a path.

    Example:
        >>> starred("blocks.11.q1.weight")
        'blocks.*.q1.weight'
    """
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", path)


def pattern_of(names: Iterable[str]) -> str:
    """Write names that differ by numbers as one: a number that is the same in all of them stays.

    Names that differ by more are written as the first one, all of whose numbers are replaced.

    Example:
        >>> pattern_of(["flow.0.net.2", "flow.1.net.2"]), pattern_of(["layer1.0", "layer2.1"]), pattern_of(["h.3"])
        ('flow.*.net.2', 'layer*.*', 'h.3')
    """
    return in_common(names, NUMBERS)


def in_common(texts: Iterable[str], numbers: re.Pattern[str]) -> str:
    """Write texts that differ by numbers as one: a number that is not the same in all of them becomes a star.

    Args:
        texts: At least one. If they differ by more than numbers, all numbers of the first one become stars.
        numbers: What counts as a number; a pattern without groups.

    Example:
        >>> in_common(["`h.0.w` of 3", "`h.1.w` of 3"], NUMBERS)
        '`h.*.w` of 3'
    """
    listed = list(dict.fromkeys(texts))
    if len({tuple(numbers.split(each)) for each in listed}) > 1:
        return numbers.sub("*", listed[0])
    columns = zip(*(numbers.findall(each) for each in listed), strict=True)
    words = iter([column[0] if len(set(column)) == 1 else "*" for column in columns])
    return numbers.sub(lambda _: next(words), listed[0])


def exact(members: Iterable[str], known: Iterable[str]) -> str:
    """Write names as one; where that would hold for others as well, the numbers by which they differ are in braces.

    Args:
        members: The names.
        known: Names among which there may be others.

    Example:
        >>> exact(["d.0.a", "d.1.a"], ["d.0.a", "d.1.a", "d.2.a"]), exact(["d.0.a", "d.1.a"], ["d.a"])
        ('d.{0,1}.a', 'd.*.a')
        >>> exact([f"d.{at}.{of}" for at in range(5) for of in (0, 2)], ["d.5.0", "d.5.2"])
        'd.{0..4}.*'
    """
    listed = list(dict.fromkeys(members))
    pattern = pattern_of(listed)
    matching = re.compile(re.escape(pattern).replace(r"\*", r"(\d+)"))
    others = [found.groups() for each in set(known) - set(listed) if (found := matching.fullmatch(each))]
    rows = [found.groups() if (found := matching.fullmatch(each)) else () for each in listed]
    if not others or not all(rows):
        return pattern
    words = ["*"] * len(rows[0])
    for at, column in enumerate(zip(*rows, strict=True)):
        if any(other[at] not in column for other in others):
            words[at] = f"{{{_counted(sorted(set(map(int, column))))}}}"
            others = [other for other in others if other[at] in column]
    left = iter(words)
    return pattern if others else re.sub(r"\*", lambda _: next(left), pattern)


def _counted(numbers: list[int]) -> str:
    """Write ascending numbers, more than three in a row by the first and the last."""
    first, last = numbers[0], numbers[-1]
    in_a_row = len(numbers) > MOST_NAMES and numbers == list(range(first, last + 1))
    return f"{first}..{last}" if in_a_row else ",".join(map(str, numbers))


def joined(words: Iterable[str]) -> str:
    """Join words as in a sentence.

    Example:
        >>> joined(["a", "b", "c"])
        'a, b and c'
    """
    listed = list(words)
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


def few(names: Iterable[str]) -> str:
    """Name some parameters or modules, at most three of them, in backquotes; those that differ by a number once.

    Example:
        >>> few(["a", "b"]), few([f"h.{at}.w" for at in range(12)])
        ('`a` and `b`', '`h.*.w` (12 times)')
        >>> few([f"{part}.{at}.w" for part in "abcdef" for at in range(4)])
        '`a.*.w` (4 times), `b.*.w` (4 times), `c.*.w` (4 times) and 12 more'
    """
    patterns: dict[str, list[str]] = {}
    for name in names:
        patterns.setdefault(starred(name), []).append(name)
    words: dict[str, int] = {}
    for pattern, members in patterns.items():
        short = len(members) <= MOST_NAMES and (len(members) == 1 or len(pattern) < LONG)
        folded = {f"`{pattern_of(members)}` ({len(members)} times)": len(members)}
        words |= {f"`{each}`": 1 for each in members} if short else folded
    if len(words) > MOST_NAMES + 1:
        return joined([*[*words][:MOST_NAMES], f"{sum([*words.values()][MOST_NAMES:])} more"])
    return joined(words)


def of_model(path: str) -> str:
    """Write a path as Python.

    Example:
        >>> of_model("blocks.0.q.weight"), of_model("0.down"), of_model("heads.en-de.weight")
        ('model.blocks[0].q.weight', 'model[0].down', "model.heads['en-de'].weight")
    """
    text = "model"
    for part in path.split(".") if path else []:
        text += f"[{part}]" if part.isdigit() else f".{part}" if part.isidentifier() else f"[{part!r}]"
    return text
