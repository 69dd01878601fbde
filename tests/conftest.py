"""Fixtures for all tests."""

import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jaxtyping
import pytest

from .type_checks import checked

if TYPE_CHECKING:
    import torch

MOST_KILLS = 6
jaxtyping.jaxtyped = checked
gc.set_threshold(10_000, 20, 100)
"""Modules and collected tests outlive every test: to look through them more often took 8 % of the time."""


@pytest.fixture
def generator() -> "Callable[[int], torch.Generator]":
    """Makes generators from seeds, so that no test draws from torch's global one."""
    import torch

    return lambda seed=0: torch.Generator().manual_seed(seed)


@pytest.fixture
def without_type_checks(monkeypatch):
    """Runs the test as a user's program runs: arguments of a wrong type reach the package's own checks."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def kill_server() -> Iterator[subprocess.Popen]:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    server = Path(__file__).with_name("kill_server.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def kill_until_done(kill_server) -> Callable[..., int]:
    """Runs a function of a file in a process of its own again and again, killed at random moments, until it ends.

    It lives for one to three states each time and a moment of random length more, so that a run of twenty steps is
    killed several times, however busy the machine is; returns how often it was.
    """

    def order(file: Path, function: str, arguments: list, kill: tuple | None) -> int:
        line = {"file": str(file), "function": function, "arguments": arguments, "kill": kill}
        kill_server.stdin.write(json.dumps(line) + "\n")
        kill_server.stdin.flush()
        return int(kill_server.stdout.readline())

    def run(file: Path, function: str, undisturbed: list, killed: list, folder: Path) -> int:
        assert order(file, "ready", [], None) == 0  # what it needs is imported by then
        began = time.monotonic()
        assert order(file, function, undisturbed, None) == 0
        seconds = (time.monotonic() - began) / 20
        for number in range(100):
            life = (random.randint(1, 3), random.uniform(0, seconds))
            kill = (str(folder), *life) if number < MOST_KILLS else None
            status = order(file, function, killed, kill)
            if status == 0:
                return number
            assert status == -9
        raise AssertionError("it never ends")

    return run
