"""Of all processes that share a folder of results, one computes a run, the others do not."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from zeroinit._common import InputError
from zeroinit.bench.spec import Run
from zeroinit.bench.store import Store

__all__ = ["claimed"]


@contextmanager
def claimed(store: Store, run: Run, seeds: Sequence[int], patience: float = 0.0) -> Iterator[bool]:
    """Claim a run with its seeds until the block ends, or until this process ends in whatever way.

    The operating system frees the claim of a process that is killed. The lock's file lies beside the results and is
    removed with the claim.

    Args:
        store: The folder of results.
        run: The settings.
        seeds: The seeds that are computed together.
        patience: Seconds to wait for another's claim.

    Yields:
        Whether this process has the claim.

    Raises:
        InputError: The folder cannot be written to.
    """
    path = store.path(run, seeds[0]).parent / f".seed-{'-'.join(map(str, seeds))}.lock"
    lock = _acquire(path, patience)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            path.unlink(missing_ok=True)  # whoever waits for it sees that it is gone, and makes a new one
            lock.release(force=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # of a run that left nothing


def _acquire(path: Path, patience: float) -> FileLock | None:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire(timeout=patience)
            return lock
        except FileNotFoundError:  # another process removed the folder, which was empty
            continue
        except Timeout:
            return None
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot write {path}: {reason}; choose a folder that can be written to") from error
