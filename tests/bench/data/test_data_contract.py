"""What every data set promises, for each entry of the table that can be had without the network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from zeroinit._common import InputError
from zeroinit.bench import data
from zeroinit.bench.data import DATASETS, PIXELS, Dataset, Sizes, load_dataset, pixel_transform, split_validation


@pytest.fixture(params=sorted(DATASETS))
def dataset(request: pytest.FixtureRequest) -> Dataset:
    if DATASETS[request.param].embedded_in:
        return load_dataset(request.param)
    root: Path = request.getfixturevalue("mnist_root")
    cache: Path = request.getfixturevalue("large_cache")
    try:
        return load_dataset(request.param, root, cache_dir=cache)
    except InputError as error:
        pytest.skip(f"not at hand: {error}")


def test_shapes_types_and_ranges(dataset: Dataset) -> None:
    for images, labels in (
        (dataset.train_images, dataset.train_labels),
        (dataset.test_images, dataset.test_labels),
    ):
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert images.shape == (len(labels), *dataset.input_shape)
        assert images.is_contiguous()
        assert images.max() == dataset.peak
        assert labels.unique().tolist() == list(range(dataset.num_classes))
    assert 0 <= dataset.num_validation < len(dataset.train_images)


def test_the_spec_knows_the_sizes_before_the_files_are_there(dataset: Dataset) -> None:
    sizes = DATASETS[dataset.name].sizes
    most = int(dataset.test_labels.bincount().max())
    assert sizes == Sizes(dataset.input_shape, len(dataset.train_images), len(dataset.test_images), most)
    assert sizes.majority_share == most / len(dataset.test_labels)


def test_loading_twice_gives_the_same_in_memory_of_its_own(dataset: Dataset, large_cache: Path) -> None:
    again = load_dataset(dataset.name, cache_dir=large_cache, download=False)  # from the cache, or from the library
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        first, second = getattr(dataset, name), getattr(again, name)
        assert torch.equal(first, second)
        first.zero_()
        assert second.any()


def test_every_transform_and_the_split_take_it(dataset: Dataset) -> None:
    generator = torch.Generator().manual_seed(0)
    (images, _), (held_out, _) = split_validation(
        dataset.train_images, dataset.train_labels, dataset.num_validation, generator
    )
    assert len(images) + len(held_out) == len(dataset.train_images)
    for name in PIXELS if dataset.input_shape[0] == 3 else set(PIXELS) - {"cifar10"}:
        inputs = pixel_transform(name, images, dataset.peak)(dataset.test_images[:5])
        assert inputs.shape == (5, *dataset.input_shape)
        assert torch.isfinite(inputs).all()


def test_no_image_is_in_both_parts_of_the_digits() -> None:
    digits = load_dataset("digits")
    train = {image.numpy().tobytes() for image in digits.train_images}
    assert not train & {image.numpy().tobytes() for image in digits.test_images}


def test_global_random_state_neither_matters_nor_changes() -> None:
    first = load_dataset("digits")
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    second = load_dataset("digits")
    assert torch.equal(first.train_images, second.train_images)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_a_dataset_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="peak"):
        load_dataset("digits").peak = 1


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(
        InputError, match=r"dataset='mnits': did you mean 'mnist'\? It must be one of cifar10, digits, mnist"
    ):
        load_dataset("mnits")


def test_table_keys_are_names_and_public_names_exist() -> None:
    assert all(spec.name == name for name, spec in DATASETS.items())
    assert all(hasattr(data, name) for name in data.__all__)


def test_a_data_set_shows_facts_and_no_tensor(dataset: Dataset) -> None:
    text = repr(dataset)
    assert text.startswith(f"Dataset({dataset.name!r}: training images {len(dataset.train_images):,}, test images ")
    assert len(text) < 160
    html = dataset._repr_html_()
    assert f"<td>{'x'.join(map(str, dataset.input_shape))}</td>" in html
    assert len(html) < 600
    for shown in (text, html):
        assert "tensor" not in shown
        assert "\n" not in shown
