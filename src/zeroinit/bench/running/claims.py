"""Of all processes that share a folder of results, on one machine or several, one computes a run, the others do not.

A claim is two things. The kernel's lock is sure on one machine and ends with its process, but not every network folder
carries it to other machines. A lease does: a file that its owner touches all the time. A dead owner's lease expires.
"""

import contextlib
import errno
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLease, Timeout

from zeroinit._common import InputError, cannot_write
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store, fresh

__all__ = ["claimed", "is_orphaned"]

LEASE = 30.0
"""Seconds of silence after which the lease of a machine expires; the same for all that share a folder."""

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a folder says that has no locks of the kernel; the lease is enough then."""

_watched: dict[Path, SoftFileLease] = {}
"""Leases of others: only who looked before knows how long one has been silent."""

_silent: dict[Path, tuple[tuple[int, int], float]] = {}
"""The file and the time of leases of others, and since when this is known."""


@contextmanager
def claimed(
    store: Store, run: Run, seeds: Sequence[int], patience: float = 0.0, *, is_stored: bool = False
) -> Iterator[bool]:
    """Claim a run with its seeds until the block ends, or until this process ends in whatever way.

    The claim of a process that was killed is free at once, that of a machine that was lost after ``LEASE`` seconds. Its
    files lie beside the results and are removed with the claim.

    Args:
        store: The folder of results.
        run: The settings.
        seeds: The seeds that are computed together.
        patience: Seconds to wait for another's claim.
        is_stored: The results are there, so a lease without a name is of a process that was killed as it took it.

    Yields:
        Whether this process has the claim.

    Raises:
        InputError: The folder cannot be written to.
    """
    path = _path(store, run, seeds)
    with ExitStack() as stack:
        stack.callback(_remove_if_empty, path.parent)  # of a run that left nothing
        yield _lock(path, patience, stack) and _lease(path.with_suffix(".lease"), patience, stack, is_stored)


def is_orphaned(store: Store, run: Run, seeds: Sequence[int]) -> bool:
    """Whether a process of this machine died while it computed a run: the lock is still there, and nobody holds it."""
    path = _path(store, run, seeds)
    if not path.exists():
        return False
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    lock.release(force=True)
    return True


def _path(store: Store, run: Run, seeds: Sequence[int]) -> Path:
    return store.path(run, seeds[0]).parent / f".seed-{'-'.join(map(str, seeds))}.lock"


def _lock(path: Path, patience: float, stack: ExitStack) -> bool:
    lock = FileLock(path, fallback_to_soft=False)
    try:
        if not _is_acquired(lock, path, patience):
            return False
    except InputError as error:
        if getattr(error.__cause__, "errno", None) not in NO_LOCKS:
            raise
        return True
    stack.callback(lock.release, force=True)
    stack.callback(path.unlink, missing_ok=True)  # whoever waits for it sees that it is gone, and makes a new one
    return True


def _lease(path: Path, patience: float, stack: ExitStack, is_stored: bool) -> bool:
    lease = _watched.setdefault(path, SoftFileLease(path, lease_duration=LEASE))
    if is_stored and _is_nameless(path):
        path.unlink(missing_ok=True)
    if not _is_acquired(lease, path, patience):
        _remove_if_silent(path)
        return False
    del _watched[path]
    _silent.pop(path, None)
    _remove_besides(path)
    stack.callback(lease.release)
    return True


def _is_nameless(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and not found.st_size


def _remove_if_silent(path: Path) -> None:
    """Remove a lease that nobody has touched for as long as a lease lasts, and which filelock has not taken over.

    filelock waits for ever if the owner was killed before it wrote a word. It also does so if a process was killed
    while it took a lease over, and another process has its number now.
    """
    try:
        found, now = path.lstat(), time.monotonic()
    except OSError:
        return
    state = found.st_ino, found.st_mtime_ns
    known, since = _silent.setdefault(path, (state, now))
    if known != state:
        _silent[path] = state, now
    elif now - since >= LEASE and stat.S_ISREG(found.st_mode):
        del _silent[path]
        _remove_besides(path)
        path.unlink(missing_ok=True)


def _remove_besides(path: Path) -> None:
    """Remove what was left beside a lease by who was killed while it took the lease over."""
    for left in (each for kind in ("break", "restore") for each in path.parent.glob(f"{path.name}.{kind}.*")):
        left.unlink(missing_ok=True)


def _is_acquired(lock: BaseFileLock, path: Path, patience: float) -> bool:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh(lambda: lock.acquire(timeout=patience))
        except FileNotFoundError:  # another process removed the folder, which was empty
            continue
        except Timeout:
            return False
        except OSError as error:
            raise cannot_write(path, error) from error
        return True


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
