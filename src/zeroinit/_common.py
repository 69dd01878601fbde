"""Look-ups with helpful errors, seeds split by purpose, values for JSON, atomic files.

This module imports no torch, and of the package only ``_urls``, so every other module may import it.
"""

import contextlib
import difflib
import errno
import hashlib
import math
import operator
import os
import stat
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from zeroinit._urls import URL, without_secrets

AWAY = "; move it away"
NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
WAYS_OUT = {**dict.fromkeys(NO_ROOM, "free space there"), errno.EISDIR: "remove it", errno.ELOOP: "remove it"}
WAYS_OUT[errno.EFBIG] = "raise the limit on file sizes (ulimit -f)"
__version__ = "0.1.0"
Entry = TypeVar("Entry")


class InputError(ValueError):
    """An argument cannot be used. The message names the argument, the value and the way out."""


def closest(name: str, choices: Iterable[str], then: str = "") -> str:
    """Return ``"; did you mean 'x'?"`` for the choice nearest to ``name``, or an empty string.

    Args:
        name: What a user wrote.
        choices: What may stand there.
        then: What is said next, with or without a nearest choice.

    Example:
        >>> closest("modde", ["mode", "scale"], "it has mode, scale")
        "; did you mean 'mode'? It has mode, scale"
        >>> closest("x", ["mode", "scale"], "it has mode, scale")
        '; it has mode, scale'
    """
    by_lower = {choice.lower(): choice for choice in choices}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    if not matches:
        return f"; {then}" if then else ""
    return f"; did you mean {by_lower[matches[0]]!r}? {then[:1].upper()}{then[1:]}".rstrip()


def unknown(name: str, choices: Iterable[str], argument: str) -> str:
    """Say that there is no such name: the nearest one first, then all of them.

    Example:
        >>> unknown("adm", ["sgd", "adam"], "optimizer")
        "optimizer='adm': did you mean 'adam'? It must be one of adam, sgd"
    """
    known = sorted(choices)
    near = closest(str(name), known).removeprefix("; ")
    return f"{argument}={name!r}: {f'{near} It ' if near else ''}must be one of {', '.join(known)}"


def lookup(table: Mapping[str, Entry], name: str, argument: str) -> Entry:
    """Return ``table[name]``; an unknown name raises an error that lists the choices.

    Args:
        table: The named entries.
        name: The key that is looked for.
        argument: How the caller's user knows this value, as in ``"initializer"``.

    Raises:
        InputError: ``name`` is not a key of ``table``.

    Example:
        >>> lookup({"adam": 1, "sgd": 2}, "adam", "optimizer")
        1
    """
    if isinstance(name, str) and name in table:
        return table[name]
    raise InputError(unknown(name, table, argument))


def counted(number: int, word: str) -> str:
    """Write a count.

    Example:
        >>> counted(1, "step"), counted(4000, "step")
        ('1 step', '4,000 steps')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def whole_number(value: object, argument: str, least: int | None = None) -> int:
    """Return a count as an ``int``; refuse everything else, also ``True`` and ``2.0``.

    Args:
        value: The user's value.
        argument: How the caller's user knows this value, as in ``"epochs"``.
        least: The smallest value allowed; any if ``None``.

    Raises:
        InputError: ``value`` is not a whole number, or is too small.

    Example:
        >>> whole_number(3, "epochs", least=0)
        3
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # what has no index is refused
    except TypeError:
        raise InputError(f"{argument}={value!r}: must be a whole number, such as {max(least or 0, 1)}") from None
    if least is not None and number < least:
        raise InputError(f"{argument}={value}: must be at least {least}")
    return number


