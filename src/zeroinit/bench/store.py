"""Stored results: ``<root>/<key>/seed-<n>.json``, each whole or absent; many small ones may share a bundle.

A bundle, ``<root>/<name>.jsonl``, holds one result a line, with only those settings that differ from their defaults.
A file of its own counts before a bundle. A file may be a link to another, as git-annex and DVC make them. Links that
are folders are refused: nothing is written outside of the root.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TypeVar

from zeroinit._common import InputError, refuse_url, write_atomically
from zeroinit.bench.result import (
    AGAIN,
    QUANTILES,
    Failure,
    Result,
    UnreadableError,
    fresh,
    parse_failure,
    parse_result,
    read_file,
    refuse_pointer,
    write_failure,
    write_result,
)
from zeroinit.bench.spec import Run

__all__ = ["AGAIN", "QUANTILES", "Failure", "Result", "Store", "UnreadableError", "fresh", "read_result"]

T = TypeVar("T")
NAME = re.compile(r"seed-(0|[1-9][0-9]{0,18})\.json")
OTHERS = f"holds other settings than its name says{AGAIN}"
DIFFERS = "its result of {}, seed {}, differs from another in a bundle; neither counts, so remove one of them"
MOST_BYTES, MOST_IN_BUNDLE, MOST_OF_FAILURE = 2**28, 2**32, 2**20


class Store:
    """A folder of results.

    Args:
        root: The folder; made at the first ``save``.
        keep: Whether ``find`` keeps what it read for as long as the file stays as it is.

    Attributes:
        problems: What was found damaged or failed so far, by file or line of a bundle.
        unreadable: What could not be read and may be whole, by file.
        unchecked: Key and seed of what was found without a checksum: an older version stored it.

    Raises:
        InputError: The folder is a URL.
    """

    def __init__(self, root: Path | str, keep: bool = False):
        refuse_url(root)
        self._kept: dict[Path, tuple[tuple[int, ...], Result]] | None = {} if keep else None
        self.root = Path(root)
        self.problems: dict[str, str] = {}
        self.unreadable: dict[str, UnreadableError] = {}
        self.unchecked: set[tuple[str, int]] = set()

    def path(self, run: Run, seed: int) -> Path:
        """Return where a result lies or would lie."""
        return self.root / run.key / f"seed-{seed}.json"

    def failure_path(self, run: Run, seed: int) -> Path:
        """Return where the record of a failure lies or would lie; a result takes its place."""
        return self.root / run.key / f"seed-{seed}.failed"

    def checkpoint_folder(self, run: Run, seeds: Sequence[int]) -> Path:
        """Return where the state of a run in progress lies, with one seed or several that are stacked."""
        return self.root / run.key / f"seed-{'-'.join(map(str, seeds))}.checkpoint"

    def has(self, run: Run, seed: int) -> bool:
        """Whether the result is stored, in a file of its own or in a bundle.

        Raises:
            InputError: Its folder is a link or cannot be read.
        """
        return self.has_file(run, seed) or (run.key, seed) in self._bundled

    def has_file(self, run: Run, seed: int) -> bool:
        """Whether the result is stored in a file of its own; nothing is read.

        Raises:
            InputError: Its folder is a link or cannot be read.
        """
        return _entry(self.path(run, seed)) is not None

    def names(self, run: Run) -> set[str]:
        """List what lies in the folder of a run, so that thousands of seeds need no look at each file.

        Raises:
            InputError: As in ``has``.
        """
        folder = self.root / run.key
        return set(_look(folder, lambda: os.listdir(folder)) or ())

    def missing(self, run: Run, seeds: Iterable[int]) -> set[int]:
        """Return which of some seeds have no result, neither in a file of their own nor in a bundle.

        Raises:
            InputError: As in ``has``.
        """
        names = self.names(run)
        return {seed for seed in seeds if f"seed-{seed}.json" not in names and (run.key, seed) not in self._bundled}

    def save(self, result: Result) -> None:
        """Write one result.

        Raises:
            InputError: The folder cannot be written to or is a link, or no report could use the result.
        """
        path = self.path(result.run, result.seed)
        refuse_link(path.parent)
        write_atomically(path, write_result(result) + "\n")
        self.failure_path(result.run, result.seed).unlink(missing_ok=True)

    def save_failure(self, failure: Failure) -> None:
        """Write down why a run has no result; the next failure takes the place of the last one.

        Raises:
            InputError: The folder cannot be written to or is a link.
        """
        path = self.failure_path(failure.run, failure.seed)
        refuse_link(path.parent)
        write_atomically(path, write_failure(failure) + "\n")

    def failure(self, run: Run, seed: int) -> Failure | None:
        """Return why a run has no result; ``None`` if it has one or did not fail. A damaged record is no failure."""
        path = self.failure_path(run, seed)
        try:
            if self.has(run, seed):
                return None
            found = parse_failure(read_file(path, MOST_OF_FAILURE).decode(), str(path))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return found if (found.run, found.seed) == (run, seed) else None

    def load(self, run: Run, seed: int) -> Result:
        """Read one result.

        Raises:
            InputError: It is missing, damaged, or belongs to other settings.
        """
        return self._find(run.key, seed, run) or read_result(self.path(run, seed))

    def read(self, key: str, seed: int) -> Result:
        """Read one result by its place.

        Raises:
            InputError: As in ``load``.
        """
        return self._find(key, seed) or read_result(self.root / key / f"seed-{seed}.json")

    def _find(self, key: str, seed: int, run: Run | None = None) -> Result | None:
        """Return a result by its place, ``None`` without one; of ``run`` if that is given."""
        path, kept = self.root / key / f"seed-{seed}.json", {} if self._kept is None else self._kept
        if (entry := _entry(path)) is None:
            result = self._bundled.get((key, seed))
        elif path in kept and kept[path][0] == _state(entry):
            result = kept[path][1]
        else:
            result = read_result(path)
            if not stat.S_ISLNK(entry.st_mode):  # what it leads to may change and the link does not
                kept[path] = _state(entry), result
        if result is not None and (result.run.key != key or (run and result.run != run)):
            raise InputError(f"{path}: {OTHERS}")
        if result is not None and result.seed != seed:
            raise InputError(f"{path}: holds seed {result.seed}, not seed {seed}{AGAIN}")
        return result

    def stored(self) -> list[tuple[str, int]]:
        """List the key and the seed of everything that is stored; only bundles are read."""
        found = {(path.parent.name, NAME.fullmatch(path.name)) for path in self.root.glob("*/seed-*.json")}
        return sorted({(key, int(match[1])) for key, match in found if match}.union(self._bundled))

    def find(self, run: Run, seed: int) -> Result | None:
        """Return a result, or ``None`` if it is absent or damaged; ``problems`` then says what is wrong with it."""
        try:
            result = self._find(run.key, seed, run)
        except InputError as error:
            self.problems[str(self.path(run, seed))] = str(error)
            if isinstance(error, UnreadableError):
                self.unreadable[str(self.path(run, seed))] = error
            return None
        if result is not None and result.origin is None:
            self.unchecked.add((run.key, seed))
        return result

    def set_aside(self, run: Run, seed: int, why: str = "damaged") -> Path:
        """Rename a damaged or outdated file, so that its run is computed again; return its new name.

        Raises:
            UnreadableError: It cannot be read here, so it may be whole; it stays.
        """
        path = self.path(run, seed)
        if str(path) in self.unreadable:
            raise self.unreadable[str(path)]
        names = (path.with_name(f"{path.name}.{why}-{number}") for number in count(1))
        free = next(name for name in names if not os.path.lexists(name))
        path.rename(free)
        self.problems.pop(str(path), None)
        return free

    def __iter__(self) -> Iterator[Result]:
        for path in sorted(self.root.glob("*/seed-*.json")):
            refuse_link(path.parent)
            yield read_result(path)
        yield from self._bundled.values()

    @cached_property
    def _bundled(self) -> dict[tuple[str, int], Result]:
        """The results of all bundles, by key and seed; later bundles are not seen. Of two that differ, none counts."""
        found: dict[tuple[str, int], Result] = {}
        differing: dict[tuple[str, int], Path] = {}
        for path in sorted(self.root.glob("*.jsonl")):
            results, problems = read_bundle(path)
            self.problems |= problems
            for result in results:
                place = result.run.key, result.seed
                if found.setdefault(place, result).history != result.history:
                    differing[place] = path
        for (key, seed), path in differing.items():
            del found[key, seed]
            self.problems[f"{path}, {key}, {seed}"] = f"{path}: {DIFFERS.format(key, seed)}"
        return found

    def bundle(self, name: str, results: Iterable[Result]) -> Path:
        """Write results into one file, ``<name>.jsonl``, sorted by key and seed. Their own files stay as they are.

        Raises:
            InputError: The folder cannot be written to.
        """
        lines = []
        for result in sorted(results, key=lambda result: (result.run.key, result.seed)):
            lines.append(write_result(result, is_short=True) + "\n")
        write_atomically(self.root / f"{name}.jsonl", "".join(lines))
        self.__dict__.pop("_bundled", None)
        return self.root / f"{name}.jsonl"


def _entry(path: Path) -> os.stat_result | None:
    return _look(path.parent, path.lstat)


def _state(entry: os.stat_result) -> tuple[int, int, int]:
    return entry.st_ino, entry.st_size, entry.st_mtime_ns


def _look(folder: Path, call: Callable[[], T]) -> T | None:
    """Return what a call says of the folder of a run; ``None`` if what it asks for is not there.

    Raises:
        InputError: The folder is a link or cannot be read.
    """

    def look() -> T:
        refuse_link(folder)
        return call()

    try:
        return fresh(look)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); choose another folder of results") from error


def refuse_link(folder: Path) -> None:
    """Refuse a folder of results that is a link: it could lead to files that are none of ours.

    Raises:
        InputError: It is a link.
    """
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link; results are read and written in folders alone, so remove it")


def read_bundle(path: Path) -> tuple[list[Result], dict[str, str]]:
    """Read the results of a bundle.

    Returns:
        Those that can be read, and what is wrong with each other line, by its place.

    Raises:
        UnreadableError: The system refuses to read it, or its content is elsewhere.
    """
    try:
        lines = read_file(path, MOST_IN_BUNDLE).decode(errors="replace").rstrip("\n").split("\n")
        refuse_pointer(lines[0], str(path))
    except UnreadableError:
        raise
    except (OSError, InputError) as error:
        return [], {str(path): f"cannot be read as a bundle of results ({error}); move it away"}
    results, problems = [], {}
    for number, line in enumerate(lines, 1):
        try:
            results.append(parse_result(line, f"{path}, line {number}"))
        except InputError as error:
            problems[f"{path}, line {number}"] = str(error).replace(AGAIN, "; delete that line to compute it again")
    if not results:
        return [], {str(path): f"{path}: no line of it can be read as a result; move it away"}
    return results, problems


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        UnreadableError: The system refuses to read it, its content is elsewhere, or a newer zeroinit wrote it.
        InputError: It is missing, damaged, or no regular file.
    """
    try:
        text = read_file(path, MOST_BYTES).decode()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such result; run `zeroinit reproduce` first") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a result ({error}){AGAIN}") from error
    return parse_result(text, str(path))
