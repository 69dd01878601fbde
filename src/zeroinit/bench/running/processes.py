"""Groups of tasks in several processes of this machine."""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import repeat
from multiprocessing.queues import Queue

import torch

from zeroinit._common import InputError
from zeroinit.bench.running.allocator import keep_freed_memory
from zeroinit.bench.running.task import Options, Progress, Task, carry_out
from zeroinit.bench.training.stopping import SIGNALS, ask_to_stop, asked_to_stop

__all__ = ["run_in_processes"]

GRACE = 4.0
"""Seconds in which runs that are asked to end save their state."""

_messages: Queue | None = None


def _start_worker(messages: Queue) -> None:
    """Prepare a worker process. Ctrl-C reaches the whole group; only the parent answers it, and asks its workers."""
    global _messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in SIGNALS[1:]:
        signal.signal(number, lambda number, frame: ask_to_stop(number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    _messages = messages


def _end_with_parent() -> None:
    """End with the parent, however it ended: without a parent, a worker would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(tasks: tuple[Task, ...], options: Options, threads: int, wait: bool) -> bool:
    assert _messages is not None
    torch.set_num_threads(threads)
    messages = _messages
    return carry_out(tasks, options, lambda done, epoch: messages.put((done, epoch)), wait)


def run_in_processes(todo: list[tuple[Task, ...]], options: Options, jobs: int, progress: Progress, cores: int) -> None:
    """Carry out groups of tasks in several processes; return when all are done, or saved because somebody asked.

    Args:
        todo: Seeds of one run each.
        options: As of ``carry_out``.
        jobs: Number of processes.
        progress: Called in this process after each epoch of each task.
        cores: Number of threads that the processes share.

    Raises:
        InputError: As ``carry_out`` raises, or a worker process died.
    """
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(messages,))
    try:
        for wait in (False, True):  # what other processes compute is waited for at the end
            threads = _share_threads(len(todo), jobs, cores)
            with _ctrl_c_ignored():  # by the new processes, too, while they import what they need
                futures = [pool.submit(_work, *each, wait) for each in zip(todo, repeat(options), threads)]
            _follow(futures, messages, progress, lambda: _ask(set(multiprocessing.active_children()) - others))
            if asked_to_stop() is not None:
                return
            todo = [tasks for tasks, future in zip(todo, futures, strict=True) if not future.result()]
        pool.shutdown()
    except BrokenProcessPool as error:
        raise InputError(
            f"jobs={jobs}: a worker process died (often: out of memory); finished runs are stored; start again with "
            "fewer jobs"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        workers = set(multiprocessing.active_children()) - others
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()


def _ask(workers: Iterable[multiprocessing.process.BaseProcess]) -> None:
    """Ask workers to save the state of their runs and to end them."""
    for worker in workers:
        worker.terminate()  # noted, not obeyed: see _start_worker


def _share_threads(num_tasks: int, jobs: int, cores: int) -> list[int]:
    """Return each task's number of threads, at least 1; the tasks of the last round get more threads each.

    Example:
        >>> _share_threads(5, jobs=2, cores=2)
        [1, 1, 1, 1, 2]
    """
    last_round = num_tasks % jobs
    full_rounds = [max(1, cores // jobs)] * (num_tasks - last_round)
    return full_rounds + [max(1, cores // last_round) for _ in range(last_round)]


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python allows it there only
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)


def _follow(futures: list[Future], messages: Queue, progress: Progress, ask: Callable[[], None]) -> None:
    """Pass every message on until every future is done; raise a worker's error at once.

    If this process is asked to end, its workers are asked by ``ask``, and have some seconds to save their state.
    """
    waiting, is_quiet, end = set(futures), False, float("inf")
    while (waiting or not is_quiet) and time.monotonic() < end:
        try:
            progress(*messages.get(timeout=0.1))
            is_quiet = False
        except queue.Empty:
            is_quiet = True
        if asked_to_stop() is not None and end == float("inf"):
            end = time.monotonic() + GRACE
            for future in futures:
                future.cancel()
            ask()
        done = {future for future in waiting if future.done()}
        waiting -= done
        for future in done:
            if not future.cancelled():
                future.result()
            is_quiet = False