def real_number(
    value: object, argument: str, *, least: float = -math.inf, above: float = -math.inf, below: float = math.inf
) -> float:
    """Return a finite number as a ``float``, also of NumPy; refuse everything else, as ``True``, texts and NaN.

    Args:
        value: The user's value.
        argument: How the caller's user knows this value, as in ``"margin"``.
        least: The smallest value allowed.
        above: What it must be above.
        below: What it must be below.

    Raises:
        InputError: ``value`` is no number, is not finite, or is out of range.

    Example:
        >>> real_number(1, "learning_rate", above=0)
        1.0
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # of a whole number with 400 digits
            number = float(value)
    if least <= number < below and number > above:
        return number
    words = {"of at least": least, "above": above, "and below" if max(least, above) > -math.inf else "below": below}
    limits = " ".join(f"{word} {limit:g}" for word, limit in words.items() if math.isfinite(limit))
    raise InputError(f"{argument}={value!r}: must be a finite number {limits}".rstrip())


def derive_seed(seed: int, purpose: str) -> int:
    """Derive an independent 63-bit seed for one purpose (``"init"``, ``"order"``, ...) of one run.

    Purposes never share a stream. So another batch order does not change the initial weights.

    Args:
        seed: The run's seed, at least 0.
        purpose: What the stream is for.

    Raises:
        InputError: ``seed`` is negative.

    Example:
        >>> derive_seed(0, "init") == derive_seed(0, "init"), derive_seed(0, "init") == derive_seed(0, "order")
        (True, False)
    """
    if seed < 0:
        raise InputError(f"seed={seed}: must be at least 0")
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def jsonable(value: Any) -> Any:
    """Return a value as JSON can hold it: tuples become lists, and NaN and infinities become ``None``, at every depth.

    Example:
        >>> jsonable({"interval": (0.5, float("inf"))})
        {'interval': [0.5, None]}
    """
    if isinstance(value, dict):
        return {key: jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    r"""Return a text on one line and without what a terminal would obey.

    Example:
        >>> printable("red: \x1b[31m")
        'red: �[31m'
    """
    return text if text.isprintable() else "".join(each if each.isprintable() else "�" for each in text)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path``; the file is whole or absent, even after a crash.

    Args:
        path: The file; its folder is made where missing.
        content: Text (UTF-8) or bytes.

    Raises:
        InputError: The file cannot be written there: no folder, no permission, no space.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "results" / "seed-0.json", "{}")
    """
    data = content.encode() if isinstance(content, str) else content
    irregular = InputError(f"cannot write {path}: is no regular file; write the name of a file")
    if not path.name:
        raise irregular
    # Not tempfile: its files are private to the user, and others read results.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device or a pipe, which a file would replace
            raise irregular
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Write the folder's own entries to the disk, so that a new name outlives a loss of power; POSIX only."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_url(folder: Path | str) -> None:
    """Refuse a URL, which would become a folder of a strange name.

    Raises:
        InputError: It is a URL.
    """
    if match := URL.match(str(folder)):
        scheme, rest = match[1].lower(), without_secrets(str(folder))[match.end() :]
        way_out = f"/{rest}" if scheme == "file" else "the folder where it is mounted"
        url = f"{scheme}:///{rest}" if scheme == "file" else f"{scheme}://{rest}"
        raise InputError(f"{url}: is a URL, and files are kept in folders; write {way_out}")


def check_writable(folder: Path) -> None:
    """Check now, not after hours of training, that a folder can be written to; the folder is not created.

    Raises:
        InputError: The folder cannot be written to.
    """
    refuse_url(folder)
    try:
        tempfile.TemporaryFile(dir=_nearest(folder.absolute())).close()  # a file without a name
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: OSError) -> InputError:
    """Return the error of a path that cannot be written to, with its reason and the way out."""
    reason, way_out = error.strerror or error, WAYS_OUT.get(error.errno or 0, "choose a folder that can be written to")
    if error.errno == errno.ENOENT and path.is_symlink():
        reason, way_out = "the link leads to nothing", "make what it leads to, or remove it"
    return InputError(f"cannot write {path}: {reason}; {way_out}")


def _nearest(path: Path) -> Path:
    """Return the path itself if it exists, or else the nearest folder above it."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return _nearest(path.parent)
    return path


def read_regular(path: Path, at_most: int, follow: bool = False) -> bytes:
    """Read a whole file that somebody else may have put there: it must be a regular file of bounded size.

    Args:
        path: The file.
        at_most: Its largest size in bytes.
        follow: Whether it may be a link to such a file.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is a link, a folder, a pipe or a device, is too large, or cannot be read; or a link to nothing.

    Example:
        >>> b"read_regular" in read_regular(Path(__file__), at_most=10**6)
        True
    """
    irregular = InputError(f"{path}: is no regular file{AWAY}")
    flags = os.O_RDONLY | (0 if follow else getattr(os, "O_NOFOLLOW", 0)) | getattr(os, "O_NONBLOCK", 0)
    try:
        if path.is_symlink() and not follow:
            raise InputError(f"{path}: is a link; put the file itself there")
        if not stat.S_ISREG(path.stat().st_mode):  # to open a device or a pipe may do something
            raise irregular
        with open(os.open(path, flags), "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise irregular
            if found.st_size > at_most:
                raise InputError(f"{path}: has {found.st_size} bytes, more than {at_most}{AWAY}")
            return stream.read(found.st_size)  # a file of the kernel, to which a link may lead, says 0 and has no end
    except FileNotFoundError as error:
        if not path.is_symlink():
            raise
        raise InputError(f"{path}: cannot be read (the link leads to nothing)") from error
    except IsADirectoryError:
        raise irregular from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
