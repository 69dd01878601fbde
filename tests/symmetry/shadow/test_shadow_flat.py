"""A channel with one value everywhere is seen."""

import pytest

from zeroinit.symmetry.shadow.flat import is_flat

from ..zoo import drawn

pytestmark = pytest.mark.usefixtures("without_type_checks")


def test_flat_channels():
    x = drawn(8, 4, 5)
    x[:, 2] = 0.1
    assert is_flat(x, (0, 2), 0.0)
    assert not is_flat(x, (1,), 0.5)
    assert not is_flat(drawn(8, 4, 5), (0, 2), 0.0)
    assert not is_flat(x[:0], (0, 2), 0.0)
