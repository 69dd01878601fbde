"""Models with nothing wrong get no warning."""

import pytest

from .hub import HUB
from .zoo import HEALTHY

pytestmark = pytest.mark.usefixtures("without_type_checks")  # four times as fast; other files keep them

ALL = HEALTHY | HUB


@pytest.mark.parametrize("name", ALL)
def test_no_warning(name, report_on):
    report = report_on(name, ALL[name])
    assert [str(finding) for finding in report.warnings] == []
    assert report.notes == ()
    assert all(len(line) <= 100 for line in str(report).splitlines())
