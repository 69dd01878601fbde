"""The pixel transforms equal a loop in double precision."""

import pickle

import pytest
import torch
from torch import Tensor

from zeroinit._common import InputError
from zeroinit.bench.data import PIXELS, pixel_transform
from zeroinit.bench.data.pixels import StandardizedPixels, UnitPixels, channel_moments


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, 4, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def transform_slowly(name: str, batch: Tensor, images: Tensor, peak: int) -> Tensor:
    """The twin: one pixel at a time, in double precision."""
    result = torch.empty(batch.shape, dtype=torch.float64)
    for channel in range(batch.shape[1]):
        seen = [float(value) for value in images[:, channel].flatten()]
        mean = sum(seen) / len(seen)
        std = (sum((value - mean) ** 2 for value in seen) / len(seen)) ** 0.5
        published = ((0.4914, 0.2023), (0.4822, 0.1994), (0.4465, 0.2010))[channel]
        shift, scale = {
            "unit": (0.0, float(peak)),
            "standardized": (mean, std),
            "cifar10": (published[0] * peak, published[1] * peak),
        }[name]
        for place in torch.cartesian_prod(*(torch.arange(size) for size in batch[:, 0].shape)).tolist():
            where = (place[0], channel, *place[1:])
            result[where] = (float(batch[where]) - shift) / scale
    return result


@pytest.mark.parametrize(
    ("name", "channels"), [*((name, 3) for name in sorted(PIXELS)), ("unit", 1), ("standardized", 1)]
)
def test_transform_equals_the_loop(name: str, channels: int, images: Tensor) -> None:
    images = images[:, :channels]
    batch = images[1:3].clone()
    inputs = pixel_transform(name, images, 255)(batch)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs.double(), transform_slowly(name, batch, images, 255), rtol=1e-6, atol=1e-6)
    assert torch.equal(batch, images[1:3])


def test_unit_is_the_correctly_rounded_quotient() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(UnitPixels(255)(levels), (levels.double() / 255).float())
    assert UnitPixels(16)(levels[:, :, :1]).max() == 15 / 16


def test_standardized_training_images_have_mean_0_and_deviation_1(images: Tensor) -> None:
    inputs = pixel_transform("standardized", images, 255)(images).double()
    torch.testing.assert_close(inputs.mean(dim=(0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(inputs.std(dim=(0, 2, 3), correction=0), torch.ones(3).double(), rtol=0, atol=1e-6)


def test_moments_equal_torch_in_double_precision(images: Tensor) -> None:
    mean, std = channel_moments(images)
    torch.testing.assert_close(mean, images.double().mean(dim=(0, 2, 3)), rtol=1e-14, atol=0)
    torch.testing.assert_close(std, images.double().std(dim=(0, 2, 3), correction=0), rtol=1e-13, atol=0)


def test_moments_come_from_the_given_images_only(images: Tensor) -> None:
    transform = pixel_transform("standardized", images[:3], 255)
    assert transform.mean != pixel_transform("standardized", images, 255).mean
    transform(images)
    assert transform.mean == pixel_transform("standardized", images[:3], 255).mean


@pytest.mark.parametrize("name", sorted(PIXELS))
def test_stacked_batches_equal_single_ones(name: str, images: Tensor) -> None:
    transform = pixel_transform(name, images, 255)
    stacked = transform(images.reshape(2, 3, 3, 4, 5))
    assert torch.equal(stacked.flatten(0, 1), transform(images))
    assert torch.equal(torch.func.vmap(transform)(images.reshape(2, 3, 3, 4, 5)), stacked)


@pytest.mark.parametrize("name", sorted(PIXELS))
def test_default_dtype_does_not_matter(name: str, images: Tensor) -> None:
    expected = pixel_transform(name, images, 255)(images)
    torch.set_default_dtype(torch.float64)
    try:
        found = pixel_transform(name, images, 255)(images)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(expected, found)


@pytest.mark.parametrize("name", sorted(PIXELS))
def test_transform_can_be_pickled_and_printed(name: str, images: Tensor) -> None:
    transform = pixel_transform(name, images, 255)
    expected = transform(images)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(images), expected)
    assert repr(copy) == repr(transform)
    assert repr(StandardizedPixels((33.31842,), (78.567489,))) == "StandardizedPixels(mean=(33.3184,), std=(78.5675,))"


def test_constants_are_built_once(images: Tensor, monkeypatch) -> None:
    transform = pixel_transform("standardized", images, 255)
    expected = transform(images)
    monkeypatch.setattr(torch, "tensor", None)
    assert torch.equal(transform(images), expected)


@pytest.mark.parametrize("name", sorted(PIXELS))
def test_inputs_are_refused_as_images(name: str, images: Tensor) -> None:
    transform = pixel_transform(name, images, 255)
    with pytest.raises(InputError, match=r"have dtype torch\.float32; the transform takes stored pixels"):
        transform(transform(images))


def test_unusable_arguments_are_refused(images: Tensor) -> None:
    with pytest.raises(
        InputError, match=r"pixels='unti': did you mean 'unit'\? It must be one of cifar10, standardized, unit"
    ):
        pixel_transform("unti", images, 255)
    with pytest.raises(InputError, match="peak=0: must be at least 1"):
        pixel_transform("unit", images, 0)
    with pytest.raises(InputError, match=r"std=\(0\.0,\): must be one positive number per channel.*pixels='unit'"):
        pixel_transform("standardized", torch.ones(2, 1, 3, 3, dtype=torch.uint8), 255)
    with pytest.raises(InputError, match="needs at least one pixel"):
        pixel_transform("standardized", images[:0], 255)


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(PIXELS))
def test_cuda_equals_cpu(name: str, images: Tensor) -> None:
    transform = pixel_transform(name, images.cuda(), 255)
    assert repr(transform) == repr(pixel_transform(name, images, 255))
    torch.testing.assert_close(transform(images.cuda()).cpu(), transform(images), rtol=1e-6, atol=1e-6)
