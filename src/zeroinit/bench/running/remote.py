"""Results at a URL: a folder of this machine follows it. What lies there comes here, and what is new here goes there.

Only results, records of failures, bundles and looks travel, each whole or not at all. States of runs in progress stay
here. Nothing can be claimed at a URL: if two machines begin a run at once, both compute it. What the URL lists and
does not let us read may be whole, so nobody may take it for absent.
"""

import hashlib
import json
import re
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from zeroinit._common import InputError, counted, read_regular, write_atomically
from zeroinit._modules.arguments import as_path
from zeroinit._urls import URL, without
from zeroinit.bench.data.files.source import user_cache
from zeroinit.bench.store import MOST_BYTES, MOST_IN_BUNDLE, UnreadableError, refuse_link
from zeroinit.bench.training.stopping import asked_to_stop

__all__ = ["Remote", "RemoteWarning", "open_results"]

LOOKS = "looks.json"
FAILED = ".failed"
NAME = re.compile(r"[0-9a-f]{12}/seed-(0|[1-9][0-9]{0,18})\.(json|failed)|[A-Za-z0-9_][\w.-]*\.jsonl|looks\.json")
"""What travels. Nothing else is read or written at either place."""

AT_ONCE = 200
"""Files that are asked for in one call."""

PATIENCE, HURRY = 60.0, 2.0
"""Seconds that a place may take to answer; the second number holds once the user asked the program to end."""

SLOWEST = 50_000
"""Bytes a second that a slow line carries; time for them comes on top."""

REST = 600.0
"""Seconds without further tries to send, after a place did not answer."""

EXPIRED = re.compile(r"expired|unauthorized|\b401\b|credentials|invalid.?token|not log(ged)? ?in|login", re.IGNORECASE)
"""What packages say if a token or a password is not taken, or no longer."""

SILENCE = "no answer"
T = TypeVar("T")
_silent: dict[str, float] = {}


class RemoteWarning(UserWarning):
    """Results could not be sent; they are kept in a folder of this machine."""


def open_results(results: Path | str) -> tuple[Path, "Remote | None"]:
    """Return the folder of results; that of a URL holds by then what lies at the URL.

    Args:
        results: A folder, or a URL that fsspec knows, such as ``"s3://bucket/study"``.

    Returns:
        The folder, and the place that it follows.

    Raises:
        InputError: The URL cannot be read, or is of a kind that needs a package that is not installed; or it is empty.
        UnreadableError: The URL lists a result that it does not let us read.

    Example:
        >>> open_results("results")
        (PosixPath('results'), None)
    """
    if not str(results):
        raise InputError("results='': is empty; name a folder or a URL")
    match = URL.match(str(results))
    if match is None or match[1].lower() == "file":  # which the store refuses, and names the folder
        folder = as_path(results, "results")
        return folder.expanduser() if folder.parts[:1] == ("~",) else folder, None
    scheme, _, rest = str(results).partition("://")
    remote = Remote(f"{scheme}://{re.sub('/+', '/', rest).rstrip('/')}")
    remote.fetch()
    return remote.folder, remote


