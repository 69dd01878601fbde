"""From a data set's description to its tensors: verify, decode once, keep."""

from dataclasses import dataclass
from pathlib import Path

import torch

from zeroinit._common import InputError
from zeroinit.bench.data.dataset import Dataset
from zeroinit.bench.data.files.cache import cache_path, read_cache, write_cache
from zeroinit.bench.data.files.source import Arrays, DataSource, Layout, read_verified

__all__ = ["DatasetSpec", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """How many images a data set has and of what shape, known before its files are at hand.

    Attributes:
        input_shape: Channels, height and width of one image.
        num_train: Training images, those held out included.
        num_test: Test images.
        num_test_majority: Test images of the most frequent class.
    """

    input_shape: tuple[int, int, int]
    num_train: int
    num_test: int
    num_test_majority: int

    @property
    def majority_share(self) -> float:
        """Share of the most frequent class among the test images: the best accuracy of a constant answer."""
        return self.num_test_majority / self.num_test


@dataclass(frozen=True)
class DatasetSpec:
    """All that is known of a data set before it is loaded. Call it to load the data set.

    Attributes:
        name: A key of ``DATASETS``.
        layouts: The forms in which the data set can lie on disk, in order of preference.
        sizes: Counts and shape of what its files hold.
        num_classes: How many classes there are.
        peak: The largest value that a pixel can have.
        num_validation: How many training images a run holds out if it does not say.
        embedded_in: The library that ships the data set; empty if it needs raw files.
    """

    name: str
    layouts: tuple[Layout, ...]
    sizes: Sizes
    num_classes: int
    peak: int
    num_validation: int = 0
    embedded_in: str = ""

    def __call__(self, source: DataSource) -> Dataset:
        """Load the data set; a data set that comes with a library needs no folder.

        Files in a data folder are checked at every load, so the cache never hides a damaged folder. Downloads are
        checked when they arrive. After that the decoded cache is enough, because it is named after their checksums.

        Raises:
            InputError: A raw file is missing, damaged or cannot be fetched, or the files do not fit together.
        """
        if self.embedded_in:
            return self._to_dataset(self.layouts[0].decode({}))
        cache = self.cache_path(source)
        if source.data_dir is None and (cached := read_cache(cache)):
            return self._to_dataset(cached)
        layout, contents = read_verified(self.name, self.layouts, source)
        if source.data_dir is not None and (cached := read_cache(cache)):
            return self._to_dataset(cached)
        decoded = layout.decode(contents)
        dataset = self._to_dataset(decoded)
        if source.keep_decoded:
            write_cache(cache, decoded)
        return dataset

    def cache_path(self, source: DataSource) -> Path:
        """Where the decoded arrays are kept."""
        return cache_path(self.name, self.layouts, source.cache_dir)

    def _to_dataset(self, arrays: Arrays) -> Dataset:
        self._check(arrays)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Dataset(
            name=self.name,
            train_images=tensors["train_images"],
            train_labels=tensors["train_labels"].long(),
            test_images=tensors["test_images"],
            test_labels=tensors["test_labels"].long(),
            num_classes=self.num_classes,
            peak=self.peak,
            num_validation=self.num_validation,
        )

    def _check(self, arrays: Arrays) -> None:
        """Refuse files that are whole one by one but do not belong together."""
        for part in ("train", "test"):
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
            if len(images) != len(labels):
                raise InputError(f"data set {self.name!r}: {len(images)} {part} images but {len(labels)} labels")
            largest = int(labels.max(initial=0))
            if largest >= self.num_classes:
                raise InputError(
                    f"data set {self.name!r}: {part} label {largest}, expected 0 to {self.num_classes - 1}"
                )
        train, test = arrays["train_images"].shape[1:], arrays["test_images"].shape[1:]
        if train != test:
            raise InputError(f"data set {self.name!r}: training images have shape {train} but test images {test}")
