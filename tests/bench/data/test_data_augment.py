"""Augmentation: equal to a slow twin image by image, the same on every call order, and only what it says."""

import pytest
import torch

from zeroinit._common import InputError
from zeroinit.bench.data import AUGMENTATIONS, augmentation
from zeroinit.bench.data.augment import CropFlip
from zeroinit.bench.data.pixels import pixel_transform


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(1, 256, (64, 3, 6, 7), dtype=torch.uint8, generator=seeded(1))


def crop_flip_one_by_one(images: torch.Tensor, generator: torch.Generator, padding: int) -> torch.Tensor:
    """The slow twin: the same draws, then one image at a time."""
    batch, channels, height, width = images.shape
    offsets = torch.randint(2 * padding + 1, (2, batch, 1), generator=generator)
    mirrored = torch.rand(batch, 1, generator=generator) < 0.5
    results = []
    for number, image in enumerate(images):
        canvas = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
        canvas[:, padding : padding + height, padding : padding + width] = image
        top, left = offsets[0, number].item(), offsets[1, number].item()
        window = canvas[:, top : top + height, left : left + width]
        results.append(torch.flip(window, [2]) if mirrored[number] else window)
    return torch.stack(results)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_flip_equals_its_slow_twin(images, padding):
    changed = CropFlip(seeded(3), padding)(images)
    assert changed.dtype == torch.uint8
    assert torch.equal(changed, crop_flip_one_by_one(images, seeded(3), padding))
    assert not torch.equal(changed, crop_flip_one_by_one(images, seeded(4), padding))


def test_every_offset_and_both_directions_occur_equally_often():
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[0, 0, 4, 4], image[0, 0, 4, 5] = 255, 128
    changed = CropFlip(seeded(0), 2)(image.expand(20000, -1, -1, -1))
    rows = (changed[:, 0] == 255).any(dim=2).int().argmax(dim=1)
    columns = (changed[:, 0] == 255).any(dim=1).int().argmax(dim=1)
    assert rows.bincount(minlength=9).tolist()[:2] == [0, 0]
    for places in (rows, columns):
        share = places.bincount(minlength=9)[2:7] / len(places)
        assert (share - 0.2).abs().max() < 0.015
    after = changed[torch.arange(len(changed)), 0, rows, columns + 1]
    assert (after == 128).float().mean() == pytest.approx(0.5, abs=0.015)


def test_images_are_left_alone_and_calls_differ(images):
    before, change = images.clone(), CropFlip(seeded(0))
    assert not torch.equal(change(images), change(images))
    assert torch.equal(images, before)


def test_without_padding_a_pixel_is_only_mirrored(images):
    changed = CropFlip(seeded(0), 0)(images)
    same = (changed == images).flatten(1).all(dim=1)
    mirrored = (changed == images.flip(3)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 16 < same.sum() < 48


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_type_and_shape_and_the_global_random_state(images, name):
    state = torch.get_rng_state()
    change = augmentation(name, seeded(0))
    if change is not None:
        assert (change(images).shape, change(images).dtype) == (images.shape, torch.uint8)
    assert torch.equal(torch.get_rng_state(), state)


def test_errors():
    with pytest.raises(InputError, match=r"augmentation='crop': .*must be one of crop_flip, none"):
        augmentation("crop", seeded(0))
    with pytest.raises(InputError, match=r"padding=-1: must be at least 0"):
        CropFlip(seeded(0), -1)


def test_the_papers_pixel_constants():
    images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    seen = pixel_transform("cifar10", images, 255)(images)[0, :, 0, 0]
    expected = [(1 - mean) / std for mean, std in ((0.4914, 0.2023), (0.4822, 0.1994), (0.4465, 0.2010))]
    assert seen.tolist() == pytest.approx(expected, rel=1e-6)
    with pytest.raises(InputError, match=r"pixels='cifar10': is for images with 3 channels, .*choose 'standardized'"):
        pixel_transform("cifar10", images[:, :1], 255)
