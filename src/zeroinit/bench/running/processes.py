"""Runs in several processes of this machine. If a process dies, its run is tried again, and the other runs go on."""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from zeroinit._common import InputError
from zeroinit.bench.running.allocator import keep_freed_memory
from zeroinit.bench.running.task import Attempt, Options, Progress, Tell, outcome_of, settle
from zeroinit.bench.training.stopping import SIGNALS, ask_to_stop, asked_to_stop

__all__ = ["run_in_processes", "show_warnings_in_one_line"]

GRACE = 4.0
"""Seconds in which runs that are asked to end save their state."""

KILLED = -9
"""The exit code of a process that the system ended, as it does if memory is short."""

NO_GUARD = (
    ': it ran the file of your program again; call zeroinit there under `if __name__ == "__main__":`, or with jobs=1'
)

ENDS = ("failed", "stopped")
"""Outcomes after which a process ends; another one tries again."""


def show_warnings_in_one_line() -> None:
    """Show the warnings of this package without the place in its source, until the program ends."""
    plain = warnings.formatwarning
    if plain.__module__ == __name__:
        return

    def told(message, category, *place, **line) -> str:
        if category.__module__.partition(".")[0] != "zeroinit":
            return plain(message, category, *place, **line)
        return f"zeroinit: warning: {message}\n"

    warnings.formatwarning = told


def _serve(connection: Connection) -> None:
    """Carry out what the parent sends, until it hangs up. After an error this process ends: a new one tries again.

    Nor does it go on if somebody asks it alone to end, as a guard of the memory does. Ctrl-C reaches the whole group of
    processes; only the parent answers it, and asks its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in SIGNALS[1:]:
        signal.signal(number, lambda number, frame: ask_to_stop(number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    show_warnings_in_one_line()
    while True:
        try:
            attempt, options = connection.recv()
        except EOFError:
            return
        outcome = outcome_of(attempt, options, lambda *done: connection.send(("progress", done)))
        connection.send(outcome)
        if outcome[0] in ENDS:
            return


def _end_with_parent() -> None:
    """End with the parent, however it ended: without a parent, a worker would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _Worker:
    """A process of its own, with at most one attempt at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.attempt: Attempt | None = None
        try:
            with _ctrl_c_held():
                self.process.start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"jobs: the system starts no further process ({reason}); ask for jobs=1") from error
        theirs.close()  # so that the end of the process is the end of the connection

    def give(self, attempt: Attempt, options: Options) -> None:
        self.attempt = attempt
        with suppress(BrokenPipeError):  # it was killed as it started; `hear` tells how
            self.connection.send((attempt, options))

    def hear(self) -> tuple:
        """Return what the process says next; its death is a failure, too."""
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return "failed", _how_it_ended(self.process.exitcode or 0), ""
        return said


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}{NO_GUARD * (code == 1 and _lacks_guard())}"
    name = next((each.name for each in signal.Signals if each == -code), f"signal {-code}")
    return f"its process was killed by {name}{' (often: out of memory)' * (code == KILLED)}"


def _lacks_guard() -> bool:
    """Whether the program's own file does all its work when a process of ours imports it."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    try:
        return program is not None and "__name__" not in Path(program).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return program == "<stdin>"


def run_in_processes(attempts: Sequence[Attempt], options: Options, most: int, progress: Progress, tell: Tell) -> None:
    """Carry out attempts in several processes; return when all are done, given up, or saved because somebody asked.

    Args:
        attempts: In the order of running. What fails is tried again at the end.
        options: As in ``carry_out``.
        most: Number of processes. One fewer after the system killed one, as it does if memory is short.
        progress: Called in this process after each epoch of each task.
        tell: Called with each task that fails.

    Raises:
        InputError: As ``carry_out`` raises; the other runs save their state.
    """
    waiting, workers, end, refusal = deque(attempts), set[_Worker](), math.inf, None
    try:
        while (waiting or any(worker.attempt for worker in workers)) and time.monotonic() < end:
            if end == math.inf and (refusal is not None or asked_to_stop() is not None):
                end = time.monotonic() + GRACE
                for worker in workers:
                    worker.process.terminate()  # noted, not obeyed: see _serve
            if end < math.inf or options.is_out_of_time:
                waiting.clear()
            _hand_out(waiting, workers, most, options)
            for worker, attempt in _those_that_speak(workers):
                said, *words = outcome = worker.hear()
                if said == "progress":
                    progress(*words[0])
                    continue
                worker.attempt = None
                if end == math.inf and asked_to_stop() is not None:  # as this process was, just now
                    continue
                if said in ENDS and end == math.inf:
                    workers.discard(worker)
                    most = max(1, most - (worker.process.exitcode == KILLED))
                try:
                    waiting += settle(outcome, attempt, options, tell) if end == math.inf else []
                except InputError as error:
                    refusal = error
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.kill()  # what it has done is stored, and an orderly end takes a second of computing
        for worker in workers:
            worker.process.join()
    if refusal is not None:
        raise refusal


def _hand_out(waiting: deque[Attempt], workers: set[_Worker], most: int, options: Options) -> None:
    """Give attempts to those without one, and start more processes as long as there are attempts.

    Raises:
        InputError: The system starts not even one process.
    """
    free = [worker for worker in workers if worker.attempt is None and worker.process.is_alive()]
    busy = sum(worker.attempt is not None for worker in workers)
    while waiting and busy < most:
        try:
            worker = free.pop() if free else _Worker()
        except InputError:
            if not busy:
                raise
            return  # those that run go on
        workers.add(worker)
        worker.give(waiting.popleft(), options)
        busy += 1


def _those_that_speak(workers: set[_Worker]) -> list[tuple[_Worker, Attempt]]:
    busy: dict[Any, tuple[_Worker, Attempt]] = {
        worker.connection: (worker, worker.attempt) for worker in workers if worker.attempt is not None
    }
    return [busy[each] for each in wait(list(busy), timeout=0.1)]


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends: no signal is lost, and what starts meanwhile never gets one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its own start would let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
