"""Fixtures for the tests of processes and signals."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _hangup_ends() -> Iterator[None]:
    """SIGHUP ends what these tests start, also where ``nohup`` started the tests and would hand on to ignore it."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
