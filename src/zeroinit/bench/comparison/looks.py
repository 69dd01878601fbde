"""Looks: who adds seeds and decides again gets more chances to be wrong, so each look has its own level."""

import json
from collections.abc import Sequence
from pathlib import Path

from zeroinit._common import InputError, read_regular, write_atomically

__all__ = ["LEVEL", "Looks", "level_of"]

LEVEL = 0.05
"""Probability of any wrong "better" or "worse" in a comparison, over all of its looks; likewise of "as good"."""

FIRST_LOOK = 0.03
MOST_BYTES = 2**20


def level_of(look: int) -> float:
    """Return the level at which a look decides: 3 %, 1 %, 0.5 %, ...; all looks together have 5 %.

    Example:
        >>> [round(level_of(look), 4) for look in (1, 2, 3)]
        [0.03, 0.01, 0.005]
    """
    return FIRST_LOOK if look == 1 else (LEVEL - FIRST_LOOK) / 2 ** (look - 1)


class Looks:
    """Which seeds were looked at, for each pair of runs: ``looks.json`` in the folder of results.

    Args:
        folder: The folder of results.
    """

    def __init__(self, folder: Path):
        self._path = folder / "looks.json"

    def number(self, pair: str, seeds: Sequence[int]) -> int:
        """Return which look at a pair this is, from 1, and write it down; the same seeds again are no new look.

        One seed decides nothing, so nothing is written down for it.

        Args:
            pair: The keys of both runs.
            seeds: Those that both have.

        Raises:
            InputError: The file is damaged or cannot be written.
        """
        looks = self._read()
        seen = looks.setdefault(pair, [])
        if len(seeds) < 2:
            return len(seen) + 1
        if list(seeds) not in seen:
            seen.append(list(seeds))
            write_atomically(self._path, json.dumps(looks) + "\n")
        return seen.index(list(seeds)) + 1

    def _read(self) -> dict[str, list[list[int]]]:
        try:
            looks = json.loads(read_regular(self._path, MOST_BYTES, follow=True))
            if not isinstance(looks, dict) or not all(map(_are_seeds, looks.values())):
                raise ValueError("it holds no lists of seeds for each pair")
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InputError(
                f"{self._path}: cannot be read ({error}); delete it, and earlier looks are not counted"
            ) from error
        return looks


def _are_seeds(seen: object) -> bool:
    """Tell whether a value is a list of lists of whole numbers."""
    return isinstance(seen, list) and all(
        isinstance(each, list) and all(type(seed) is int for seed in each) for each in seen
    )