@dataclass(frozen=True)
class Remote:
    """A URL that holds results. As a text it says where they are: not at the URL as long as some cannot be sent.

    The text hides passwords and tokens, and so does the name of the folder: new ones lead to the same folder.

    Attributes:
        url: As fsspec takes it, without a slash at its end; with its secrets, so it is never shown.
        unsent: Names of files that the last ``sync`` could not send, and why.
    """

    url: str
    unsent: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.folder}, and not all of it in {self.shown}" if self.unsent else self.shown

    def __repr__(self) -> str:
        return f"Remote({self.shown!r})"

    @property
    def way_out(self) -> str:
        """What to do about files that could not be sent."""
        reason = next(iter(self.unsent.values()), "")
        return f"{_renewal(reason) or 'type the same command'} again, which sends them"

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        return without(self.url, self.url)

    @property
    def folder(self) -> Path:
        """The folder of this machine that follows the URL."""
        words = re.sub(r"\W+", "-", self.shown)[-40:].strip("-")
        digest = hashlib.sha256(self.shown.encode()).hexdigest()
        return user_cache() / "results" / f"{words}-{digest[:12]}"

    def fetch(self) -> None:
        """Copy what lies there and not here.

        Raises:
            InputError: The URL cannot be read, or the folder cannot be written to.
            UnreadableError: The URL lists a file that it does not let us read; the others are here by then.
        """
        self._refuse(self._fetch(self._list()))

    def sync(self) -> None:
        """Copy what one of both places lacks. What cannot be sent is a warning, and the next call sends it.

        Raises:
            InputError: As in ``fetch``.
            UnreadableError: As in ``fetch``; all else is sent by then.
        """
        self.unsent.clear()
        try:
            there = self._list()
            unreadable = self._fetch(there)
        except InputError as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise
            self.unsent.update(dict.fromkeys(self._here(), SILENCE))  # as far as is known
            _warn_once(f"{self.shown}: does not answer; all results are kept in {self.folder}")
            return
        names = [name for name in sorted(self._here()) if name not in (unreadable if name == LOOKS else there)]
        for number, name in enumerate(names):
            if reason := self.send(self.folder / name):
                self.unsent.update(dict.fromkeys(names[number:], reason))
                break
        self._refuse(unreadable)

    def send(self, path: Path) -> str:
        """Copy one file of the folder there; return why not if not, and warn once of what is kept."""
        name = path.relative_to(self.folder).as_posix()
        try:
            if time.monotonic() < _silent.get(self.url, 0.0):
                return SILENCE
            content = read_regular(path, MOST_IN_BUNDLE)
            _in_time(lambda: self._send(name, content), len(content))
        except Exception as error:  # of any package that fsspec uses
            if isinstance(error, TimeoutError):
                _silent[self.url] = time.monotonic() + REST
            reason = self._reason(error)
            _warn_once(f"{self.shown}: results cannot be sent ({reason}); they are kept in {self.folder}")
            return reason
        return ""

    def _send(self, name: str, content: bytes) -> None:
        system, root = self._system()
        target = f"{root}/{name}"
        part = f"{target}.{uuid.uuid4().hex}"
        system.makedirs(target.rpartition("/")[0], exist_ok=True)
        system.pipe_file(part, content)
        system.mv(part, target)

    def _system(self) -> tuple[Any, str]:
        import fsspec

        system, root = fsspec.core.url_to_fs(self.url)
        system.invalidate_cache()
        return system, root.rstrip("/")

    def _list(self) -> dict[str, int]:
        """Return the names there, with their sizes in bytes."""
        root, found = self._ask(self._find)
        names = {path.removeprefix(root).lstrip("/"): entry.get("size") or 0 for path, entry in found.items()}
        return {name: size for name, size in names.items() if NAME.fullmatch(name)}

    def _find(self) -> tuple[str, dict[str, dict]]:
        system, root = self._system()
        found = system.find(root, detail=True, withdirs=True)
        files = {path: entry for path, entry in found.items() if entry.get("type") != "directory"}
        listed = {path.rstrip("/").rpartition("/")[0] for path in found}
        for folder in {root, *(path.rstrip("/") for path in found.keys() - files.keys())} - listed:
            with suppress(FileNotFoundError):
                system.ls(folder, detail=False)  # raises for a folder that may not be listed; ``find`` passes over it
        return root, files

    def _fetch(self, there: Mapping[str, int]) -> dict[str, str]:
        """Copy what is wanted; return what is there and cannot be read, with the reasons."""
        here, unreadable = self._here(), dict[str, str]()
        wanted = [name for name, size in there.items() if _is_wanted(name, size, here.get(name))]
        for start in range(0, len(wanted), AT_ONCE):
            for name, content in self._read(there, wanted[start : start + AT_ONCE]).items():
                path = self.folder / name
                if isinstance(content, Exception):
                    unreadable[name] = self._reason(content)
                    continue
                refuse_link(path.parent)
                write_atomically(path, _joined(path, content) if name == LOOKS else content)
        return unreadable

    def _read(self, there: Mapping[str, int], names: list[str]) -> dict[str, bytes | Exception]:
        """Return the contents of files, or why one cannot be read; a file that is gone is left out."""
        root, found = self._ask(lambda: self._cat(names), sum(there[name] for name in names))
        read = {path.removeprefix(root).lstrip("/"): content for path, content in found.items()}
        if gone := {name for name, content in read.items() if isinstance(content, FileNotFoundError)}:
            gone -= self._list().keys()  # a link to nothing stays listed
        return {name: content for name, content in read.items() if name not in gone}

    def _cat(self, names: list[str]) -> tuple[str, dict[str, bytes | Exception]]:
        system, root = self._system()
        return root, system.cat([f"{root}/{name}" for name in names], on_error="return")

    def _refuse(self, unreadable: Mapping[str, str]) -> None:
        for name, reason in unreadable.items():
            others = f" and {counted(len(unreadable) - 1, 'other')}" if len(unreadable) > 1 else ""
            way_out = _renewal(reason) or "try again, or see who may read it"
            raise UnreadableError(f"{self.shown}/{name}{others}: cannot be read ({reason}); {way_out}")

    def _here(self) -> dict[str, int]:
        """Return the names of the folder, with their sizes in bytes."""
        paths = {path.relative_to(self.folder).as_posix(): path for path in self.folder.glob("**/*") if path.is_file()}
        return {name: path.stat().st_size for name, path in paths.items() if NAME.fullmatch(name)}

    def _ask(self, call: Callable[[], T], num_bytes: int = 0) -> T:
        """Return what the place answers.

        Raises:
            InputError: It does not. What packages say of it may hold secrets, so only a silence is handed on.
        """
        try:
            return _in_time(call, num_bytes)
        except Exception as error:
            refusal, cause = self._refusal(error), error if type(error) is TimeoutError else None
        raise refusal from cause

    def _refusal(self, error: Exception) -> InputError:
        reason = self._reason(error)
        way_out = _renewal(reason) or "check the URL and your access"
        if isinstance(error, ImportError):
            way_out = "install that package, or name a folder"
        elif isinstance(error, ValueError):
            way_out = "name a folder, or a URL of a kind that fsspec knows"
        return InputError(f"results={self.shown!r}: cannot be read ({reason}); {way_out}")

    def _reason(self, error: Exception) -> str:
        return without(self.url, " ".join(f"{type(error).__name__}: {error}".split()))[:200]


