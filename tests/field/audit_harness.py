"""Cases for ``audit``: models rebuilt from public reports in our own words, each with the right answer beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["CASES", "Case", "fault", "healthy"]


@dataclass(frozen=True)
class Case:
    """What ``audit`` is called with, and its right answer.

    Attributes:
        make: Returns the arguments of ``audit``.
        source: The public report it imitates, or ``"own"``.
        kind: Of the fault; a healthy model shares the kind of the fault that it looks like.
        code: Of the warning; empty for a healthy model.
        names: The parameters and buffers at fault, all of them.
        says: Words that the report holds: the reason.
    """

    make: Callable[[], dict[str, Any]]
    source: str
    kind: str
    code: str = ""
    names: tuple[str, ...] = ()
    says: str = ""


CASES: dict[str, Case] = {}


def fault(source: str, kind: str, code: str, names: str, says: str) -> Callable:
    """Register a function that returns arguments with a fault; names are separated by spaces."""

    def register(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        assert make.__name__ not in CASES
        CASES[make.__name__] = Case(make, source, kind, code, tuple(names.split()), says)
        return make

    return register


def healthy(source: str, kind: str) -> Callable:
    """Register a function that returns arguments without one."""
    return fault(source, kind, "", "", "")
