"""The held-out split is a partition that depends on its generator alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zeroinit._common import InputError
from zeroinit.bench.data import split_validation


def numbered(num_images: int) -> tuple[Tensor, Tensor]:
    """Images and labels that both carry the image's number."""
    numbers = torch.arange(num_images)
    return numbers.to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2), numbers


def split(num_images: int, num_validation: int, seed: int = 0):
    return split_validation(*numbered(num_images), num_validation, torch.Generator().manual_seed(seed))


@given(st.data())
def test_split_is_a_partition_in_stored_order(data: st.DataObject) -> None:
    num_images = data.draw(st.integers(1, 200))
    num_validation = data.draw(st.integers(0, num_images - 1))
    parts = split(num_images, num_validation, seed=data.draw(st.integers(0, 9)))
    assert [len(labels) for _, labels in parts] == [num_images - num_validation, num_validation]
    for images, labels in parts:
        assert torch.equal(images[:, 0, 0, 0].long(), labels)
        assert labels.tolist() == sorted(labels.tolist())
    assert sorted(torch.cat([labels for _, labels in parts]).tolist()) == list(range(num_images))


def test_same_seed_same_split_and_another_seed_another() -> None:
    held_out = [split(100, 20, seed)[1][1].tolist() for seed in (0, 0, 1)]
    assert held_out[0] == held_out[1] != held_out[2]


def test_global_seed_neither_matters_nor_advances() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = split(100, 20)[1][1]
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, split(100, 20)[1][1])


def test_every_image_is_as_likely_to_be_held_out() -> None:
    counts = torch.zeros(10)
    for seed in range(400):
        counts[split(10, 3, seed)[1][1]] += 1
    assert (counts / 400 - 0.3).abs().max() < 4 * (0.3 * 0.7 / 400) ** 0.5


def test_nothing_held_out_leaves_the_images_as_they_are() -> None:
    (images, labels), (held_out, held_out_labels) = split(10, 0)
    assert torch.equal(images, numbered(10)[0])
    assert torch.equal(labels, numbered(10)[1])
    assert held_out.shape == (0, 1, 2, 2)
    assert held_out_labels.shape == (0,)
    assert held_out.dtype == torch.uint8


@pytest.mark.parametrize("num_validation", [-1, 10, 11])
def test_counts_out_of_range_are_refused(num_validation: int) -> None:
    with pytest.raises(InputError, match=rf"^num_validation={num_validation}: must be from 0 to 9, with 10 images"):
        split(10, num_validation)


def test_lengths_must_agree() -> None:
    images, labels = numbered(10)
    with pytest.raises(InputError, match="have lengths 10 and 9"):
        split_validation(images, labels[:-1], 3, torch.Generator())