def _in_time(call: Callable[[], T], num_bytes: int = 0) -> T:
    """Return what a call returns; stop waiting after ``PATIENCE`` seconds, and soon if the user wants to end.

    Args:
        call: Asks the place.
        num_bytes: What travels; time for it comes on top, at ``SLOWEST`` bytes a second.

    Raises:
        TimeoutError: It has not returned by then; its thread is left alone.
    """
    ended: Future[T] = Future()

    def carry_out() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    begin, whole = time.monotonic(), PATIENCE + num_bytes / SLOWEST
    while not ended.done():
        passed = time.monotonic() - begin
        if passed > (whole if asked_to_stop() is None else HURRY):
            raise TimeoutError(f"no answer for {passed:.0f} s")
        wait([ended], timeout=0.2)
    return ended.result()


@lru_cache(maxsize=100)
def _warn_once(text: str) -> None:
    """Say it once in a process: every further result would say the same."""
    warnings.warn(f"{text}, and the next command with this URL sends them", RemoteWarning, stacklevel=3)


def _renewal(reason: str) -> str:
    """Return what to do if a token or a password is not taken; an empty text if that is not the reason."""
    return "log in again or renew the token, then type the same command" if EXPIRED.search(reason) else ""


def _is_wanted(name: str, size: int, here: int | None) -> bool:
    """Whether a file is to be copied here: a result never changes; a failure, a bundle and looks may."""
    if size > (MOST_IN_BUNDLE if name.endswith(".jsonl") else MOST_BYTES):
        return False
    return here is None or name == LOOKS or name.endswith(FAILED) or (name.endswith(".jsonl") and here != size)


def _joined(path: Path, content: bytes) -> bytes:
    """Join the looks of both places: each pair has those of both, the earlier known first."""
    try:
        there, here = json.loads(content), json.loads(read_regular(path, MOST_BYTES))
        joined = {pair: [*there.get(pair, []), *here.get(pair, [])] for pair in there | here}
        looks = {pair: [seen for i, seen in enumerate(all_) if seen not in all_[:i]] for pair, all_ in joined.items()}
    except (OSError, ValueError, AttributeError, TypeError):  # none here, or damaged: whoever reads it says so
        return content
    return (json.dumps(looks) + "\n").encode()
