"""Tell how far long work is: a bar with the time left in a terminal, else a plain line every ten seconds."""

import threading
import time
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

__all__ = ["EVERY", "Progress", "format_duration", "partly"]

EVERY = 10.0
"""Seconds between two plain lines."""

LEAST_SHARE = 0.03
"""Nothing is said of the time left before so much of the work is done."""


class Progress:
    """Shows what is going on, from a thread of its own: also while the program imports, waits or draws.

    Use it as a context manager, once or again after a pause. ``begin`` starts a phase, ``update`` says how much of it
    is done.

    Args:
        console: Where it is shown. A terminal gets a bar, everything else plain lines.
        every: Seconds between two plain lines.
    """

    def __init__(self, console: Console, every: float = EVERY):
        self.console = console
        self._every, self._text, self._share = every, "", 0.0
        self._started = self._phase = self._told = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        self._ended = threading.Event()
        if self.console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(20),
                TextColumn("{task.fields[left]}"),
            )
            self._bar = Bar(*columns, console=self.console, transient=True)
            self._bar.add_task("", total=None, left="")
        else:
            self._thread = threading.Thread(target=self._tell_again_and_again, daemon=True)
        try:
            shown = self._bar or self._thread
            assert shown is not None, "one of both was just made"
            shown.start()
        except RuntimeError:  # the system allows no more threads; the work goes on without a word
            self._bar = self._thread = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._thread is not None:
            self._thread.join()

    def begin(self, text: str) -> None:
        """Start a phase, as ``"drawing the report"``; how long it takes is not known until ``update`` is called."""
        self._phase = time.monotonic()
        self.update(0.0, text)

    def update(self, share: float, text: str) -> None:
        """Say that this share of the phase is done, from 0 to 1."""
        share = 1.0 if share > 1 - 1e-9 else share  # a sum of shares
        self._share, self._text = share, text
        if self._bar is not None:
            total = 1.0 if share else None
            is_new = share in (0.0, 1.0)  # shown at once, however soon the next comes
            bar = self._bar.task_ids[0]
            self._bar.update(bar, description=text, total=total, completed=share, left=self._left(), refresh=is_new)

    def print(self, message: str) -> None:
        """Print one line above the bar."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def _left(self) -> str:
        """Say how much is done and how much time is left; nothing where that is not known yet."""
        if not self._share:
            return ""
        passed = time.monotonic() - self._phase
        done = f"{100 * self._share:.0f} %"
        if self._share < LEAST_SHARE:
            return done
        return f"{done}, about {format_duration(passed * (1 - self._share) / self._share)} left"

    def _tell_again_and_again(self) -> None:
        while not self._ended.wait(max(0.0, self._told + self._every - time.monotonic())):
            self._told, left = time.monotonic(), self._left()
            seconds = self._told - self._started
            with suppress(OSError, ValueError):  # a closed stream ends nobody's work
                self.print(f"{format_duration(seconds)}: {self._text}{', ' * bool(left)}{left}")


def format_duration(seconds: float) -> str:
    """Write a duration in its largest sensible unit, with two digits or more.

    Example:
        >>> [format_duration(value) for value in (0.04, 3.21, 75, 400, 10_000, 400_000)]
        ['< 0.1 s', '3.2 s', '75 s', '6.7 min', '2.8 h', '4.6 days']
    """
    if seconds < 0.1:
        return "< 0.1 s"
    units = {"s": 1, "min": 60, "h": 3600, "days": 86400}
    unit = next(unit for unit, below in zip(units, (120, 7200, 172_800, float("inf")), strict=True) if seconds < below)
    value = seconds / units[unit]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def partly(part: int, whole: int) -> str:
    """Write how many of all runs something holds for, with the verb.

    Example:
        >>> partly(1, 4), partly(0, 1)
        ('1 of 4 runs is', '0 of 1 run are')
    """
    return f"{part:,} of {whole:,} run{'s' * (whole != 1)} {'is' if part == 1 else 'are'}"
