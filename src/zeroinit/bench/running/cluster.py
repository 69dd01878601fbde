"""Runs on a Ray cluster: each is a task of Ray's that stores its own result in the shared folder of results.

Ray places the tasks, and starts a task again if its process or its node dies. Nodes need this package and the folders.
"""

import logging
import math
import socket
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from zeroinit._common import InputError
from zeroinit._imports import import_extra
from zeroinit.bench.running.task import TRIES, Attempt, Options, Progress, Tell, describe, outcome_of, settle
from zeroinit.bench.spec import Run
from zeroinit.bench.training.stopping import asked_to_stop, stopping_on_signals
from zeroinit.bench.work import memory_of

__all__ = ["ClusterWarning", "needs", "run_on_ray", "taken"]

GRACE = 10.0
"""Seconds in which runs that are asked to end save their state, on other machines, too."""

PROCESS = 2**29
"""Bytes of a process that has imported torch."""

GPU = 2**34
"""Bytes of a GPU's memory, at least: Ray does not say how many a node's GPU has."""

MOST_ON_GPU = 4
"""Runs that share a GPU."""

PATIENCE = 10.0
"""Seconds in which a cluster's head node must take a connection."""

WAIT = 5.0
"""Seconds without a free place in a cluster, after which the user is told."""


class ClusterWarning(UserWarning):
    """Runs wait for others of the cluster."""


def run_on_ray(attempts: Sequence[Attempt], options: Options, progress: Progress, tell: Tell) -> None:
    """Carry out attempts on the cluster at ``options.address``; return when all are done, given up or saved.

    Args:
        attempts: In the order of running.
        options: As in ``carry_out``. Folders are the same on every node.
        progress: Called in this process after each task.
        tell: Called with each task that fails.

    Raises:
        InputError: Ray is not installed, no cluster answers, or as ``carry_out`` raises.
    """
    ray = import_extra("ray", "cluster")
    was_there = ray.is_initialized()
    if not was_there:
        _refuse_silence(options.address or "")
        try:
            ray.init(options.address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"address={options.address!r}: no Ray cluster answers ({reason}); try auto") from error
    try:
        if asked_to_stop() is None:
            with stopping_on_signals():  # again: Ray has put its own handlers in place
                _follow(ray, attempts, _absolute(options), progress, tell)
    finally:
        if not was_there:
            ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Refuse ``host:port`` where nobody listens; Ray itself would try for minutes.

    Raises:
        InputError: No connection within ``PATIENCE`` seconds.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"address={address!r}: no Ray cluster answers ({error}); `ray status` on its head node tells the address"
        ) from error


def _absolute(options: Options) -> Options:
    """Return options as other machines take them; the deadline by the clock of the day, which all of them have."""
    data, logs = (folder and folder.absolute() for folder in (options.data_dir, options.tensorboard))
    end = None if options.deadline is None else options.deadline - time.monotonic() + time.time()
    return replace(options, results=options.results.absolute(), data_dir=data, tensorboard=logs, deadline=end)


def _follow(ray: Any, attempts: Sequence[Attempt], options: Options, progress: Progress, tell: Tell) -> None:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    work, running = ray.remote(max_retries=TRIES - 1)(_work), dict[Any, Attempt]()

    def submit(attempt: Attempt) -> None:
        needed = needs(attempt.tasks[0].run, nodes, options.device)
        running[work.options(**needed).remote(replace(attempt, threads=needed["num_cpus"]), options)] = attempt

    _tell_what_is_taken(ray, needs(attempts[0].tasks[0].run, nodes, options.device))
    for attempt in attempts:
        submit(attempt)
    end, refusal = math.inf, None
    while running and time.monotonic() < end:
        if end == math.inf and (refusal is not None or asked_to_stop() is not None):
            end = time.monotonic() + GRACE
            for each in running:
                ray.cancel(each)  # as Ctrl-C there: a run notes it and saves its state
        for done in ray.wait(list(running), timeout=0.5)[0]:
            attempt = running.pop(done)
            try:
                outcome = ray.get(done)
            except ray.exceptions.RayError as error:  # of the last try: Ray did the others
                reason, details = describe(error)
                attempt, outcome = replace(attempt, reasons=(reason,) * (TRIES - 1)), ("failed", reason, details)
            for task in attempt.tasks if outcome == ("ended", True) and end == math.inf else ():
                progress(task, task.run.epochs)
            try:
                for each in settle(outcome, attempt, options, tell) if end == math.inf else []:
                    submit(each)
            except InputError as error:
                refusal = error
    if refusal is not None:
        raise refusal


def _tell_what_is_taken(ray: Any, needed: Mapping[str, float]) -> None:
    """Warn if no run can begin, as others have all that the cluster has: Ray would wait without a word."""
    begin = time.monotonic()
    while words := taken(needed, ray.available_resources(), ray.cluster_resources()):
        if time.monotonic() >= begin + WAIT or asked_to_stop() is not None:
            warnings.warn(
                f"the cluster begins no run yet: the first one waits for {words}", ClusterWarning, stacklevel=2
            )
            return
        time.sleep(0.5)


def taken(needed: Mapping[str, float], free: Mapping[str, float], there: Mapping[str, float]) -> str:
    """Say what a run has to wait for; nothing if it can begin.

    Args:
        needed: As in ``needs``.
        free: What is free on all nodes together, as Ray names it.
        there: What all nodes have.

    Example:
        >>> taken({"num_cpus": 1, "memory": 2**29}, {"memory": 2.0**33}, {"CPU": 4.0, "memory": 2.0**34})
        '1 CPU (0 of 4 are free)'
    """
    units = {"num_cpus": ("CPU", 1, "CPU"), "num_gpus": ("GPU", 1, "GPU"), "memory": ("memory", 2**30, "GiB of memory")}
    found = []
    for name, (key, size, words) in units.items():
        if needed.get(name, 0) > free.get(key, 0):
            numbers = (f"{each / size:.3g}" for each in (needed[name], free.get(key, 0), there.get(key, 0)))
            found.append("{0} {3} ({1} of {2} are free)".format(*numbers, words))
    return ", ".join(found)


def _work(attempt: Attempt, options: Options) -> tuple:
    """Carry out an attempt on a node."""
    if options.deadline is not None:
        options = replace(options, deadline=options.deadline - time.time() + time.monotonic())
    if options.remote is not None:  # another home
        options = replace(options, results=options.remote.folder)
    with stopping_on_signals(repeated=False):
        return outcome_of(attempt, options, lambda task, epoch: None)


def needs(run: Run, nodes: Sequence[Mapping[str, float]], device: str) -> dict[str, Any]:
    """Say what a run asks Ray for: a CPU, memory by estimate, and a share of a GPU where there is one.

    One CPU is one thread, whatever the cluster has: a run that another node goes on with needs the same number.

    Args:
        run: The settings.
        nodes: What each node has, as Ray names it.
        device: As in ``choose_device``.

    Returns:
        Arguments of a Ray task. If no node has as much memory, all that one has.

    Example:
        >>> needs(Run(), [{"CPU": 8.0, "GPU": 1.0, "memory": 2.0**29}], "auto")
        {'num_cpus': 1, 'memory': 536870912, 'num_gpus': 0.25}
    """
    estimate, most = PROCESS + memory_of(run), max((node.get("memory", math.inf) for node in nodes), default=math.inf)
    needed: dict[str, Any] = {"num_cpus": 1, "memory": int(min(estimate, most))}
    if device != "cpu" and any(node.get("GPU") for node in nodes):
        needed["num_gpus"] = round(min(1.0, max(1 / MOST_ON_GPU, estimate / GPU)), 2)
    return needed
