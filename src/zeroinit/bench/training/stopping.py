"""Somebody asks a process to end (Ctrl-C, SIGTERM, SIGHUP): runs save their state and end after the current update."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SIGNALS", "ask_to_stop", "asked_to_stop", "is_over", "stopping_on_signals"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_asked: list[int] = []


def asked_to_stop() -> int | None:
    """Return the number of the signal that asked this process to end; ``None`` if none did."""
    return _asked[0] if _asked else None


def is_over(deadline: float | None) -> bool:
    """Whether runs have to end: a deadline has passed (by ``time.monotonic``), or a signal asked for it."""
    return (deadline is not None and time.monotonic() >= deadline) or asked_to_stop() is not None


def ask_to_stop(number: int = signal.SIGTERM) -> None:
    """Ask the runs of this process to end, as a signal would."""
    _asked.append(int(number))


@contextmanager
def stopping_on_signals(repeated: bool = True) -> Iterator[None]:
    """Note signals in place of ending at once, until the block ends; only the main thread can.

    Args:
        repeated: Whether the second signal raises ``KeyboardInterrupt``, for who cannot wait.
    """
    _asked.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: object) -> None:
        ask_to_stop(number)
        if repeated and len(_asked) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in SIGNALS if not _is_ignored(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _is_ignored(number: int) -> bool:
    """Whether the process was started so that it outlives this signal, as by ``nohup``."""
    return os.name == "posix" and number != signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN
