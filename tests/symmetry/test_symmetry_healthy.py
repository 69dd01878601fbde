"""Models with nothing wrong get no warning."""

import pytest

from zeroinit.symmetry import inspect

from .hub import HUB
from .zoo import HEALTHY, seeded

ALL = HEALTHY | HUB


@pytest.mark.parametrize("name", ALL)
def test_no_warning(name):
    case = seeded(ALL[name])
    report = inspect(case.model, case.inputs, case.targets, **case.settings)
    assert [str(finding) for finding in report.warnings] == []
    assert report.notes == ()
