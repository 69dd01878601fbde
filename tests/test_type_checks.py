"""The tests check types and shapes at each call of a function of the package, and inner functions once."""

import jaxtyping
import pytest
from beartype import beartype

from zeroinit._common import derive_seed


def test_a_function_of_the_package_is_checked_at_each_call():
    for _ in range(2):
        with pytest.raises(jaxtyping.TypeCheckError):
            derive_seed(1.5, "purpose")


def test_a_function_inside_another_is_checked_when_it_is_made_first():
    def make():
        @jaxtyping.jaxtyped(typechecker=beartype)
        def double(number: int) -> int:
            return 2 * number

        return double

    first, second = make(), make()
    assert first(2) == second(2) == 4
    with pytest.raises(jaxtyping.TypeCheckError):
        first("a")
    assert second("a") == "aa"


@pytest.mark.usefixtures("without_type_checks")
def test_nothing_is_checked_where_a_test_says_so():
    assert isinstance(derive_seed(1.5, "purpose"), int)
