"""Fixtures for the tests of every room."""

from collections.abc import Callable

import jaxtyping
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """The networks here are tiny: a second thread only waits, up to a hundred times longer on busy cores."""
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> Callable[[int], torch.Generator]:
    """Makes generators from seeds, so that no test draws from torch's global one."""
    return lambda seed=0: torch.Generator().manual_seed(seed)


@pytest.fixture
def without_type_checks(monkeypatch):
    """Runs the test as a user's program runs: arguments of a wrong type reach the package's own checks."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
