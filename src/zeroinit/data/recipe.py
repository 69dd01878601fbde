"""From a data set's description to its tensors: verify, decode once, keep."""

from dataclasses import dataclass
from pathlib import Path

import torch

from zeroinit._common import InputError
from zeroinit.data.cache import cache_path, read_cache, write_cache
from zeroinit.data.dataset import Dataset
from zeroinit.data.source import Arrays, DataSource, Layout, read_verified

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """All that is known of a data set before it is loaded; calling it loads it.

    Attributes:
        name: A key of ``DATASETS``.
        layouts: The ways in which it lies on disk, in order of preference.
        num_classes: How many classes there are.
        peak: The largest value that a pixel can have.
        num_validation: How many training images a run holds out if it does not say.
    """

    name: str
    layouts: tuple[Layout, ...]
    num_classes: int
    peak: int
    num_validation: int = 0

    def __call__(self, source: DataSource) -> Dataset:
        """Load the data set.

        Files in a data folder are checked at every load, so that a damaged folder is reported and never hidden by the
        cache. Downloads were checked when they came; afterwards the decoded cache, named after their checksums, is enough.

        Raises:
            InputError: A raw file is missing, damaged or cannot be fetched, or the files do not fit together.
        """
        if not self.has_files:
            return self._to_dataset(self.layouts[0].decode({}))
        cache = self.cache_path(source)
        cached = read_cache(cache) if source.data_dir is None else None
        if cached is None:
            layout, contents = read_verified(self.name, self.layouts, source)
            cached = read_cache(cache) if source.data_dir is not None else None
            if cached is None:
                cached = layout.decode(contents)
                if source.keep_decoded:
                    write_cache(cache, cached)
        return self._to_dataset(cached)

    @property
    def has_files(self) -> bool:
        """Whether raw files are needed; the embedded data sets need none."""
        return any(layout.files for layout in self.layouts)

    def cache_path(self, source: DataSource) -> Path:
        """Where the decoded arrays are kept."""
        return cache_path(self.name, self.layouts, source.cache_dir)

    def _to_dataset(self, arrays: Arrays) -> Dataset:
        for part in ("train", "test"):
            num_images, num_labels = len(arrays[f"{part}_images"]), len(arrays[f"{part}_labels"])
            if num_images != num_labels:
                raise InputError(f"data set {self.name!r}: {num_images} {part} images but {num_labels} labels")
            largest = int(arrays[f"{part}_labels"].max(initial=0))
            if largest >= self.num_classes:
                raise InputError(f"data set {self.name!r}: {part} label {largest}, expected 0 to {self.num_classes - 1}")
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
