"""Copies of single tensors: the values stay, the history goes, and only floats change their type."""

import pytest
import torch
from torch import nn

from zeroinit._modules.casting import cast, cast_other_kind


class Own(torch.Tensor):
    """A class of the user's own, made so that torch can copy it."""

    def new_empty(self, *sizes, **settings):
        return super().new_empty(*sizes, **settings).as_subclass(type(self))


class Stubborn(Own):
    """A class that knows one type alone."""

    def to(self, *arguments, **settings):
        raise NotImplementedError


@pytest.mark.parametrize("dtype", [None, torch.float64, torch.bfloat16])
def test_a_copy_has_values_of_its_own_and_no_history(dtype):
    weight = nn.Parameter(torch.ones(2))
    copied = cast(2 * weight, dtype)
    assert (copied.tolist(), copied.dtype, copied.requires_grad) == ([2, 2], dtype or torch.float32, False)
    copied.zero_()
    assert weight.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (torch.tensor([1]), torch.int64),
        (torch.tensor([True]), torch.bool),
        (torch.ones(1, dtype=torch.complex64), torch.complex128),
        (torch.ones(1, dtype=torch.float8_e4m3fn), torch.float8_e4m3fn),
    ],
)
def test_what_is_no_float_of_two_bytes_keeps_its_kind(values, expected):
    assert cast(values, torch.float64).dtype == expected


@pytest.mark.parametrize(("kind", "expected"), [(Own, torch.float64), (Stubborn, torch.float32)])
def test_another_class_stays_and_is_cast_where_it_can_be(kind, expected):
    value = torch.ones(2).as_subclass(kind)
    copied = cast_other_kind(value, torch.float64)
    assert (type(copied), copied.dtype) == (kind, expected)
    copied.zero_()
    assert value.sum() == 2


def test_another_class_with_a_history_is_copied_without_it():
    value = torch.ones(2, requires_grad=True).as_subclass(Own) * 3
    copied = cast_other_kind(value, None)
    assert (type(copied), copied.requires_grad, copied.tolist()) == (Own, False, [3, 3])
