"""One run that ended, as an object and as text: its result with a checksum, or why there is none.

A text is checked when it is written and when it is read.
"""

import errno
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from zeroinit._common import InputError, jsonable, printable, read_regular
from zeroinit.bench.spec import LARGEST, Run

__all__ = ["QUANTILES", "Failure", "Result", "parse_failure", "parse_result", "write_failure", "write_result"]

AGAIN = "; delete it to compute it again"

FORMAT = 2
READABLE = (1, FORMAT)
"""Format 1 has no checksum."""

REQUIRED = ("seed", "history", "initial_hash", "environment", "seconds")
OPTIONAL = ("recorded", "origin")
"""Fields of a result besides its settings; ``OPTIONAL`` are no part of the file where it has none."""

POINTERS = ("/annex/objects/", "version https://git-lfs.github.com/")
"""How a file begins that stands for another."""

FETCH = "fetch its content, as `git annex get`, `git lfs pull` and `dvc checkout` do"
T = TypeVar("T")
LONGEST_TEXT = 300
NUMBERS = {int, float}
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

MOST_KNOWN = 4096
_runs: dict[str, Run] = {}
"""Settings by their text: thousands of results share them, and each ``Run`` checks every field."""
OUTCOMES = ("completed", "diverged")

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Levels of the quantiles of gradients that the recorder ``gradients`` stores."""


@dataclass(frozen=True)
class Result:
    """One finished run.

    Attributes:
        run: Its settings; ``seed`` its seed.
        history: As in ``History.to_dict``.
        initial_hash: Hash of all parameters after initialization: shows whether two runs start with the same values.
        environment: Versions, device, threads.
        seconds: Wall time of the run, loading of the data excluded.
        recorded: The record of the run's recorder; ``None`` without one, and then no part of the file.
        origin: Source, data and processor that made it, and when; ``None`` for results from before this was stored.
    """

    run: Run
    seed: int
    history: dict
    initial_hash: str
    environment: dict
    seconds: float
    recorded: dict | None = None
    origin: dict | None = None


@dataclass(frozen=True)
class Failure:
    """A run that was tried several times and has no result.

    Attributes:
        run: Its settings; ``seed`` its seed.
        when: Date and time of the last try, as ISO 8601 writes them.
        reasons: Why each try failed; one line each.
        traceback: Where the last try failed; empty if its process was killed.
    """

    run: Run
    seed: int
    when: str
    reasons: tuple[str, ...]
    traceback: str = ""

    def __str__(self) -> str:
        return f"failed {len(self.reasons)} times, last on {self.when}: {self.reasons[-1]}"


def write_failure(failure: Failure) -> str:
    """Return a failure as JSON, with the settings that differ from their defaults."""
    return json.dumps({"format": FORMAT, **asdict(failure), "run": failure.run.settings}, indent=1)


def parse_failure(text: str, place: str) -> Failure:
    """Turn the text of a failure into one.

    Raises:
        InputError: It cannot be read; ``place`` says where it stands.
    """
    try:
        content = json.loads(text, parse_constant=_refuse)
        reasons = tuple(printable(str(each))[:LONGEST_TEXT] for each in content["reasons"])
        if not reasons:
            raise ValueError("it gives no reason")
        when = printable(str(content["when"]))[:LONGEST_TEXT]
        return Failure(Run(**content["run"]), content["seed"], when, reasons, str(content["traceback"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"{place}: cannot be read as the record of a failure ({error}); delete it") from error


def write_result(result: Result, is_short: bool = False) -> str:
    """Return a result as JSON; a checksum over everything else comes last.

    Args:
        result: What ``parse_result`` makes of the text again.
        is_short: Only the settings that differ from their defaults, and all on one line.

    Raises:
        InputError: No report could use it.
    """
    settings = result.run.settings if is_short else asdict(result.run)
    try:
        _check(result)
        content = jsonable({"format": FORMAT, **asdict(result), "run": settings})
        for name in OPTIONAL:
            if content[name] is None:
                del content[name]
        content["sha256"] = _checksum(content)
        return json.dumps(content, indent=None if is_short else 1, allow_nan=False)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"result of seed {result.seed}: cannot be stored ({error})") from error


def _checksum(content: dict) -> str:
    return hashlib.sha256(CANONICAL.encode(content).encode()).hexdigest()


class UnreadableError(InputError):
    """A result cannot be read here and now, and may be whole: nobody may take it for damaged."""


def fresh(call: Callable[[], T], tries: int = 5) -> T:
    """Return what a call returns. It is asked again where a network folder knows only a file that is no longer there.

    Another machine has replaced or removed the file; ``ESTALE`` then says that the name has to be looked up again.
    """
    for _ in range(tries - 1):
        try:
            return call()
        except (OSError, InputError) as error:
            if getattr(error.__cause__ or error, "errno", None) != errno.ESTALE:
                raise
    return call()


def read_file(path: Path, at_most: int) -> bytes:
    """Read a file of results, which may be a link to one.

    Raises:
        FileNotFoundError: There is none.
        UnreadableError: The system refuses to read it, or the link leads to nothing.
        InputError: It is no regular file, or too large.
    """
    try:
        return fresh(lambda: read_regular(path, at_most, follow=True))
    except InputError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        way_out = FETCH if isinstance(error.__cause__, FileNotFoundError) else "try again, or see who may read it"
        raise UnreadableError(f"{error}; {way_out}") from error


def refuse_pointer(text: str, place: str) -> None:
    """Refuse the text of a file that stands for one whose content was not fetched.

    Raises:
        UnreadableError: It is one of git-annex or Git LFS.
    """
    if text.startswith(POINTERS):
        raise UnreadableError(f"{place}: cannot be read (it only points to its content); {FETCH}")


def parse_result(text: str, place: str) -> Result:
    """Turn the text of a result into one.

    Raises:
        UnreadableError: A newer zeroinit wrote it, or its content is elsewhere.
        InputError: It cannot be read as a result, or its checksum is wrong; ``place`` says where it stands.
    """
    refuse_pointer(text, place)
    try:
        content = _table(json.loads(text, parse_constant=_refuse))
        version = content["format"]
        if version != 1 and content.pop("sha256") != _checksum(content):
            raise ValueError("its checksum is wrong: it was changed after it was written")
        if type(version) is int and version > FORMAT:  # every format has this checksum, so it is whole
            raise UnreadableError(f"{place}: is of a newer zeroinit (format {version!r:.20}); update zeroinit")
        if type(version) is not int or version not in READABLE:
            raise ValueError(f"its format is {version!r:.20}")
        found = {"run": _run_of(content["run"]), **{name: content[name] for name in REQUIRED}}
        result = Result(**found, **{name: content.get(name) for name in OPTIONAL})
        _check(result)
    except UnreadableError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{place}: cannot be read as a result ({reason}){AGAIN}") from error
    for facts in (result.environment, result.origin or {}):
        if not "".join(map(str, (*facts, *facts.values()))).isprintable():
            for name in list(facts):  # which keeps the order
                each = facts.pop(name)
                facts[printable(name)] = printable(each) if isinstance(each, str) else each
    return result


def _table(content: Any) -> Any:
    if not isinstance(content, dict):
        raise ValueError("it is no table")
    return content


def _run_of(settings: dict) -> Run:
    if (text := repr(settings)) not in _runs:
        run = Run(**settings)
        _ = run.key
        if len(_runs) == MOST_KNOWN:
            _runs.clear()
        _runs[text] = run
    return _runs[text]


def _check(result: Result) -> None:
    """Refuse now what a report could not use later."""
    if not _is_count(result.seed) or not _is_number(result.seconds):
        raise ValueError("its seed or its seconds are no number")
    _check_history(result)
    if result.run.recorder != "none" and not isinstance(result.recorded, dict):
        raise ValueError("it holds nothing of what its recorder found")
    if not _is_plain(result.recorded):
        raise ValueError("what its recorder found holds a number out of range")
    _ = result.environment["device"], result.environment["threads"]
    if not isinstance(result.origin, dict | None):
        raise ValueError("its origin is no table")
    for facts in (result.environment, result.origin or {}):
        others = [each for each in facts.values() if type(each) is not str]
        if any(not isinstance(each, str | int | float | None) for each in others) or not _is_plain(others):
            raise ValueError("its environment or its origin holds more than texts and numbers")
        if max(map(len, map(str, (result.initial_hash, *facts, *facts.values())))) > LONGEST_TEXT:
            raise ValueError("its environment or its origin has a text that is too long")


def _check_history(result: Result) -> None:
    history, epochs = result.history, result.run.epochs
    is_tested = result.run.num_test != 0
    accuracies, outcome = history["test_accuracy" if is_tested else "validation_accuracy"], history["outcome"]
    if outcome not in OUTCOMES:
        raise ValueError(f"its outcome is none of {', '.join(OUTCOMES)}")
    for name in ("test_accuracy", "validation_accuracy"):
        values = history.get(name, [])
        if not isinstance(values, list) or not _are_numbers(values) or max(values, default=0) > 1:
            raise ValueError(f"its history has no {name.replace('_', ' ')} between 0 and 1")
    ends_early = outcome == "diverged" or result.run.max_steps is not None
    if not (min(1, epochs) if ends_early else epochs) <= len(accuracies) <= epochs:
        raise ValueError(f"its history has {len(accuracies)} of {epochs} epochs")
    for name, values in history.items():
        if isinstance(values, list) and len(values) not in (0, len(accuracies)):
            raise ValueError(f"its history has {len(values)} values of {name} and {len(accuracies)} accuracies")
    if not is_tested and history.get("test_accuracy"):
        raise ValueError("its history has test accuracies, and its run measures no test image")


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number of JSON")


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < math.inf


def _are_numbers(values: list) -> bool:
    if set(map(type, values)) <= NUMBERS:
        return all(0 <= each < math.inf for each in values)
    return all(map(_is_number, values))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_plain(value: object) -> bool:
    """Whether all numbers within are finite, and such as NumPy can hold."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(math.isfinite, value)) if set(map(type, value)) == {float} else all(map(_is_plain, value))
    return not isinstance(value, int | float) or abs(value) < (LARGEST if isinstance(value, int) else math.inf)
