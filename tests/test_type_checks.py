"""The tests check types and shapes at each call of a function of the package, and inner functions once."""

from collections.abc import Iterator
from dataclasses import dataclass

import jaxtyping
import pytest
import torch
from beartype import beartype
from jaxtyping import Float
from torch import Tensor

from zeroinit._common import derive_seed
from zeroinit.symmetry.measures.diversity import distinct_rows


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


@jaxtyping.jaxtyped(typechecker=beartype)
@dataclass
class Pair:
    first: int
    second: "Pair | None" = None

    @property
    @jaxtyping.jaxtyped(typechecker=beartype)
    def name(self) -> str:
        return self.first

    @jaxtyping.jaxtyped(typechecker=beartype)
    def taken(self, number: int, /, *others: int, name: str = "a", **more: float) -> int:
        return number


@jaxtyping.jaxtyped(typechecker=beartype)
def scores(rows: Float[Tensor, "rows columns"], factors: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    return rows.sum(1) * factors


@jaxtyping.jaxtyped(typechecker=beartype)
def counted(number: int) -> Iterator[int]:
    yield number


@pytest.mark.parametrize(
    "call",
    [
        lambda: Pair("a"),
        lambda: Pair(1).name,
        lambda: Pair(1).taken("a"),
        lambda: Pair(1).taken(1, "a"),
        lambda: Pair(1).taken(1, name=2),
        lambda: Pair(1).taken(1, more="a"),
        lambda: counted("a"),
        lambda: scores(torch.ones(2, 3), torch.ones(3)),
        lambda: scores(torch.ones(2), torch.ones(2)),
        lambda: distinct_rows([[1.0]], torch.float32),
    ],
)
def test_arguments_results_fields_and_shapes_are_checked(call):
    with pytest.raises(jaxtyping.TypeCheckError):
        call()


def test_what_is_right_passes():
    assert Pair(1, Pair(2)).taken(1, 2, name="b", more=1.5) == 1
    assert list(counted(3)) == [3]
    assert scores(torch.ones(2, 3), torch.ones(2)).tolist() == [3, 3]
    with pytest.raises(TypeError, match="taken"):
        Pair(1).taken()


def test_an_error_of_the_function_itself_is_its_own():
    @jaxtyping.jaxtyped(typechecker=beartype)
    def failing(number: int) -> int:
        raise ValueError(number)

    with pytest.raises(ValueError, match="3"):
        failing(3)
