"""Fixtures of the inspector's tests."""

from collections.abc import Callable

import pytest

from zeroinit.symmetry import SymmetryReport, inspect

from .zoo import Case, seeded


@pytest.fixture(scope="session")
def report_on() -> Callable[[str, Callable[[], Case]], SymmetryReport]:
    """Inspects each case once, whichever test asks for it first."""
    kept: dict[str, SymmetryReport] = {}

    def look(name: str, make: Callable[[], Case]) -> SymmetryReport:
        if name not in kept:
            case = seeded(make)
            kept[name] = inspect(case.model, case.inputs, case.targets, **case.settings)
        return kept[name]

    return look
