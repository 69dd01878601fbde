"""Data sets: fetched with a checksum, decoded once, handed over as uint8 images and labels.

To add a data set: write one file with a ``DatasetSpec`` (its raw files, their checksums, a decoder) and add one line to
``DATASETS``. Finding, verifying, fetching and caching are the same for all.
"""

import os

from zeroinit._common import lookup
from zeroinit.bench.data.augment import AUGMENTATIONS, augmentation
from zeroinit.bench.data.cifar10 import CIFAR10
from zeroinit.bench.data.dataset import Dataset
from zeroinit.bench.data.dataset_spec import DatasetSpec, Sizes
from zeroinit.bench.data.digits import DIGITS
from zeroinit.bench.data.files.source import DataSource
from zeroinit.bench.data.mnist import MNIST
from zeroinit.bench.data.pixels import PIXELS, pixel_transform
from zeroinit.bench.data.split import split_validation
from zeroinit.bench.data.status import DatasetStatus, status_of

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "PIXELS",
    "DataSource",
    "Dataset",
    "DatasetSpec",
    "DatasetStatus",
    "Sizes",
    "augmentation",
    "dataset_status",
    "load_dataset",
    "pixel_transform",
    "split_validation",
]

DATASETS: dict[str, DatasetSpec] = {
    "mnist": MNIST,
    "cifar10": CIFAR10,
    "digits": DIGITS,
}

Folder = str | os.PathLike[str] | None


def load_dataset(name: str, data_dir: Folder = None, *, download: bool = True, cache_dir: Folder = None) -> Dataset:
    """Load a data set by name.

    Args:
        name: A key of ``DATASETS``.
        data_dir: A torchvision root, used as it is; if ``None`` the variable ``ZEROINIT_DATA_DIR``. Where either is
            given nothing is ever fetched. A data set that comes with a library asks for no folder.
        download: Whether missing files may be fetched, where no data folder is given.
        cache_dir: Holds downloads and decoded arrays. If ``None``, the variable ``ZEROINIT_CACHE_DIR`` or the system's
            cache folder.

    Returns:
        Images and labels on the CPU.

    Raises:
        InputError: An unknown name, or raw files that are missing, damaged or cannot be fetched.

    Example:
        >>> load_dataset("digits").train_images.shape
        torch.Size([1347, 1, 8, 8])
    """
    spec = lookup(DATASETS, name, "dataset")
    return spec(DataSource.resolve(data_dir, cache_dir, download=download))


def dataset_status(name: str, data_dir: Folder = None, cache_dir: Folder = None) -> DatasetStatus:
    """Tell where a data set is, whether it is whole, and its counts and shapes; fetches and writes nothing.

    Args:
        name: A key of ``DATASETS``.
        data_dir: As in ``load_dataset``.
        cache_dir: As in ``load_dataset``.

    Returns:
        A record that prints as a few lines.

    Raises:
        InputError: An unknown name.

    Example:
        >>> print(dataset_status("digits"))
        digits: ready
          source: embedded in scikit-learn
          images: 1347 training, 450 test, 1×8×8, 10 classes
    """
    spec = lookup(DATASETS, name, "dataset")
    return status_of(spec, DataSource.resolve(data_dir, cache_dir, download=False, keep_decoded=False))
