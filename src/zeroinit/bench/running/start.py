"""The start of a run: its network, its images, and its streams of random numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from zeroinit._common import InputError
from zeroinit.bench.data import Dataset, augmentation, load_dataset, pixel_transform, split_validation
from zeroinit.bench.network import PROBED, hash_model, needs_batch, start_model, stream
from zeroinit.bench.spec import Run

__all__ = ["Start", "load", "prepare"]

load = lru_cache(maxsize=2)(load_dataset)


@dataclass(frozen=True)
class Start:
    """The start of one seed of a run."""

    model: nn.Module
    initial_hash: str
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    transform: Callable[[Tensor], Tensor]
    augment: Callable[[Tensor], Tensor] | None
    generator: torch.Generator


def prepare(run: Run, seed: int, data_dir: Path | str | None, place: torch.device) -> Start:
    """Load the data of one run, draw its splits, and build its network, all on a device.

    Raises:
        InputError: A setting that is not known, or missing data.
    """
    dataset = load(run.dataset, data_dir)
    train, validation = _split(run, dataset, seed)
    transform = pixel_transform(run.pixels, train[0], dataset.peak)
    model = start_model(run, seed, transform(train[0][:PROBED]) if needs_batch(run) else None)
    initial_hash = hash_model(model)
    test = _test(run, dataset)
    return Start(
        model.to(place),
        initial_hash,
        train=(train[0].to(place), train[1].to(place)),
        validation=(validation[0].to(place), validation[1].to(place)),
        test=(test[0].to(place), test[1].to(place)),
        transform=transform,
        augment=augmentation(run.augmentation, stream(seed, "augment")),
        generator=stream(seed, "order"),
    )


def _split(run: Run, dataset: Dataset, seed: int):
    count = dataset.num_validation if run.num_validation is None else run.num_validation
    train, validation = split_validation(dataset.train_images, dataset.train_labels, count, stream(seed, "split"))
    if run.num_train is not None:
        num_left_out = len(train[1]) - run.num_train
        if not 0 < run.num_train <= len(train[1]):
            raise InputError(f"num_train={run.num_train}: must be from 1 to {len(train[1])}, the images not held out")
        train, _ = split_validation(*train, num_left_out, stream(seed, "subset"))
    return train, validation


def _test(run: Run, dataset: Dataset) -> tuple[Tensor, Tensor]:
    if run.num_test is not None and not 0 <= run.num_test <= len(dataset.test_labels):
        raise InputError(f"num_test={run.num_test}: must be from 0 to {len(dataset.test_labels)}, the test images")
    return dataset.test_images[: run.num_test], dataset.test_labels[: run.num_test]
