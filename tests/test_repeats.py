"""No two places of the source repeat twelve lines."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST = 11
FOLDERS = ("src", "benchmarks", "examples")


def repeats(files: Mapping[str, str]) -> list[str]:
    """Name the places that share more than ``MOST`` lines; imports, comments and empty lines do not count."""
    places = defaultdict(list)
    for name, source in files.items():
        lines = [(number, line.strip()) for number, line in enumerate(source.splitlines(), 1)]
        lines = [(number, line) for number, line in lines if line and not line.startswith(("import ", "from ", "#"))]
        for begin in range(len(lines) - MOST):
            part = lines[begin : begin + MOST + 1]
            places[tuple(line for _, line in part)].append(f"{name}:{part[0][0]}")
    return [" = ".join(same) for same in places.values() if len(same) > 1]


def test_no_two_places_repeat_twelve_lines():
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 300
    assert not repeats({str(path.relative_to(ROOT)): path.read_text() for path in files})


def test_a_repeat_is_found():
    lines = [f"x{number} = {number}" for number in range(MOST + 1)]
    whole = "\n".join(["import torch", *lines])
    assert repeats({"a.py": whole, "b.py": "y = 1\n\n    # a comment\n" + "\n\n".join(lines)}) == ["a.py:2 = b.py:4"]
    assert repeats({"a.py": whole + "\n" + whole})
    assert not repeats({"a.py": whole, "b.py": "\n".join(lines[:-1])})
